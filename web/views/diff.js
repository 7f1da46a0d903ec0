// What changed between two versions of a text.

import { api, path, Problem } from "../parts/api.js";
import { openDialog } from "../parts/dialog.js";
import { h } from "../parts/dom.js";
import { empty, loaded, notice, skeleton } from "../parts/states.js";
import { filesText as words } from "../strings_backups.js";

/** @typedef {{ hunks: { old_start: number, new_start: number, lines: { tag: "same" | "old" | "new", text: string }[] }[], truncated: boolean }} TextDiff */

/**
 * @param {{ repository: string, older: string, newer: string, file: string, olderTime: string, newerTime: string }} options
 */
export function showDiff({ repository, older, newer, file, olderTime, newerTime }) {
  const part = loaded({
    load: async (signal) => {
      try {
        return /** @type {TextDiff} */ (await api.get(path`/repositories/${repository}/backups/${newer}/text-diff`, { with: older, path: file }, signal));
      } catch (error) {
        if (error instanceof Problem && error.status === 422) return error;
        throw error;
      }
    },
    draw: (found) => {
      if (found instanceof Problem) return empty({ icon: "file", title: words.diffNone, body: found.message });
      if (!found.hunks.length) return empty({ icon: "check", title: words.diffSame });
      return [found.truncated ? notice("info", words.diffCut) : null, h("div", { class: "diff", tabindex: "0", role: "group", "aria-label": words.diffTitle }, found.hunks.map(hunk))];
    },
    skeleton: skeleton(8),
  });
  const dialog = openDialog({ title: words.diffTitle, wide: true, body: h("div", { class: "stack" }, h("p", { class: "muted small" }, words.diffWith(olderTime, newerTime)), part.node) });
  void dialog.closed.then(part.stop);
}

/** @param {TextDiff["hunks"][number]} hunk */
function hunk(hunk) {
  let before = hunk.old_start;
  let after = hunk.new_start;
  return h("table", { class: "diff-hunk" }, h("tbody", null, hunk.lines.map((line) => h(
    "tr", { class: `diff-${line.tag}` },
    h("td", { class: "diff-number", "aria-hidden": "true" }, line.tag === "new" ? "" : String(before++)),
    h("td", { class: "diff-number", "aria-hidden": "true" }, line.tag === "old" ? "" : String(after++)),
    h("td", { class: "diff-sign" }, line.tag === "same" ? null : [h("span", { "aria-hidden": "true" }, line.tag === "old" ? "−" : "+"), h("span", { class: "visually-hidden" }, line.tag === "old" ? words.lineOld : words.lineNew)]),
    h("td", { class: "diff-text" }, h("bdi", null, line.text.replace(/\r?\n$/, "") || " ")),
  ))));
}
