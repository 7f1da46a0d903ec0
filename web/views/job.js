// One job: how it goes, what it did, why it failed and what to try, and its log.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { listen } from "../parts/events.js";
import { bytes, count, dateTime, duration, name, shortId, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { card, facts, pageHead, view } from "../parts/page.js";
import { loaded, notice, skeleton, soon } from "../parts/states.js";
import { toast, toastProblem } from "../parts/toast.js";
import { cancelJob, jobBadge, kindName, progressView } from "../parts/work.js";
import { text } from "../strings.js";
import { titleOf, whoOf } from "./activity.js";
import { has } from "./index.js";

const words = text.activity;
/** Jobs that are started again with nothing but their kind. @type {Record<string, string>} */
const STARTS = { check: "check", heal: "heal", prune: "prune", mirror_sync: "mirrors/sync", restore_test: "restore-test" };

/** @param {import("./index.js").Context} context */
export function render(context) {
  const id = context.params.job;
  const progress = h("div");
  const whole = loaded({
    load: async (signal) => {
      const [job, log] = await Promise.all([api.get(path`/jobs/${id}`, {}, signal), api.get(path`/jobs/${id}/log`, {}, signal)]);
      return { job, log };
    },
    draw: ({ job, log }) => {
      fill(progress, progressView(job.progress));
      return draw(context, job, log, progress);
    },
    skeleton: skeleton(6),
  });
  const again = soon(() => void whole.reload());
  const end = listen((happening) => {
    if (happening.job?.job_id === id || happening.type === "reset") again();
    else if (happening.job_id === id && happening.progress) fill(progress, progressView(happening.progress));
  });
  // Lines of the log come without events of their own.
  const timer = setInterval(() => { if (whole.node.querySelector(".live-now")) again(); }, 3_000);
  return {
    title: text.nav.activity, node: h("div", null, whole.node),
    stop: () => {
      end();
      clearInterval(timer);
      again.stop();
      whole.stop();
    },
  };
}

/**
 * @param {import("./index.js").Context} context
 * @param {Api.JobView} job
 * @param {Api.LogLine[]} log
 * @param {HTMLElement} progress
 */
function draw(context, job, log, progress) {
  const isLive = job.status === "running";
  const took = (job.ended ? new Date(job.ended).getTime() : Date.now()) - new Date(job.started).getTime();
  /** @type {[import("../parts/dom.js").Child, import("../parts/dom.js").Child][]} */
  const about = [
    [words.repository, name(job.repository)], [words.wantedBy, whoOf(job)], [words.startedAt, time(job.started, { as: "full" })],
    [words.took, isLive ? words.since(duration(took)) : duration(took)],
  ];
  if (job.attempt > 1) about.push([words.attempts, count(job.attempt)]);
  if (job.backup_id) {
    const label = h("code", null, shortId(job.backup_id));
    about.push([words.madeBackup, has("backups") ? h("a", { href: view`/r/${job.repository}/backups/${job.backup_id}` }, label) : label]);
  }
  return [
    ...pageHead({
      crumbs: [{ label: text.nav.activity, href: "/activity" }], title: titleOf(job),
      actions: context.may("operator") ? [isLive ? cancelButton(job) : againButton(context, job)] : null,
    }),
    h(
      "div", { class: "stack job-page" },
      job.error ? h("div", { class: `notice notice-${job.status === "cancelled" ? "info" : "danger"}` }, icon("alert", 18), h("div", null, h("p", null, h("strong", null, name(job.error))), job.hint ? h("p", { class: "notice-hint" }, words.tryThis, " ", name(job.hint)) : null)) : job.status === "interrupted" ? notice("danger", words.interrupted) : null,
      card({ title: words.state, note: jobBadge(job), body: h("div", { class: "stack" }, isLive ? h("div", { class: "live-now" }, progress) : null, facts(about)) }),
      resultCard(job),
      card({ title: words.log, note: h("span", { class: "small muted" }, words.lines(log.length)), body: log.length ? h("div", { class: "log", tabindex: "0", role: "group", "aria-label": words.log }, log.map((line) => h("div", { class: `log-line ${line.level}` }, time(line.time, { as: "clock" }), name(line.message)))) : h("p", { class: "muted" }, words.noLog) }),
    ),
  ];
}

/** @param {Api.JobView} job */
function resultCard(job) {
  const entries = job.result && typeof job.result === "object" ? Object.entries(job.result).filter(([, value]) => value !== null && typeof value !== "object") : [];
  if (!entries.length) return null;
  return card({ title: words.result, body: facts(entries.map(([key, value]) => [labelOf(key), valueOf(key, value)])) });
}

/** @param {string} key */
function labelOf(key) {
  const known = /** @type {Record<string, string>} */ (words.results)[key];
  const plain = key.replaceAll("_", " ");
  return known ?? plain.charAt(0).toUpperCase() + plain.slice(1);
}

/** @param {string} key @param {unknown} value */
function valueOf(key, value) {
  if (typeof value === "boolean") return value ? words.yes : words.no;
  if (typeof value === "number") {
    if (/(^|_)(bytes|size)(_|$)/.test(key)) return bytes(value);
    if (key.endsWith("_ms")) return duration(value);
    return count(value);
  }
  const shown = String(value);
  return /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(shown) ? dateTime(shown) : name(shown);
}

/** @param {Api.JobView} job */
function cancelButton(job) {
  const button = h("button", {
    class: "button", type: "button",
    on: {
      click: async () => {
        button.disabled = true;
        try {
          await cancelJob(job.job_id);
          toast(words.cancelAsked);
        } catch (error) {
          toastProblem(error);
          button.disabled = false;
        }
      },
    },
  }, icon("stop", 18), text.cancel);
  return button;
}

/** Makes it once more, where it is known what that is. @param {import("./index.js").Context} context @param {Api.JobView} job */
function againButton(context, job) {
  const own = path`/repositories/${job.repository}`;
  /** @type {(() => Promise<any>) | null} */
  let run = null;
  if (job.schedule_id) run = () => api.post(own + path`/schedules/${job.schedule_id ?? ""}/run`);
  else if (job.kind === "backup" && job.title === "backup") run = () => api.start(`${own}/backups`);
  else if (STARTS[job.kind]) run = () => api.start(`${own}/${STARTS[job.kind]}`);
  if (!run) return null;
  const start = run;
  const button = h("button", {
    class: `button ${job.status === "succeeded" ? "" : "primary"}`, type: "button",
    on: {
      click: async () => {
        button.disabled = true;
        try {
          const answer = await start();
          if (answer?.job_id) context.go(view`/activity/${answer.job_id}`);
          else {
            toast(words.startedAgain(kindName(job.kind)), { kind: "good" });
            context.go("/activity");
          }
        } catch (error) {
          toastProblem(error);
          button.disabled = false;
        }
      },
    },
  }, icon("refresh", 18), job.status === "succeeded" ? words.again : words.retry);
  return button;
}
