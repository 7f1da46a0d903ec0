// How one repository stands, from the verdict to the figures.

import { api, path } from "../parts/api.js";
import { chart } from "../parts/chart.js";
import { h } from "../parts/dom.js";
import { bytes, name, sentence, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { buttonLink, card, stat, view } from "../parts/page.js";
import { empty } from "../parts/states.js";
import { toast, toastProblem } from "../parts/toast.js";
import { badge, kindIcon, kindName } from "../parts/work.js";
import { text } from "../strings.js";
import { has } from "./index.js";

const words = text.overview;
const HOUR = 3_600_000;

/** @type {Record<Api.Verdict, { tone: "good" | "attention" | "danger", icon: string }>} */
const VERDICTS = {
  safe: { tone: "good", icon: "overview" },
  attention: { tone: "attention", icon: "info" },
  danger: { tone: "danger", icon: "alert" },
};

/**
 * @typedef {{ repository: Api.RepositoryView, status: Api.StatusReport, stats: Api.BackupStats, schedules: Api.ScheduleView[],
 *   history: { points: { date: string, timestamp: string, bytes_protected: number, bytes_added: number }[] } | null }} Found
 */

/**
 * @param {import("./index.js").Context} context
 * @param {Found} found
 */
export function drawRepository(context, found) {
  const { repository, status } = found;
  const isMany = context.repositories.length > 1;
  if (!status.series.length) return firstBackup(context, found, isMany);
  return h(
    "div", { class: "stack overview-repository" },
    isMany ? h("h2", { class: "overview-name" }, name(repository.name), h("span", { class: "muted small" }, repository.location)) : null,
    verdict(context, found),
    alerts(context, status.alerts),
    h("div", { class: "overview-columns" }, h("div", { class: "stack" }, sources(found), storage(found)), h("div", { class: "stack" }, upcoming(found), proof(found))),
  );
}

/** @param {import("./index.js").Context} context @param {Found} found @param {boolean} isMany */
function firstBackup(context, { repository, status }, isMany) {
  const alert = status.alerts.length ? alerts(context, status.alerts) : null;
  const action = context.may("operator") ? buttonLink(isMany ? view`/start?repository=${repository.name}` : "/start", words.firstAction, "primary large") : null;
  return h("div", { class: "stack" }, isMany ? h("h2", { class: "overview-name" }, name(repository.name)) : null, alert, h("div", { class: "card" }, empty({ icon: "backups", title: words.firstTitle, body: words.firstBody, action })));
}

/** @param {import("./index.js").Context} context @param {Found} found */
function verdict(context, found) {
  const { status } = found;
  const { tone, icon: mark } = VERDICTS[status.verdict];
  const newest = status.series.map((one) => one.newest ?? "").sort().at(-1);
  // What an alert says is said below, with what to do.
  const isMissed = status.alerts.some((alert) => alert.kind === "missing");
  const isTold = (/** @type {string} */ message) => status.alerts.some((alert) => message.startsWith(alert.message)) || (isMissed && /^(the newest backup of|no good backup of) /.test(message));
  const reasons = status.reasons.filter((reason) => !isTold(reason.message));
  const run = h("button", {
    class: "button primary", type: "button",
    on: {
      click: async () => {
        run.disabled = true;
        try {
          const ids = await backUpNow(found);
          const target = ids.length === 1 && ids[0] ? view`/activity/${ids[0]}` : "/activity";
          toast(words.started(Math.max(1, ids.length)), { kind: "good", action: { label: words.follow, run: () => context.go(target) } });
        } catch (error) {
          toastProblem(error);
        } finally {
          run.disabled = false;
        }
      },
    },
  }, icon("play", 18), words.backUpNow);
  return h(
    "section", { class: `card verdict verdict-${tone}`, "aria-label": words.verdictLabel },
    h("div", { class: `verdict-mark ${tone}` }, icon(mark, 34)),
    h(
      "div", { class: "verdict-text" }, h("p", { class: "verdict-title" }, words.verdicts[status.verdict]),
      reasons.length
        ? h("ul", { class: "verdict-reasons" }, reasons.map((reason) => h("li", { class: reason.verdict === "danger" ? "danger-text" : "" }, sentence(reason.message))))
        : status.alerts.length ? h("p", { class: "muted" }, words.seeBelow(status.alerts.length)) : h("p", { class: "muted" }, newest ? [words.newestBackup, " ", time(newest), "."] : null, status.next_run ? [" ", words.nextRun, " ", time(status.next_run), "."] : null),
    ),
    context.may("operator") ? h("div", { class: "verdict-action" }, run) : null,
  );
}

/**
 * Runs the schedules that make backups; without any, backs up again what was backed up before.
 * @param {Found} found
 * @returns {Promise<string[]>} the jobs, as far as they are known
 */
async function backUpNow({ repository, status, schedules }) {
  const own = path`/repositories/${repository.name}`;
  const scheduled = schedules.filter((one) => one.schedule.enabled && (one.schedule.job?.kind ?? "backup") === "backup" && !one.is_running);
  if (scheduled.length) {
    for (const one of scheduled) await api.post(own + path`/schedules/${one.schedule.schedule_id}/run`);
    return scheduled.length === 1 ? [] : scheduled.map(() => "");
  }
  const ids = [];
  for (const one of status.series) {
    const { job_id: id } = await api.start(`${own}/backups`, { sources: one.sources });
    ids.push(id);
  }
  return ids;
}

/** @param {import("./index.js").Context} context @param {Api.Alert[]} list */
function alerts(context, list) {
  if (!list.length) return null;
  return h("div", { class: "stack tight" }, list.map((alert) => {
    const clear = h("button", {
      class: "button small", type: "button",
      on: {
        click: async () => {
          clear.disabled = true;
          try {
            await api.post(path`/alerts/${alert.alert_id}/clear`);
          } catch (error) {
            toastProblem(error);
            clear.disabled = false;
          }
        },
      },
    }, words.clearAlert);
    const tone = alert.kind === "anomaly" || alert.kind === "damage" || alert.kind === "missing" ? "danger" : "attention";
    return h(
      "div", { class: `notice notice-${tone} alert` }, icon("alert", 18),
      h("div", { class: "row spread" }, h("div", { class: "grow" }, h("p", null, h("strong", null, sentence(alert.message))), h("p", { class: "notice-hint" }, sentence(alert.advice), " · ", time(alert.raised))), context.may("admin") ? clear : null),
    );
  }));
}

/** @param {Found} found */
function sources({ repository, status }) {
  const now = Date.now();
  const rows = status.series.map((one) => {
    const age = one.newest ? now - new Date(one.newest).getTime() : null;
    const limit = one.rpo_hours ? one.rpo_hours * HOUR : null;
    const state = one.is_overdue && !one.is_accepted ? badge("danger", words.overdue) : one.is_partial ? badge("attention", words.partial) : !one.newest ? badge("danger", words.noBackup) : badge("good", words.onTime);
    const target = has("backups") ? view`/r/${repository.name}/backups` + `?host=${encodeURIComponent(one.host)}` : null;
    const inner = [
      h("div", { class: `list-icon ${one.is_overdue && !one.is_accepted ? "danger" : "good"}` }, icon("folder")),
      h(
        "div", { class: "stack tight" },
        h("p", { class: "list-title" }, one.sources.map((source, at) => [at ? ", " : "", name(source)])),
        h("p", { class: "small muted" }, name(one.host), " · ", one.newest ? [words.last, " ", time(one.newest)] : words.noBackup, " · ", words.backups(one.snapshots)),
        age !== null && limit ? freshness(age / limit, one.rpo_hours ?? 0) : null,
      ),
      h("div", null, state),
    ];
    return h("li", { class: "source" }, target ? h("a", { class: "list-row", href: target }, inner) : h("div", { class: "list-row" }, inner));
  });
  return card({ title: words.sources, flush: true, body: h("ul", { class: "list sources" }, rows) });
}

/** How much of the time that may pass has passed. @param {number} share @param {number} hours */
function freshness(share, hours) {
  const tone = share >= 1 ? "danger" : "good";
  return h(
    "div", { class: "freshness", title: words.rpoHint(hours) },
    h("div", { class: `freshness-bar ${tone}` }, h("div", { css: { transform: `scaleX(${Math.min(1, share)})` } })),
    h("span", { class: "small muted nowrap" }, words.rpo(hours)),
  );
}

/** @param {Found} found */
function storage({ status, stats, history }) {
  const stored = stats.stored_size ?? 0;
  const points = history?.points ?? [];
  const figures = h(
    "div", { class: "stats" }, stat(words.stored, bytes(stored), status.free_bytes ? words.free(bytes(status.free_bytes)) : null),
    stat(words.protectedSize, bytes(stats.total_size), words.inBackups(stats.total_backups)),
    stat(words.saving, stored > 0 ? `${(stats.total_size / stored).toFixed(1)}×` : "–", words.savingNote),
  );
  return card({
    title: words.storage, class: "storage",
    body: h("div", { class: "stack wide-gap" }, figures, points.length > 1 ? chart({
      label: words.growth, format: bytes, height: 190,
      points: points.map((point) => ({ label: shortDay(point.timestamp), title: longDay(point.timestamp), value: point.bytes_protected })),
    }) : null),
  });
}

const shortDay = (/** @type {string} */ when) => new Date(when).toLocaleDateString(text.locale, { month: "short", day: "numeric" });
const longDay = (/** @type {string} */ when) => new Date(when).toLocaleDateString(text.locale, { weekday: "short", month: "short", day: "numeric", year: "numeric" });

/** @param {Found} found */
function upcoming({ repository, schedules }) {
  const runs = schedules
    .filter((one) => one.schedule.enabled && one.next_runs.length)
    .map((one) => ({ one, next: one.next_runs[0] }))
    .sort((a, b) => (a.next < b.next ? -1 : 1))
    .slice(0, 4);
  const link = has("schedules") ? h("a", { class: "small", href: view`/r/${repository.name}/schedules` }, words.allSchedules) : null;
  const body = runs.length
    ? h("ul", { class: "list" }, runs.map(({ one, next }) => {
      const kind = one.schedule.job?.kind ?? "backup";
      return h("li", { class: "list-row" }, h("div", { class: `list-icon ${one.is_running ? "live" : ""}` }, kindIcon(kind)), h("div", null, h("p", { class: "list-title" }, one.schedule.name ? name(one.schedule.name) : kindName(kind)), h("p", { class: "small muted" }, one.schedule.name ? kindName(kind) : one.schedule.cron)), one.is_running ? badge("live", text.job.statuses.running) : h("span", { class: "small muted nowrap" }, time(next)));
    }))
    : empty({ icon: "schedules", title: words.noSchedules, body: words.noSchedulesBody, action: link ? buttonLink(view`/r/${repository.name}/schedules`, words.addSchedule) : null });
  return card({ title: words.upcoming, note: link, flush: true, body });
}

/** What shows that the backups can be used. @param {Found} found */
function proof({ repository, status }) {
  /** @param {string} label @param {string | null | undefined} when @param {string} advice */
  const line = (label, when, advice) => {
    const isOld = !when || Date.now() - new Date(when).getTime() > 45 * 24 * HOUR;
    return h("li", { class: "list-row" }, h("div", { class: `list-icon ${when ? (isOld ? "attention" : "good") : ""}` }, icon(when && !isOld ? "check" : "clock")), h("div", null, h("p", { class: "list-title" }, label), h("p", { class: "small muted" }, when ? time(when) : advice)));
  };
  const note = has("repository") ? h("a", { class: "small", href: view`/r/${repository.name}/repository` }, words.toRepository) : null;
  return card({
    title: words.proof, flush: true, note,
    body: h("ul", { class: "list" }, line(words.lastCheck, status.last_check, words.noCheck), line(words.lastTest, status.last_restore_test, words.noTest), status.mirrors_missed.length ? h("li", { class: "list-row" }, h("div", { class: "list-icon attention" }, icon("mirror")), h("div", null, h("p", { class: "list-title" }, words.mirrorsMissed(status.mirrors_missed.length)), h("p", { class: "small muted" }, status.mirrors_missed.map((one, at) => [at ? ", " : "", name(one)])))) : null),
  });
}

