// What the views about backups share: their styles, words about a backup, choosing one.

import { api, path } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { bytes, count, dateTime, name } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { badge } from "../parts/work.js";
import { backupText, backupsText as words } from "../strings_backups.js";

/** @type {Promise<void> | null} */
let styles = null;

/** Loads the styles of these views, which the first page does not need. */
export function needStyles() {
  styles ??= new Promise((resolve) => {
    const link = h("link", { rel: "stylesheet", href: "/styles/backups.css", on: { load: () => resolve(), error: () => resolve() } });
    document.head.append(link);
  });
  return styles;
}

/** @typedef {Api.Backup & { pinned?: boolean }} Backup */

/** How a backup stands. @param {Backup} backup */
export function backupBadge(backup) {
  if (backup.status === "completed" && backup.errors) return badge("attention", words.unread(backup.errors));
  /** @type {Record<string, "good" | "danger" | "live" | "plain">} */
  const tones = { completed: "good", failed: "danger", in_progress: "live" };
  return badge(tones[backup.status] ?? "plain", words.statuses[backup.status]);
}

/** @param {Backup} backup */
export const isPinned = (backup) => Boolean(backup.pinned);

/** Tags and whether it is pinned. @param {Backup} backup */
export function labels(backup) {
  const tags = (backup.tags ?? []).map((tag) => h("span", { class: "chip" }, icon("tag", 12), name(tag)));
  return isPinned(backup) ? [h("span", { class: "chip chip-pinned" }, icon("pin", 12), words.pinned), ...tags] : tags;
}

/** @param {string[] | undefined} sources */
export const sourceNames = (sources) => (sources ?? []).map((source, at) => [at ? ", " : "", name(source)]);

/** @param {Backup} backup */
export const amount = (backup) => `${words.files(backup.template_count)}, ${bytes(backup.total_size)}`;

/** @param {Backup} backup */
export const figures = (backup) => [count(backup.template_count), bytes(backup.total_size)];

/** @param {string} repository @param {Record<string, any>} query @param {AbortSignal} [signal] @returns {Promise<Api.Backups>} */
export const listBackups = (repository, query, signal) => api.get(path`/repositories/${repository}/backups`, query, signal);

/** The newest good backups, for choosing one. @param {string} repository @param {AbortSignal} [signal] */
export async function goodBackups(repository, signal) {
  const { items } = await listBackups(repository, { status: "completed", limit: 1000 }, signal);
  return items;
}

/**
 * A field to choose a backup by its time.
 * @param {Backup[]} backups
 * @param {string} chosen
 * @param {import("../parts/dom.js").Props} props
 */
export function backupSelect(backups, chosen, props) {
  const hosts = new Set(backups.map((one) => one.host));
  return h(
    "select", { ...props, class: "input select", value: chosen },
    backups.map((one) => h("option", { value: one.backup_id }, [dateTime(one.timestamp), hosts.size > 1 ? `${one.host}` : "", (one.sources ?? []).join(", ")].filter(Boolean).join(" · "))),
  );
}

/** A menu under a button. @param {import("../parts/dom.js").Child} label @param {{ label: import("../parts/dom.js").Child, hint?: string, icon: string, href?: string, run?: () => void, danger?: boolean, download?: boolean }[]} entries @param {string} [className] */
export function menu(label, entries, className = "") {
  const id = `menu-${Math.random().toString(36).slice(2, 9)}`;
  const inner = (/** @type {typeof entries[number]} */ entry) => [icon(entry.icon, 18), h("span", null, h("span", { class: "menu-label" }, entry.label), entry.hint ? h("span", { class: "menu-hint" }, entry.hint) : null)];
  const list = h("div", { class: "menu", id, popover: "auto", role: "menu" }, entries.map((entry) => entry.href
    ? h("a", { class: "menu-entry", role: "menuitem", href: entry.href, download: entry.download ?? false, tabindex: "-1", on: { click: () => list.hidePopover() } }, inner(entry))
    : h("button", { class: `menu-entry ${entry.danger ? "danger-text" : ""}`, role: "menuitem", type: "button", tabindex: "-1", on: { click: () => { list.hidePopover(); entry.run?.(); } } }, inner(entry))));
  const button = h("button", { class: `button ${className}`.trim(), type: "button", popovertarget: id, "aria-haspopup": "menu", "aria-expanded": "false" }, label, icon("down", 14));
  const items = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".menu-entry")]);
  list.addEventListener("toggle", (event) => {
    const isOpen = /** @type {ToggleEvent} */ (event).newState === "open";
    button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    const box = button.getBoundingClientRect();
    list.style.top = `${Math.min(box.bottom + 6, window.innerHeight - list.offsetHeight - 8)}px`;
    list.style.left = `${Math.max(8, Math.min(box.right - list.offsetWidth, window.innerWidth - list.offsetWidth - 8))}px`;
    items()[0]?.focus();
  });
  list.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Tab") list.hidePopover();
    if (next === undefined) return;
    event.preventDefault();
    all[(next + all.length) % all.length]?.focus();
  });
  return h("div", { class: "menu-anchor" }, button, list);
}

/** @param {Api.Encryption} how */
export const encryptionName = (how) => backupText.encryption[how];
