// A schedule: making one, or changing it.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { demand, field, form, input, radioCards, select, textarea, toggle, Unfinished } from "../parts/fields.js";
import { buttonLink, card, pageHead, view } from "../parts/page.js";
import { loaded, notice, skeleton } from "../parts/states.js";
import { toast } from "../parts/toast.js";
import { text } from "../strings.js";
import { backupsText, schedulesText, scheduleText as words } from "../strings_backups.js";
import { needStyles } from "./backup_parts.js";
import { bandwidthEditor } from "./bandwidth.js";
import { whenEditor, whenOf } from "./cron.js";
import { retentionEditor } from "./retention.js";

/** @typedef {{ node: import("../parts/dom.js").Child, keep?: import("../parts/dom.js").Child, job: () => any, keepRules?: () => any, check?: () => void, stop?: () => void }} JobFields */

/** Jobs that remove history: for administrators. */
const REMOVING = ["forget", "prune"];

/** @param {string} text */
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
/** @param {string} text */
const list = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
/** @param {string} text */
const number = (text) => (text.trim() === "" ? null : Number(text));

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository, params } = context;
  const isNew = params.schedule === "new";
  const title = isNew ? words.newTitle : words.editTitle;
  /** @type {(() => void)[]} */
  const ends = [];
  const part = loaded({
    load: (signal) => /** @type {Promise<Api.ScheduleView | null>} */ (isNew ? Promise.resolve(null) : api.get(path`/repositories/${repository}/schedules/${params.schedule}`, {}, signal)),
    draw: (found) => editor(context, found?.schedule ?? null, ends),
    skeleton: skeleton(4, "cards"),
  });
  const node = h("div", { class: "schedule-view" }, pageHead({ title, crumbs: [{ label: schedulesText.title, href: view`/r/${repository}/schedules` }] }), part.node);
  return { title, node, stop: () => { part.stop(); for (const end of ends) end(); } };
}

/** @param {import("./index.js").Context} context @param {Api.BackupSchedule | null} old @param {(() => void)[]} ends */
function editor(context, old, ends) {
  const { repository } = context;
  const name = field(words.name, input({ value: old?.name ?? "", maxlength: "100" }), { hint: words.nameHint, optional: true });
  const when = whenEditor(old ? whenOf(old) : "0 1 * * *");
  const whenWrong = h("p", { class: "field-error", role: "alert" });
  const bandwidth = bandwidthEditor(old?.bandwidth);
  const hooks = hookFields(context, old);
  const more = moreFields(old);
  const jobPlace = h("div", { class: "stack" });
  const keepPlace = h("div");
  /** @type {JobFields} */
  let job = { node: null, job: () => ({}) };
  let kind = old?.job?.kind ?? "backup";
  const drawJob = () => {
    job.stop?.();
    job = jobFields(repository, kind, old);
    fill(jobPlace, job.node);
    fill(keepPlace, job.keep && context.may("admin") ? card({ title: words.keepTitle, body: job.keep }) : null);
  };
  ends.push(when.stop, () => job.stop?.());
  const kinds = h("div", { class: "kind-cards" }, radioCards(words.kind, /** @type {[string, string[]][]} */ (Object.entries(words.kinds)).map(([value, [label, hint]]) => ({ value, label, hint, disabled: !context.may("admin") && REMOVING.includes(value) })), kind, (value) => { kind = /** @type {typeof kind} */ (value); drawJob(); }).node);
  drawJob();
  const { node } = form({
    class: "schedule-form",
    fields: [
      old?.origin ? notice("info", words.profileNote) : null,
      card({ title: words.parts.what, body: h("div", { class: "stack wide-gap" }, kinds, name.node, jobPlace) }),
      card({ title: words.parts.when, body: h("div", { class: "stack" }, when.node, whenWrong) }),
      keepPlace,
      card({ title: words.parts.more, body: h("div", { class: "stack wide-gap" }, bandwidth.node, hooks.node, more.node) }),
    ],
    submit: old ? words.save : words.create,
    cancel: buttonLink(view`/r/${repository}/schedules`, text.cancel, "quiet"),
    run: async () => {
      job.check?.();
      fill(whenWrong, when.wrong());
      if (when.wrong() || bandwidth.isWrong()) throw new Unfinished();
      const spec = {
        name: name.control.value.trim() || null, when: when.value() || null, enabled: old?.enabled ?? true,
        job: { kind, ...job.job() }, keep: job.keepRules?.() ?? null, bandwidth: bandwidth.value(), hooks: hooks.value(),
        encryption_enabled: old?.encryption_enabled ?? null, priority: old?.priority ?? 0, ...more.value(),
      };
      const own = path`/repositories/${repository}/schedules`;
      if (old) await api.put(`${own}/${encodeURIComponent(old.schedule_id)}`, spec);
      else await api.post(own, spec);
      toast(schedulesText.saved, { kind: "good" });
      context.go(view`/r/${repository}/schedules`);
    },
  });
  return node;
}

/** @param {string} repository @param {string} kind @param {Api.BackupSchedule | null} old @returns {JobFields} */
function jobFields(repository, kind, old) {
  const given = /** @type {any} */ (old?.job?.kind === kind || (!old?.job && kind === "backup") ? old?.job ?? {} : {});
  if (kind === "backup") {
    const sources = field(words.sources, textarea({ rows: 3, class: "mono", value: (given.sources ?? []).join("\n") }), { hint: words.sourcesHint });
    const excludes = field(words.excludes, textarea({ rows: 2, class: "mono", value: (given.excludes ?? []).join("\n") }), { hint: words.excludesHint, optional: true });
    const tags = field(words.tags, input({ value: (given.tags ?? []).join(", ") }), { hint: words.tagsHint, optional: true });
    const caches = toggle(words.caches, { checked: given.exclude_caches, hint: words.cachesHint });
    const oneSystem = toggle(words.oneSystem, { checked: given.one_file_system });
    const keep = retentionEditor(repository, old?.keep);
    return {
      node: [sources.node, h("div", { class: "fields" }, excludes.node, tags.node), h("div", { class: "fields" }, caches.node, oneSystem.node)], keep: keep.node, stop: keep.stop,
      keepRules: keep.value,
      check: () => {
        demand([[sources, lines(sources.control.value).some((line) => !line.startsWith("/")) && words.absolute]]);
        if (keep.isWrong()) throw new Unfinished();
      },
      job: () => ({ ...given, sources: lines(sources.control.value), excludes: lines(excludes.control.value), tags: list(tags.control.value), exclude_caches: caches.control.checked, one_file_system: oneSystem.control.checked }),
    };
  }
  if (kind === "forget") {
    const keep = retentionEditor(repository, given.keep, { isNeeded: true });
    const prune = toggle(words.prune, { checked: given.prune, hint: words.pruneHint });
    return { node: prune.node, keep: keep.node, stop: keep.stop, check: () => { if (keep.isWrong()) throw new Unfinished(); }, job: () => ({ keep: keep.value() ?? {}, prune: prune.control.checked }) };
  }
  if (kind === "check") {
    const now = given.period_days === undefined || given.period_days === null ? (old ? "none" : "30") : String(given.period_days);
    const choices = Object.entries(words.periods).map(([value, label]) => ({ value, label }));
    if (!choices.some((one) => one.value === now)) choices.push({ value: now, label: now });
    const period = field(words.period, select(choices, { value: now }));
    return { node: period.node, job: () => (period.control.value === "none" ? {} : { period_days: Number(period.control.value) }) };
  }
  if (kind === "mirror_sync") {
    const names = field(words.mirrors, input({ value: (given.names ?? []).join(", ") }), { hint: words.mirrorsHint, optional: true });
    return { node: names.node, job: () => ({ names: list(names.control.value) }) };
  }
  if (kind === "restore_test") {
    const files = field(words.testFiles, input({ type: "number", min: "1", value: String(given.files ?? 200) }));
    const size = field(words.testBytes, input({ type: "number", min: "1", value: String(Math.round((given.budget_bytes ?? 256 << 20) / (1 << 20))) }));
    return { node: h("div", { class: "fields" }, files.node, size.node), job: () => ({ files: Number(files.control.value), budget_bytes: Number(size.control.value) * (1 << 20) }) };
  }
  return { node: null, job: () => ({}) };
}

/** Commands around a run, for administrators. @param {import("./index.js").Context} context @param {Api.BackupSchedule | null} old */
function hookFields(context, old) {
  const given = old?.hooks ?? {};
  if (!context.may("admin")) return { node: h("p", { class: "muted small" }, words.hooksOnly), value: () => given };
  const names = /** @type {(keyof typeof words.hookNames)[]} */ (Object.keys(words.hookNames));
  const rows = names.map((name) => {
    const command = given[name]?.command;
    const isWords = Array.isArray(command);
    const line = field(words.hookNames[name], input({ class: "mono", value: isWords ? command.join(" ") : command ?? "", disabled: isWords }), { optional: true });
    const timeout = field(words.timeout, input({ type: "number", min: "1", value: String(given[name]?.timeout_s ?? 600) }));
    return { name, node: h("div", { class: "hook-row" }, line.node, timeout.node), value: () => (isWords ? given[name] : line.control.value.trim() ? { command: line.control.value.trim(), timeout_s: Number(timeout.control.value) } : null) };
  });
  return {
    node: h("details", { open: Object.keys(given).length > 0 }, h("summary", null, words.hooks), h("div", { class: "stack" }, h("p", { class: "field-hint" }, words.hooksHint), rows.map((row) => row.node))),
    value: () => Object.fromEntries(rows.map((row) => [row.name, row.value()]).filter(([, value]) => value)),
  };
}

/** @param {Api.BackupSchedule | null} old */
function moreFields(old) {
  const spread = field(words.spread, input({ type: "number", min: "0", value: String(old?.spread_minutes ?? 0) }), { hint: words.spreadHint });
  const retries = field(words.retries, input({ type: "number", min: "0", value: String(old?.max_retries ?? 3) }));
  const rpo = field(words.rpo, input({ type: "number", min: "1", value: old?.rpo_hours ? String(old.rpo_hours) : "" }), { hint: words.rpoHint, optional: true });
  const strategy = field(words.strategy, select(Object.entries(backupsText.strategies).map(([value, label]) => ({ value, label })), { value: old?.backup_type ?? "incremental" }));
  return {
    node: h("details", null, h("summary", null, words.advanced), h("div", { class: "fields" }, spread.node, retries.node, rpo.node, strategy.node)),
    value: () => ({ spread_minutes: number(spread.control.value), max_retries: number(retries.control.value) ?? 0, rpo_hours: number(rpo.control.value), backup_type: strategy.control.value, retention_days: old?.retention_days ?? 0 }),
  };
}
