// Finding files by name in all backups.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { field, input, segmented } from "../parts/fields.js";
import { bytes, name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { pageHead, view } from "../parts/page.js";
import { empty, failed, skeleton } from "../parts/states.js";
import { backupsText, findText as words } from "../strings_backups.js";
import { needStyles } from "./backup_parts.js";
import { entryIcon, lastName, parentOf } from "./files.js";

/** @typedef {{ path: string, kind: Api.EntryKind, size_bytes: number, modified: string | null, backups: { backup_id: string, timestamp: string }[], backup_count: number }} Match */

/** Requests that are made by themselves until something is found. */
const TRIES = 40;

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository, query } = context;
  let scope = query.get("backups") === "all" ? "all" : "latest";
  const what = field(words.label, input({ type: "search", name: "query", value: query.get("query") ?? "", autocapitalize: "none", maxlength: "200" }), { hint: words.hint });
  const results = h("div", { class: "card find-results" });
  const said = h("p", { class: "small muted", "aria-live": "polite" });
  let turn = new AbortController();

  const run = async () => {
    turn.abort();
    const own = new AbortController();
    turn = own;
    const wanted = what.control.value.trim();
    context.setQuery({ query: wanted, backups: scope === "all" ? "all" : null });
    if (!wanted) {
      fill(said);
      return void fill(results, empty({ icon: "search", title: words.startTitle, body: words.startBody }));
    }
    /** @type {Match[]} */
    const found = [];
    /** @type {string | null} */
    let page = null;
    const list = h("ul", { class: "list" });
    const foot = h("div", { class: "table-more", hidden: true });
    fill(results, skeleton(5, "rows"));
    fill(said, words.searching);
    const more = async (/** @type {number} */ atLeast) => {
      foot.hidden = true;
      const before = found.length;
      try {
        for (let tries = 0; tries < TRIES && found.length - before < atLeast; tries += 1) {
          const part = await api.get(path`/repositories/${repository}/search`, { query: wanted, backups: scope, page }, own.signal);
          if (own.signal.aborted) return;
          found.push(...part.matches);
          list.append(...part.matches.map((/** @type {Match} */ match) => row(repository, match)));
          page = part.next_page ?? null;
          fill(said, page ? words.soFar(found.length) : words.found(found.length));
          if (found.length && !list.isConnected) fill(results, list, foot);
          if (!page) break;
        }
        if (!found.length && !page) fill(results, empty({ icon: "search", title: words.noneTitle, body: words.noneBody }));
        else if (!list.isConnected) fill(results, list, foot);
        fill(foot, h("button", { class: "button", type: "button", on: { click: () => void more(50) } }, words.more));
        foot.hidden = !page;
      } catch (error) {
        if (own.signal.aborted) return;
        fill(said);
        fill(results, failed(error, () => void run()));
      }
    };
    await more(50);
  };
  const form = h(
    "form", { class: "find-form", role: "search", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); void run(); } } },
    h("div", { class: "grow" }, what.node),
    h("button", { class: "button primary", type: "submit" }, icon("search", 18), words.submit),
  );
  const scopes = segmented(words.where, [{ value: "latest", label: words.scopes.latest }, { value: "all", label: words.scopes.all }], scope, (value) => { scope = value; void run(); });
  const node = h("div", { class: "find" }, pageHead({ title: words.title, lead: words.lead, crumbs: [{ label: backupsText.title, href: view`/r/${repository}/backups` }] }), form, h("div", { class: "row spread find-bar" }, scopes, said), results);
  void run();
  setTimeout(() => what.control.focus());
  return { title: words.title, node, stop: () => turn.abort() };
}

/** @param {string} repository @param {Match} match */
function row(repository, match) {
  const [newest] = match.backups;
  const file = lastName(match.path);
  const tail = [[match.kind === "folder" ? "folder" : "file", match.path]];
  return h("li", { class: "point" }, h(
    "a", { class: "list-row", href: `${view`/r/${repository}/backups/${newest?.backup_id ?? ""}`}?${new URLSearchParams(tail)}` },
    h("span", { class: "list-icon" }, entryIcon(/** @type {Api.TreeEntry} */ ({ name: file, kind: match.kind }))),
    h("span", { class: "point-text" }, h("span", { class: "list-title block" }, name(file)), h("span", { class: "small muted block" }, name(parentOf(match.path), "mono"))),
    h("span", { class: "find-note small muted" }, match.kind === "file" ? h("span", null, bytes(match.size_bytes)) : null, h("span", null, words.inBackups(match.backup_count), newest ? [", ", words.newestIn, " ", time(newest.timestamp)] : null)),
  ));
}
