// One file of a backup, at the side of the page: what it is, its picture, and all its versions.

import { address, api, path } from "../parts/api.js";
import { openDialog } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import { bytes, dateTime, name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { buttonLink, facts, view } from "../parts/page.js";
import { loaded, skeleton } from "../parts/states.js";
import { badge } from "../parts/work.js";
import { filesText as words } from "../strings_backups.js";
import { showDiff } from "./diff.js";

/** @typedef {{ backup_id: string, timestamp: string, change: "added" | "changed" | "metadata" | "removed" | "unchanged", kind: string, size_bytes: number, modified: string | null }} Version */

/** Pictures that are worth asking for. */
const PICTURE = /\.(png|jpe?g|gif|webp)$/i;
const PICTURE_MAX = 20 << 20;

/** @param {number} mode */
function modeText(mode) {
  const bits = [...(mode & 0o777).toString(2).padStart(9, "0")].map((bit, at) => (bit === "1" ? "rwx"[at % 3] : "-")).join("");
  return `${bits} (${(mode & 0o7777).toString(8).padStart(4, "0")})`;
}

/**
 * @param {{ repository: string, backup: string, entry: Api.TreeEntry, mayRestore: boolean }} options
 */
export function showFile({ repository, backup, entry, mayRestore }) {
  const own = path`/repositories/${repository}/backups/${backup}`;
  /** @type {(() => void)[]} */
  const ends = [];
  const picture = h("div", { class: "picture" });
  if (entry.kind === "file" && PICTURE.test(entry.name) && entry.size <= PICTURE_MAX) {
    fill(picture, skeleton(3));
    void showPicture(address(`${own}/preview`, { path: entry.path }), entry.name, picture).then((end) => ends.push(end));
  }
  const versions = loaded({
    load: async (signal) => /** @type {Version[]} */ ((await api.get(path`/repositories/${repository}/versions`, { path: entry.path }, signal)).versions),
    draw: (list) => versionList(repository, backup, entry, list),
    skeleton: skeleton(3),
  });
  ends.push(versions.stop);
  const dialog = openDialog({
    title: entry.name, sheet: true,
    body: h(
      "div", { class: "stack wide-gap file-detail" },
      h(
        "div", { class: "row" },
        entry.kind === "file" ? h("a", { class: "button primary", href: address(`${own}/file`, { path: entry.path }), download: true }, icon("download", 18), words.download) : null,
        mayRestore ? buttonLink(`${view`/r/${repository}/restore`}?${new URLSearchParams({ backup, path: entry.path })}`, [icon("restore", 18), words.restore]) : null,
      ),
      picture,
      facts([
        [words.facts.path, h("span", { class: "mono" }, name(entry.path))],
        [words.facts.kind, words.kinds[entry.kind]],
        ...(entry.kind === "file" ? [/** @type {[string, string]} */ ([words.facts.size, bytes(entry.size)])] : []),
        ...(entry.link_target ? [/** @type {[string, any]} */ ([words.facts.target, name(entry.link_target, "mono")])] : []),
        ...(entry.modified ? [/** @type {[string, any]} */ ([words.facts.modified, time(entry.modified, { as: "full" })])] : []),
        [words.facts.mode, h("span", { class: "mono" }, modeText(entry.mode))],
        [words.facts.owner, words.owner(entry.uid, entry.gid)],
      ]),
      h("section", null, h("h3", { class: "file-versions-title" }, words.versionsOf), versions.node),
    ),
  });
  // A link to another view, and the way back, leave it.
  dialog.node.addEventListener("click", (event) => { if (/** @type {HTMLElement} */ (event.target).closest("a[href]:not([download])")) dialog.close(); });
  const leave = () => dialog.close();
  window.addEventListener("popstate", leave);
  ends.push(() => window.removeEventListener("popstate", leave));
  void dialog.closed.then(() => { for (const end of ends) end(); });
}

/** @param {string} from @param {string} title @param {HTMLElement} place @returns {Promise<() => void>} */
async function showPicture(from, title, place) {
  try {
    const response = await fetch(from, { credentials: "same-origin" });
    if (!response.ok) throw new Error(String(response.status));
    const url = URL.createObjectURL(await response.blob());
    fill(place, h("img", { src: url, alt: title, on: { error: () => fill(place, h("p", { class: "muted small" }, words.previewFailed)) } }));
    return () => URL.revokeObjectURL(url);
  } catch {
    fill(place, h("p", { class: "muted small" }, words.previewFailed));
    return () => {};
  }
}

/** @param {string} repository @param {string} current @param {Api.TreeEntry} entry @param {Version[]} list */
function versionList(repository, current, entry, list) {
  /** @type {Record<string, "good" | "attention" | "danger" | "plain">} */
  const tones = { added: "good", changed: "attention", removed: "danger", metadata: "plain", unchanged: "plain" };
  let hasSame = false;
  const node = h("div");
  const draw = () => {
    const shown = list.filter((one) => hasSame || one.change !== "unchanged" || one.backup_id === current);
    fill(
      node, shown.length ? h("ul", { class: "versions" }, shown.map((one) => {
        const before = list.slice(list.indexOf(one) + 1).find((other) => other.change !== "unchanged" && other.change !== "removed");
        const href = view`/r/${repository}/backups/${one.backup_id}` + (one.change === "removed" ? "" : `?${new URLSearchParams({ file: entry.path })}`);
        return h(
          "li", { class: one.backup_id === current ? "version now" : "version" },
          h("div", { class: "stack tight grow" }, h("a", { href, class: "version-time" }, time(one.timestamp, { as: "full" })), h("span", { class: "row tight small muted" }, badge(tones[one.change], words.changes[one.change]), one.change === "removed" ? null : bytes(one.size_bytes))),
          one.change === "changed" && before && one.kind === "file"
            ? h("button", { class: "button small quiet", type: "button", on: { click: () => showDiff({ repository, older: before.backup_id, newer: one.backup_id, file: entry.path, olderTime: dateTime(before.timestamp), newerTime: dateTime(one.timestamp) }) } }, icon("compare", 16), words.diff) : null,
          one.change === "removed" || one.kind !== "file" ? null : h("a", { class: "icon-button", href: address(path`/repositories/${repository}/backups/${one.backup_id}/file`, { path: entry.path }), download: true, "aria-label": `${words.download}: ${dateTime(one.timestamp)}` }, icon("download", 18)),
        );
      })) : h("p", { class: "muted" }, words.noVersions),
      list.some((one) => one.change === "unchanged") ? h("label", { class: "check small" }, h("input", { type: "checkbox", checked: hasSame, on: { change: () => { hasSame = !hasSame; draw(); } } }), words.showSame) : null,
    );
  };
  draw();
  return node;
}
