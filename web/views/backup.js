// One backup: what it is, what is in it, and what can be done with it.

import { address, api, path } from "../parts/api.js";
import { confirmDialog, openDialog } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import { demand, field, form, input } from "../parts/fields.js";
import { bytes, dateTime, duration, name, shortId, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { buttonLink, card, facts, pageHead, view } from "../parts/page.js";
import { loaded, notice, skeleton, soon } from "../parts/states.js";
import { toast, toastProblem } from "../parts/toast.js";
import { follow } from "../parts/work.js";
import { text } from "../strings.js";
import { backupsText, backupText as words, filesText } from "../strings_backups.js";
import { backupBadge, encryptionName, isPinned, labels, listBackups, menu, needStyles, sourceNames } from "./backup_parts.js";
import { showFile } from "./file.js";
import { fileBrowser, lastName, parentOf } from "./files.js";

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository, params, query } = context;
  const id = params.backup;
  const own = path`/repositories/${repository}/backups/${id}`;
  const file = query.get("file");
  /** @type {Set<string>} */
  const selected = new Set();
  const bar = h("div", { class: "selection-bar", hidden: true });
  const drawBar = () => {
    bar.hidden = selected.size === 0;
    const tail = new URLSearchParams([["backup", id], ...[...selected].map((one) => ["path", one])]);
    fill(
      bar, h("strong", { "aria-live": "polite" }, filesText.selected(selected.size)),
      h("button", { class: "button quiet small", type: "button", on: { click: () => { selected.clear(); browser?.refresh(); drawBar(); } } }, filesText.clear),
      h("span", { class: "grow" }),
      context.may("operator") ? buttonLink(`${view`/r/${repository}/restore`}?${tail}`, [icon("restore", 18), filesText.restoreSelected], "primary small") : null,
    );
  };
  /** @type {ReturnType<typeof fileBrowser> | null} */
  let browser = null;
  const contents = h("div");
  const open = (/** @type {Api.TreeEntry} */ entry) => showFile({ repository, backup: id, entry, mayRestore: context.may("operator") });

  const head = h("div");
  const part = loaded({
    load: (signal) => /** @type {Promise<Api.Backup>} */ (api.get(own, {}, signal)),
    draw: (backup) => {
      fill(head, headOf(context, backup, () => void part.reload()));
      if (!browser && backup.status === "completed") {
        browser = fileBrowser({ repository, backup: id, folder: file ? parentOf(file) : query.get("folder") ?? homeOf(backup), open, selected, changed: drawBar, moved: (folder) => context.setQuery({ folder, file: null }) });
        fill(contents, card({ title: words.contents, flush: true, class: "files-card", body: [browser.node, bar] }));
      }
      return about(backup);
    },
    skeleton: skeleton(3, "cards"),
  });
  if (file) {
    api.get(`${own}/entry`, { path: file }).then(open).catch(() => toast(filesText.noVersions, { kind: "bad", hint: lastName(file) }));
  }
  const again = soon(() => void part.reload(), 500);
  context.listen((happening) => { if (happening.type === "reset") again(); });
  const node = h("div", { class: "backup-view" }, head, h("div", { class: "stack wide-gap" }, part.node, contents));
  fill(head, pageHead({ title: shortId(id), crumbs: [{ label: backupsText.title, href: view`/r/${repository}/backups` }] }));
  return { title: words.title(shortId(id)), node, stop: () => { again.stop(); part.stop(); browser?.stop(); } };
}

/** The folder that is shown first: its source, if there is one. @param {Api.Backup} backup */
const homeOf = (backup) => (backup.sources?.length === 1 ? backup.sources[0] : "/");

/** @param {Api.Backup} backup */
function about(backup) {
  const took = backup.finished ? new Date(backup.finished).getTime() - new Date(backup.timestamp).getTime() : null;
  return [
    backup.status === "failed" ? notice("danger", [h("strong", null, words.failedTitle), h("p", null, name(backup.error ?? text.unknown))]) : null,
    backup.status === "completed" && backup.errors ? notice("attention", words.partial(backup.errors)) : null,
    h("div", { class: "card" }, h("div", { class: "card-body two-columns" }, facts(/** @type {[any, any][]} */ ([
      [words.facts.status, backupBadge(backup)],
      [words.facts.sources, h("span", { class: "mono" }, sourceNames(backup.sources))],
      [words.facts.host, name(backup.host ?? "")],
      backup.status === "completed" ? [words.facts.size, `${bytes(backup.total_size)} · ${backupsText.files(backup.template_count)}`] : null,
      backup.status === "completed" ? [words.facts.stored, bytes(backup.compressed_size)] : null,
      [words.facts.kind, `${backupsText.strategies[backup.backup_type]}, ${encryptionName(backup.encryption)}`],
      took === null ? null : [words.facts.finished, duration(took)],
      backup.description ? [words.facts.description, name(backup.description)] : null,
      labels(backup).length ? [words.facts.tags, h("span", { class: "row tight" }, labels(backup))] : null,
      [words.facts.id, h("span", { class: "mono" }, backup.backup_id)],
    ].filter(Boolean))))),
  ];
}

/** @param {import("./index.js").Context} context @param {Api.Backup} backup @param {() => void} reload */
function headOf(context, backup, reload) {
  const { repository } = context;
  const id = backup.backup_id;
  const own = path`/repositories/${repository}/backups/${id}`;
  const isGood = backup.status === "completed";
  const may = { operate: context.may("operator"), admin: context.may("admin") };
  const before = async () => {
    const { items } = await listBackups(repository, { status: "completed", host: backup.host, source: backup.sources?.[0], until: backup.timestamp, limit: 5 });
    const older = items.find((one) => one.backup_id !== id);
    context.go(`${view`/r/${repository}/backups/compare`}?${new URLSearchParams({ newer: id, older: older?.backup_id ?? "" })}`);
  };
  /** @param {Record<string, any>} change @param {string} said */
  const patch = async (change, said) => {
    try {
      /** @type {Api.Backup} */
      const now = await api.patch(own, change);
      toast(said, { kind: "good" });
      // With other tags it is another backup, of the same files.
      if (now.backup_id !== id) context.go(view`/r/${repository}/backups/${now.backup_id}`, { replace: true });
      else reload();
    } catch (error) {
      toastProblem(error);
    }
  };
  const verify = async () => {
    try {
      const { job_id: job } = await api.start(`${own}/verify`);
      toast(words.verifyStarted);
      const ended = await follow(job, () => {}).ended;
      if (ended.status === "succeeded") toast(words.verifyDone, { kind: "good" });
      else toast(ended.error ?? text.job.statuses[ended.status], { kind: "bad", hint: ended.hint });
    } catch (error) {
      toastProblem(error);
    }
  };
  const more = [
    isGood ? { label: words.compare, icon: "compare", run: () => void before().catch(toastProblem) } : null,
    isGood && may.operate ? { label: words.verify, icon: "shield", run: () => void verify() } : null,
    isGood && may.admin ? { label: isPinned(backup) ? words.unpin : words.pin, hint: words.pinHint, icon: "pin", run: () => void patch({ pinned: !isPinned(backup) }, isPinned(backup) ? words.unpinnedNow : words.pinnedNow) } : null,
    isGood && may.admin && !isPinned(backup) ? { label: words.editTags, icon: "tag", run: () => editTags(backup, patch) } : null,
    may.admin ? { label: words.remove, icon: "trash", danger: true, run: () => void remove(context, backup) } : null,
  ].filter((one) => one !== null);
  return pageHead({
    title: words.title(dateTime(backup.timestamp)), lead: [time(backup.timestamp), " · ", name(backup.host ?? "")],
    crumbs: [{ label: backupsText.title, href: view`/r/${repository}/backups` }],
    actions: [
      more.length ? menu(words.more, more, "quiet") : null,
      isGood ? menu([icon("download", 18), words.download], [
        { label: words.downloadZip, hint: words.downloadZipHint, icon: "download", href: address(`${own}/archive`, { format: "zip" }), download: true },
        { label: words.downloadTar, hint: words.downloadTarHint, icon: "download", href: address(`${own}/archive`, { format: "tar.zst" }), download: true },
      ]) : null,
      isGood && may.operate ? buttonLink(`${view`/r/${repository}/restore`}?${new URLSearchParams({ backup: id })}`, [icon("restore", 18), words.restore], "primary") : null,
    ],
  });
}

/** @param {Api.Backup} backup @param {(change: Record<string, any>, said: string) => Promise<void>} patch */
function editTags(backup, patch) {
  const tags = field(words.tags, input({ value: (backup.tags ?? []).join(", ") }), { hint: words.tagsHint });
  const dialog = openDialog({
    title: words.editTags,
    body: form({
      fields: tags.node, submit: text.save,
      run: async () => {
        demand([[tags, false]]);
        await patch({ tags: tags.control.value.split(",").map((tag) => tag.trim()).filter(Boolean) }, words.tagsDone);
        dialog.close();
      },
    }).node,
  });
}

/** @param {import("./index.js").Context} context @param {Api.Backup} backup */
async function remove(context, backup) {
  const { repository } = context;
  const own = path`/repositories/${repository}/backups/${backup.backup_id}`;
  /** What its source has besides it. */
  const others = await listBackups(repository, { status: "completed", host: backup.host, source: backup.sources?.[0], limit: 2 }).catch(() => null);
  const isLast = backup.status === "completed" && others !== null && others.total <= 1;
  const force = h("input", { type: "checkbox" });
  const reason = input({ maxlength: "200" });
  const isDone = await confirmDialog({
    title: words.removeTitle, danger: true, action: words.removeAction, typed: shortId(backup.backup_id),
    body: [
      h("div", { class: "plan" }, h("h3", null, words.removePlan), h(
        "ul", { class: "plan-list" },
        h("li", null, icon("trash", 18), words.removePlanGone(dateTime(backup.timestamp), backupsText.files(backup.template_count), bytes(backup.total_size))),
        h("li", null, icon("shield", 18), words.removePlanShared), h("li", null, icon("restore", 18), words.removePlanUndo),
      )),
      isLast ? [notice("danger", words.removePlanLast), h("label", { class: "check" }, force, words.removeLast)] : null,
      field(words.whyOptional, reason, { optional: true }).node,
    ],
    run: () => api.delete(own, { allow_last: force.checked || null, reason: reason.value.trim() }),
  });
  if (!isDone) return;
  toast(words.removed, {
    kind: "good",
    action: backup.status === "completed" ? { label: words.undo, run: () => { api.post(`${own}/undelete`).then(() => toast(words.undone, { kind: "good" })).catch(toastProblem); } } : undefined,
  });
  context.go(view`/r/${repository}/backups`, { replace: true });
}
