// What changed between two backups.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { field, input } from "../parts/fields.js";
import { bytes, count, dateTime, name } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { pageHead, view } from "../parts/page.js";
import { empty, failed, loaded, skeleton } from "../parts/states.js";
import { toastProblem } from "../parts/toast.js";
import { virtualList } from "../parts/virtual.js";
import { badge } from "../parts/work.js";
import { backupsText, compareText as words } from "../strings_backups.js";
import { backupSelect, goodBackups, needStyles } from "./backup_parts.js";
import { lastName, parentOf } from "./files.js";
import { showDiff } from "./diff.js";

/** @typedef {{ path: string, kind: string, change: "added" | "removed" | "changed" | "metadata", size_bytes_before: number | null, size_bytes_after: number | null }} Change */
/** @typedef {{ changes: Change[], totals: { added: number, removed: number, changed: number, metadata: number } | null, next_page: string | null }} Changes */

/** @type {Record<Change["change"], "good" | "danger" | "attention" | "plain">} */
const TONES = { added: "good", removed: "danger", changed: "attention", metadata: "plain" };

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository, query } = context;
  const results = h("div");
  let turn = new AbortController();
  /** @type {(() => void) | null} */
  let endList = null;
  const part = loaded({
    load: (signal) => goodBackups(repository, signal),
    draw: (backups) => {
      if (backups.length < 2) return h("div", { class: "card" }, empty({ icon: "compare", title: words.few, body: words.fewBody }));
      const newest = backups.find((one) => one.backup_id === query.get("newer")) ?? backups[0];
      const before = backups.find((one) => one.backup_id === query.get("older"))
        ?? backups.find((one) => one.timestamp < newest.timestamp && one.host === newest.host && (one.sources ?? []).join("\n") === (newest.sources ?? []).join("\n")) ?? backups[1];
      const older = field(words.older, backupSelect(backups, before.backup_id, {}));
      const newer = field(words.newer, backupSelect(backups, newest.backup_id, {}));
      const folder = field(words.folder, input({ value: query.get("folder") ?? "", class: "mono", placeholder: "/" }), { optional: true });
      const run = () => {
        const ids = { older: older.control.value, newer: newer.control.value };
        context.setQuery({ ...ids, folder: folder.control.value.trim() });
        turn.abort();
        endList?.();
        newer.error(ids.older === ids.newer ? words.same : "");
        if (ids.older === ids.newer) return void fill(results);
        turn = new AbortController();
        const timeOf = (/** @type {string} */ id) => dateTime(backups.find((one) => one.backup_id === id)?.timestamp ?? 0);
        endList = show({ repository, go: context.go, ...ids, folder: folder.control.value.trim(), olderTime: timeOf(ids.older), newerTime: timeOf(ids.newer) }, results, turn.signal);
      };
      const swap = h("button", {
        class: "icon-button", type: "button", title: words.swap, "aria-label": words.swap,
        on: { click: () => { [older.control.value, newer.control.value] = [newer.control.value, older.control.value]; run(); } },
      }, icon("compare"));
      for (const one of [older, newer, folder]) one.control.addEventListener("change", run);
      run();
      return h("div", { class: "card" }, h("div", { class: "card-body compare-fields" }, older.node, swap, newer.node, folder.node));
    },
    skeleton: skeleton(2, "cards"),
  });
  const node = h("div", null, pageHead({ title: words.title, lead: words.lead, crumbs: [{ label: backupsText.title, href: view`/r/${repository}/backups` }] }), h("div", { class: "stack" }, part.node, results));
  return { title: words.title, node, stop: () => { part.stop(); turn.abort(); endList?.(); } };
}

/**
 * @param {{ repository: string, older: string, newer: string, folder: string, olderTime: string, newerTime: string, go: (address: string) => void }} options
 * @param {HTMLElement} place
 * @param {AbortSignal} signal
 */
function show(options, place, signal) {
  const { repository, older, newer, folder } = options;
  /** @type {Change[]} */
  const changes = [];
  /** @type {string | null} */
  let next = null;
  let isLoading = false;
  /** @type {ReturnType<typeof virtualList> | null} */
  let list = null;
  const ask = async () => {
    /** @type {Changes} */
    const found = await api.get(path`/repositories/${repository}/backups/${newer}/diff`, { with: older, path: folder, page: next }, signal);
    changes.push(...found.changes);
    next = found.next_page;
    return found;
  };
  const open = (/** @type {number} */ at) => {
    const one = changes[at];
    if (one?.kind === "file" && one.change === "changed") return showDiff({ repository, older, newer, file: one.path, olderTime: options.olderTime, newerTime: options.newerTime });
    const tail = new URLSearchParams([[one.kind === "folder" ? "folder" : "file", one.path]]);
    options.go(`${view`/r/${repository}/backups/${one.change === "removed" ? older : newer}`}?${tail}`);
  };
  const more = async () => {
    if (isLoading || !next) return;
    isLoading = true;
    try {
      await ask();
      list?.setCount(changes.length);
    } catch (error) {
      if (!signal.aborted) toastProblem(error);
    } finally {
      isLoading = false;
    }
  };
  fill(place, h("div", { class: "card" }, skeleton(6, "rows")));
  ask().then(async (found) => {
    // Some parts of a long comparison may have nothing.
    while (!changes.length && next) await ask();
    if (signal.aborted) return;
    if (!changes.length) return fill(place, h("div", { class: "card" }, empty({ icon: "check", title: words.none, body: words.noneBody })));
    list = virtualList({
      label: words.title, count: changes.length, rowHeight: 48, height: `min(${Math.max(3, changes.length) * 48 + 2}px, 60vh)`, open, row: (at) => row(changes[at]),
      seen: (_first, last) => { if (last > changes.length - 100) void more(); },
    });
    const { totals } = found;
    fill(place, h("div", { class: "card files-card" }, totals ? h("div", { class: "card-head" }, h("div", { class: "row tight" }, /** @type {Change["change"][]} */ (["added", "changed", "removed", "metadata"]).map((one) => badge(totals[one] ? TONES[one] : "plain", `${count(totals[one])} ${words.totals[one].toLowerCase()}`)))) : null, list.node));
    list.refresh();
  }).catch((error) => { if (!signal.aborted) fill(place, h("div", { class: "card" }, failed(error))); });
  return () => list?.stop();
}

/** @param {Change} one */
function row(one) {
  const before = one.size_bytes_before === null || one.change === "added" ? "" : bytes(one.size_bytes_before);
  const after = one.size_bytes_after === null || one.change === "removed" ? "" : bytes(one.size_bytes_after);
  return h(
    "div", { class: "file-row" },
    h("span", { class: "change-badge" }, badge(TONES[one.change], words.changes[one.change])),
    h("span", { class: "file-name change-name truncate", title: one.path }, h("span", { class: "truncate" }, name(lastName(one.path))), h("span", { class: "change-folder muted truncate" }, name(parentOf(one.path)))),
    one.kind === "file" ? h("span", { class: "file-sizes muted" }, before && after ? `${before} → ${after}` : before || after) : null,
  );
}
