// The repository: where it is, how it grows, whether it is well, and looking after it.

import { address, api, path, Problem } from "../parts/api.js";
import { chart } from "../parts/chart.js";
import { h, fill } from "../parts/dom.js";
import { segmented } from "../parts/fields.js";
import { bytes, count, name, shortId, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { card, facts, pageHead, stat } from "../parts/page.js";
import { empty, loaded, notice, skeleton, soon } from "../parts/states.js";
import { table } from "../parts/table.js";
import { badge } from "../parts/work.js";
import { text } from "../strings.js";
import { repositoryText as words } from "../strings_backups.js";
import { encryptionName, needStyles } from "./backup_parts.js";
import { healthCard, pruneCard, startJob } from "./care.js";

/** @typedef {{ date: string, timestamp: string, backups: number, bytes_protected: number, bytes_added: number }} Point */
/** @typedef {"bytes_protected" | "bytes_added" | "backups"} Figure */

/**
 * What a daemon may not have: then it is not there, in place of an error.
 * @template T
 * @param {Promise<T>} asked
 * @returns {Promise<T | null>}
 */
const ifThere = (asked) => asked.catch((error) => {
  if (error instanceof Problem && (error.status === 404 || error.status === 405)) return null;
  throw error;
});

/** @param {any} answer @param {string} key @returns {any[]} */
const listOf = (answer, key) => (Array.isArray(answer) ? answer : answer?.items ?? answer?.[key] ?? []);

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository } = context;
  const own = path`/repositories/${repository}`;
  const figures = loaded({
    load: async (signal) => {
      /** @type {[Api.RepositoryView, Api.BackupStats | null, Api.StatusReport | null]} */
      const found = /** @type {any} */ (await Promise.all([api.get(own, {}, signal), api.get(`${own}/stats`, {}, signal).catch(() => null), api.get(`${own}/status`, {}, signal).catch(() => null)]));
      return found;
    },
    draw: ([about, stats, status]) => h(
      "div", { class: "stack" }, about.error ? notice("danger", [h("strong", null, words.away), h("p", null, about.error)]) : null,
      stats ? figuresCard(stats, status) : null,
      h("div", { class: "repository-columns" }, aboutCard(about, status), healthCard(context, status)),
    ),
    skeleton: skeleton(3, "cards"),
  });
  const history = historyCard(own);
  const keys = loaded({ load: async (signal) => listOf(await ifThere(api.get(`${own}/keys`, {}, signal)), "keys"), draw: keysCard, skeleton: h("div", { class: "card" }, skeleton(2, "rows")) });
  const mirrors = loaded({ load: async (signal) => listOf(await ifThere(api.get(`${own}/mirrors`, {}, signal)), "mirrors"), draw: (list) => mirrorsCard(context, list), skeleton: h("div", { class: "card" }, skeleton(2, "rows")) });
  const again = soon(() => void figures.reload(), 800);
  // Looking at mirrors is much work for the daemon: only when something was done to them.
  const mirrorsAgain = soon(() => void mirrors.reload(), 800);
  context.listen((happening) => {
    if (["job_ended", "snapshots_changed", "repository_away", "repository_back", "reset"].includes(happening.type)) again();
    if (happening.type === "job_ended" && happening.job?.kind === "mirror_sync") mirrorsAgain();
  });
  const node = h(
    "div", { class: "repository-view" }, pageHead({ title: words.title, lead: words.lead }),
    h("div", { class: "stack" }, figures.node, history.node, context.may("admin") ? pruneCard(context) : null, mirrors.node, h("div", { class: "repository-columns" }, keys.node, context.may("admin") ? kitCard(own) : null)),
  );
  return { title: words.title, node, stop: () => { again.stop(); mirrorsAgain.stop(); for (const one of [figures, history, keys, mirrors]) one.stop(); } };
}

/** @param {Api.BackupStats} stats @param {Api.StatusReport | null} status */
function figuresCard(stats, status) {
  const stored = stats.stored_size ?? 0;
  return h("div", { class: "card" }, h("div", { class: "card-body stats" }, [
    stat(words.figures.stored, bytes(stored), status?.free_bytes ? `${bytes(status.free_bytes)} ${words.facts.free.toLowerCase()}` : null),
    stat(words.figures.protected, bytes(stats.total_size), words.inBackups),
    stat(words.figures.saving, stored ? `${(stats.total_size / stored).toFixed(1)}×` : "–", words.savingNote),
    stat(words.figures.backups, count(stats.total_backups), words.failedRuns(stats.failed_backups ?? 0)),
  ]));
}

/** @param {Api.RepositoryView} about @param {Api.StatusReport | null} status */
function aboutCard(about, status) {
  return card({
    title: words.location,
    body: facts(/** @type {[any, any][]} */ ([
      [words.location, h("span", { class: "mono" }, name(about.location))],
      about.encryption ? [words.facts.encryption, encryptionName(about.encryption)] : null,
      status?.free_bytes ? [words.facts.free, bytes(status.free_bytes)] : null,
      about.requests ? [words.facts.requests, words.requests(about.requests.total, about.requests.errors)] : null,
      about.requests ? [words.facts.traffic, words.traffic(bytes(about.requests.uploaded_bytes), bytes(about.requests.downloaded_bytes))] : null,
      about.repository_id ? [words.facts.id, h("span", { class: "mono" }, about.repository_id)] : null,
    ].filter(Boolean))),
  });
}

const shortDay = (/** @type {string} */ when) => new Date(when).toLocaleDateString(text.locale, { month: "short", day: "numeric" });
const longDay = (/** @type {string} */ when) => new Date(when).toLocaleDateString(text.locale, { weekday: "short", month: "short", day: "numeric", year: "numeric" });

/** @param {string} own */
function historyCard(own) {
  let days = 90;
  let figure = /** @type {Figure} */ ("bytes_protected");
  const place = h("div");
  /** @type {Point[]} */
  let points = [];
  const draw = () => {
    const isBytes = figure !== "backups";
    fill(place, points.length > 1 ? chart({
      label: words.charts[figure], isBytes, format: isBytes ? bytes : count, height: 260, kind: figure === "bytes_added" ? "bars" : "area",
      points: points.map((point) => ({ label: shortDay(point.timestamp), title: longDay(point.timestamp), value: point[figure] })),
    }) : empty({ icon: "activity", title: words.historyNone }));
  };
  const part = loaded({
    load: async (signal) => { points = /** @type {Point[]} */ (listOf(await ifThere(api.get(`${own}/stats/history`, { days }, signal)), "points")); },
    draw: () => { draw(); return place; },
    skeleton: skeleton(4),
  });
  const controls = h(
    "div", { class: "row tight" },
    segmented(words.chartLabel, /** @type {[Figure, string][]} */ (Object.entries(words.charts)).map(([value, label]) => ({ value, label })), figure, (value) => { figure = value; draw(); }),
    segmented(words.range, Object.entries(words.ranges).map(([value, label]) => ({ value, label })), String(days), (value) => { days = Number(value); void part.reload(); }),
  );
  return { node: card({ title: words.history, note: controls, body: part.node }), stop: part.stop };
}

/** @typedef {{ key_id: string, kind: string, label: string, created: string | null, is_in_use: boolean, is_current: boolean }} Key */
/** @typedef {{ name: string, location: string, is_complete: boolean | null, missing_objects: number, missing_bytes: number, bytes_stored: number, is_newer: boolean, last_write: string | null, missed_runs: number, error: string | null }} Mirror */

/** @param {Key[]} keys */
function keysCard(keys) {
  return card({
    title: words.keys, flush: true,
    body: keys.length ? table({
      label: words.keys, rows: keys, columns: [
        { label: words.keyColumns.label, cell: (key) => h("span", { class: "row tight" }, name(key.label || /** @type {Record<string, string>} */ (words.keyKinds)[key.kind] || key.kind), key.is_in_use ? badge("good", words.inUse) : null, key.is_current ? null : badge("attention", words.old)), class: "grow" },
        { label: words.keyColumns.kind, cell: (key) => /** @type {Record<string, string>} */ (words.keyKinds)[key.kind] ?? key.kind, class: "nowrap" },
        { label: words.keyColumns.made, cell: (key) => (key.created ? time(key.created, { as: "day" }) : ""), class: "nowrap" },
        { label: words.keyColumns.id, cell: (key) => h("span", { class: "mono" }, shortId(key.key_id)) },
      ],
    }) : empty({ icon: "key", title: words.keysNone }),
  });
}

/** @param {Mirror} one */
function mirrorBadge(one) {
  if (one.error || one.is_complete === null) return badge("danger", words.mirrorAway);
  if (one.is_newer) return badge("attention", words.mirrorNewer);
  return one.is_complete ? badge("good", words.mirrorGood) : badge("attention", words.mirrorBehind);
}

/** @param {import("./index.js").Context} context @param {Mirror[]} mirrors */
function mirrorsCard(context, mirrors) {
  const own = path`/repositories/${context.repository}`;
  const sync = mirrors.length && context.may("operator") ? h("button", { class: "button small", type: "button", on: { click: () => void startJob(context, `${own}/mirrors/sync`, {}, words.sync) } }, icon("refresh", 16), words.sync) : null;
  /** @param {Mirror} one */
  const note = (one) => (one.error ? name(one.error) : one.missing_objects ? words.mirrorMissing(bytes(one.missing_bytes), one.missed_runs) : bytes(one.bytes_stored));
  return card({
    title: words.mirrors, note: sync, flush: true,
    body: mirrors.length ? table({
      label: words.mirrors, rows: mirrors, columns: [
        { label: words.mirrorColumns.name, cell: (one) => name(one.name) },
        { label: words.mirrorColumns.location, cell: (one) => h("span", null, h("span", { class: "mono block" }, name(one.location)), h("span", { class: "small muted block" }, note(one))), class: "grow" },
        { label: words.mirrorColumns.seen, cell: (one) => (one.last_write ? time(one.last_write) : words.never), class: "nowrap" },
        { label: words.mirrorColumns.state, cell: mirrorBadge },
      ],
    }) : empty({ icon: "mirror", title: words.mirrorsNone, body: words.mirrorsNoneBody }),
  });
}

/** @param {string} own */
function kitCard(own) {
  return card({
    title: words.kit,
    body: h(
      "div", { class: "stack" }, h("p", null, words.kitBody), notice("attention", words.kitWarning),
      h("div", { class: "row" }, h("a", { class: "button", href: address(`${own}/kit`, { format: "html" }), download: true }, icon("print", 18), words.kitPrint), h("a", { class: "button quiet", href: address(`${own}/kit`, { format: "text" }), download: true }, words.kitText)),
    ),
  });
}
