// The files of a backup: folders that are loaded as they are looked at, however many entries they
// have, and of which only the rows that are seen exist.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { bytes, name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { empty, failed, notice, skeleton } from "../parts/states.js";
import { virtualList } from "../parts/virtual.js";
import { filesText as words } from "../strings_backups.js";

/** Entries that are asked for at once. */
const PART = 1000;
/** Rows before the end of what is known, at which more is asked for. */
const AHEAD = 200;

/** @type {Record<string, string>} */
const ICONS = { file: "file", folder: "folder", symlink: "link" };

/** @param {Api.TreeEntry} entry */
export const entryIcon = (entry) => icon(/\.(png|jpe?g|gif|webp)$/i.test(entry.name) ? "image" : ICONS[entry.kind] ?? "file", 18);

/** The folder that has this path in it. @param {string} path */
export const parentOf = (path) => path.slice(0, Math.max(1, path.lastIndexOf("/")));

/** @param {string} whole */
export const lastName = (whole) => whole.slice(whole.lastIndexOf("/") + 1);

/**
 * @param {{ repository: string, backup: string, folder: string, open: (entry: Api.TreeEntry) => void,
 *   moved?: (folder: string) => void, selected?: Set<string>, changed?: () => void, height?: string }} options
 * `open` is called for what is no folder; `selected` are paths that are chosen, if that is possible.
 */
export function fileBrowser(options) {
  const { repository, backup, selected } = options;
  const crumbs = h("nav", { class: "file-crumbs", "aria-label": words.crumbs });
  const foot = h("p", { class: "small muted", "aria-live": "polite" });
  const place = h("div", { class: "file-place" });
  /** @type {ReturnType<typeof virtualList> | null} */
  let list = null;
  let turn = new AbortController();
  let folder = options.folder || "/";

  /** @param {string} next */
  const go = (next) => {
    const from = folder;
    folder = next;
    options.moved?.(next);
    void show(true, from);
  };
  const drawCrumbs = () => {
    const parts = folder.split("/").filter(Boolean);
    fill(crumbs, h("button", { class: "crumb", type: "button", "aria-current": parts.length ? null : "page", on: { click: () => go("/") } }, icon("database", 16), words.root), parts.map((part, at) => [
      icon("chevron", 12),
      h("button", { class: "crumb", type: "button", "aria-current": at === parts.length - 1 ? "page" : null, on: { click: () => go(`/${parts.slice(0, at + 1).join("/")}`) } }, name(part)),
    ]));
    crumbs.scrollLeft = crumbs.scrollWidth;
  };

  /** @param {boolean} [hasFocus] @param {string} [from] the folder that was left */
  const show = async (hasFocus = false, from = "") => {
    turn.abort();
    const own = new AbortController();
    turn = own;
    drawCrumbs();
    /** @type {Api.TreeEntry[]} */
    const entries = [];
    /** @type {string | null | undefined} */
    let next = null;
    let isLoading = false;
    const load = async () => {
      /** @type {Api.FolderPage} */
      const part = await api.get(path`/repositories/${repository}/backups/${backup}/tree`, { path: folder, limit: PART, page: next }, own.signal);
      entries.push(...part.items);
      next = part.next_page;
      return part;
    };
    const late = setTimeout(() => fill(place, skeleton(8, "rows")), 150);
    /** @type {Api.FolderPage} */
    let part;
    try {
      part = await load();
    } catch (error) {
      if (!own.signal.aborted) fill(place, failed(error, () => void show()));
      return;
    } finally {
      clearTimeout(late);
    }
    if (own.signal.aborted) return;
    list?.stop();
    const say = () => fill(foot, words.entries(entries.length, !next), h("span", { class: "wide-only-inline" }, " · ", words.keys));
    const more = async () => {
      if (isLoading || !next) return;
      isLoading = true;
      try {
        await load();
        list?.setCount(entries.length);
        say();
      } catch {
        // The next movement asks again.
      } finally {
        isLoading = false;
      }
    };
    /** @param {number} at */
    const pick = (at) => {
      const entry = entries[at];
      if (!entry || !selected) return;
      if (selected.has(entry.path)) selected.delete(entry.path);
      else selected.add(entry.path);
      list?.refresh();
      options.changed?.();
    };
    const own_list = virtualList({
      label: words.label(folder), count: entries.length, rowHeight: 44, height: `min(${Math.max(4, entries.length) * 44 + 2}px, ${options.height ?? "62vh"})`,
      row: (at) => row(entries[at], selected),
      open: (at) => {
        const entry = entries[at];
        if (entry?.kind === "folder") go(entry.path);
        else if (entry) options.open(entry);
      },
      seen: (_first, last) => { if (last > entries.length - AHEAD) void more(); },
    });
    list = own_list;
    if (selected) own_list.node.setAttribute("aria-multiselectable", "true");
    own_list.node.addEventListener("click", (event) => {
      const mark = /** @type {HTMLElement} */ (event.target).closest(".file-check");
      if (!mark) return;
      event.stopPropagation();
      pick(Number(/** @type {HTMLElement} */ (mark.closest(".virtual-row")).dataset.at));
    }, true);
    own_list.node.addEventListener("keydown", (event) => {
      if (event.key === " ") {
        event.preventDefault();
        pick(own_list.active());
      } else if (event.key === "Backspace" || (event.key === "ArrowLeft" && folder !== "/")) {
        event.preventDefault();
        if (folder !== "/") go(parentOf(folder));
      }
    });
    fill(place, part.lost ? notice("danger", [words.lost, ": ", part.lost]) : null, entries.length ? own_list.node : empty({ icon: "folder", title: words.emptyFolder }));
    say();
    own_list.refresh();
    if (hasFocus && entries.length) {
      own_list.node.focus({ preventScroll: true });
      // Going up leads back to the folder that was left.
      const left = entries.findIndex((entry) => entry.path === from);
      if (left > 0) own_list.moveTo(left);
    }
  };
  void show();
  return {
    node: h("div", { class: "files" }, crumbs, place, h("div", { class: "file-foot" }, foot)),
    folder: () => folder,
    refresh: () => list?.refresh(),
    stop: () => { turn.abort(); list?.stop(); },
  };
}

/** @param {Api.TreeEntry} entry @param {Set<string>} [selected] */
function row(entry, selected) {
  const isChosen = selected?.has(entry.path) ?? false;
  return h(
    "div", { class: `file-row ${isChosen ? "chosen" : ""}`, "aria-checked": selected ? String(isChosen) : null },
    selected ? h("span", { class: "file-check", "aria-hidden": "true" }, h("span", { class: "file-box" }, isChosen ? icon("check", 14) : null)) : null,
    h("span", { class: `file-icon kind-${entry.kind}` }, entryIcon(entry)),
    h("span", { class: "file-name truncate" }, name(entry.name), entry.link_target ? h("span", { class: "muted" }, " → ", name(entry.link_target)) : null),
    h("span", { class: "file-size muted" }, entry.kind === "file" ? bytes(entry.size) : ""),
    h("span", { class: "file-time muted" }, entry.modified ? time(entry.modified, { as: "full" }) : ""),
  );
}
