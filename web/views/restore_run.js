// The last step of a restore: how it goes, and what was done.

import { api, path } from "../parts/api.js";
import { confirmDialog } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import { bytes, count, duration, name } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { buttonLink, stat, view } from "../parts/page.js";
import { problemBox, skeleton } from "../parts/states.js";
import { cancelJob, follow, progressView } from "../parts/work.js";
import { text } from "../strings.js";
import { restoreText as words } from "../strings_backups.js";
import { drawStep } from "./restore.js";
import { requestOf } from "./restore_target.js";

/** Figures of a report that are bytes. */
const IN_BYTES = ["bytes", "bytes_written"];

/** @param {import("./restore.js").Wizard} wizard */
export function runRestore(wizard) {
  const { choice, context } = wizard;
  const given = context.query.get("job");
  const isInPlace = choice.target.mode === "place";
  drawStep(wizard, { title: words.running, body: skeleton(3) });
  /** @param {string} id */
  const watch = (id) => {
    const progress = h("div", null, progressView(null));
    const cancel = h("button", {
      class: "button", type: "button",
      on: { click: () => void confirmDialog({ title: words.cancelTitle, body: h("p", null, isInPlace ? words.cancelPlace : words.cancelBody), action: words.cancelAction, danger: true, run: () => cancelJob(id) }) },
    }, words.cancel);
    drawStep(wizard, { title: words.running, lead: words.runningBody, body: progress, next: cancel });
    const following = follow(id, (job) => { if (job.status === "running") fill(progress, progressView(job.progress)); });
    wizard.ends.push(following.stop);
    void following.ended.then((job) => report(wizard, job, isInPlace));
  };
  if (given) return watch(given);
  const { backup_id: backup } = /** @type {Api.Backup} */ (choice.backup);
  api.start(path`/repositories/${context.repository}/backups/${backup}/restore`, requestOf(choice)).then(({ job_id: id }) => {
    context.setQuery({ job: id });
    watch(id);
  }).catch((error) => drawStep(wizard, { title: words.failed, body: problemBox(error), back: 3 }));
}

/** The figures of a job's result, wherever they are in it. @param {any} result @returns {[string, string][]} */
function figuresOf(result) {
  const all = { ...(result?.restored ?? {}), ...result };
  return Object.entries(words.report)
    .map(([key, label]) => /** @type {[string, string, number]} */ ([key, label, all[key]]))
    .filter(([, , value]) => typeof value === "number" && value > 0)
    .map(([key, label, value]) => [label, IN_BYTES.includes(key) ? bytes(value) : count(value)]);
}

/** @param {import("./restore.js").Wizard} wizard @param {Api.JobView} job @param {boolean} isInPlace */
async function report(wizard, job, isInPlace) {
  const { context, choice } = wizard;
  const isGood = job.status === "succeeded";
  const title = isGood ? words.done : job.status === "cancelled" ? words.cancelled : words.failed;
  const took = job.ended ? new Date(job.ended).getTime() - new Date(job.started).getTime() : 0;
  const log = h("div");
  const back = choice.backup && !isGood ? 3 : undefined;
  context.setQuery({ job: null });
  context.query.delete("job");
  wizard.go(5);
  drawStep(wizard, {
    title: words.reportTitle, back,
    body: h(
      "div", { class: "stack wide-gap" },
      h("div", { class: "restore-verdict" }, h("div", { class: `verdict-mark ${isGood ? "good" : job.status === "cancelled" ? "attention" : "danger"}` }, icon(isGood ? "check" : job.status === "cancelled" ? "stop" : "alert", 30)), h(
        "div", null, h("p", { class: "restore-title", role: "status" }, title), choice.target.folder && !isInPlace && isGood ? h("p", { class: "mono" }, name(choice.target.folder)) : null,
        job.status === "cancelled" ? h("p", { class: "muted" }, isInPlace ? words.cancelledPlace : words.cancelBody) : null,
      )),
      job.error && job.status === "failed" ? problemBox(new Error(job.error)) : null, job.hint ? h("p", { class: "muted" }, job.hint) : null,
      isGood ? h("div", { class: "stats" }, figuresOf(job.result).map(([label, value]) => stat(label, value)), stat(words.duration, duration(took))) : null,
      log,
    ),
    next: h("div", { class: "row" }, buttonLink(view`/activity/${job.job_id}`, words.job, "quiet"), h("button", { class: "button primary", type: "button", on: { click: () => context.go(view`/r/${context.repository}/restore`) } }, words.again)),
  });
  try {
    const answer = await api.get(path`/jobs/${job.job_id}/log`);
    /** @type {Api.LogLine[]} */
    const lines = (Array.isArray(answer) ? answer : answer.items ?? answer.lines ?? []).slice(-200);
    if (lines.length) fill(log, h("h3", null, words.log), h("div", { class: "log", tabindex: "0", role: "log", "aria-label": words.log }, lines.map((line) => h("p", { class: `log-line ${line.level}` }, h("time", { datetime: line.time }, new Date(line.time).toLocaleTimeString(text.locale)), h("span", null, name(line.message))))));
  } catch {
    // The report says what matters.
  }
}
