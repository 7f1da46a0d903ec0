// The first backup: which folders, then making it and saying that it is there.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { demand, field, form, textarea, toggle } from "../parts/fields.js";
import { bytes, count } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { buttonLink, pageHead } from "../parts/page.js";
import { empty, problemBox } from "../parts/states.js";
import { cancelJob, follow, progressView } from "../parts/work.js";
import { text } from "../strings.js";

const words = text.start;

/** @param {import("./index.js").Context} context */
export function render(context) {
  const { repository } = context;
  const steps = h("ol", { class: "steps" });
  const stage = h("div", { class: "card start-card" });
  /** @type {() => void} */
  let stop = () => {};

  /** @param {number} now */
  const mark = (now) => fill(steps, words.steps.map((label, at) => h(
    "li", { class: at < now ? "step done" : at === now ? "step now" : "step", "aria-current": at === now ? "step" : null },
    h("span", { class: "step-mark", "aria-hidden": "true" }, at < now ? icon("check", 16) : at + 1), label,
  )));

  const choose = async () => {
    mark(1);
    const folders = field(words.folders, textarea({ rows: 3, class: "mono", name: "folders" }), { hint: words.foldersHint });
    const daily = toggle(words.daily, { checked: true, hint: words.dailyHint });
    const { node } = form({
      fields: [folders.node, daily.node], submit: words.submit,
      cancel: buttonLink("/", words.later, "quiet"),
      run: async () => {
        const sources = folders.control.value.split("\n").map((line) => line.trim()).filter(Boolean);
        demand([[folders, sources.length ? sources.some((line) => !line.startsWith("/")) && words.absolute : words.needFolder]]);
        const escaped = sources.map((line) => line.replaceAll("%", "%25"));
        const { job_id: id } = await api.start(path`/repositories/${repository}/backups`, { sources: escaped });
        run(id, daily.control.checked ? escaped : null);
      },
    });
    fill(stage, h("div", { class: "card-body" }, node));
    if (context.may("admin")) {
      try {
        const settings = await api.get("/settings");
        // One with bytes that are no text cannot be typed.
        const roots = settings.source_roots.filter((/** @type {string} */ root) => !root.includes("%"));
        if (!folders.control.value) folders.control.value = roots.join("\n");
      } catch {
        // Then nothing is suggested.
      }
    }
  };

  /** @param {string} id @param {string[] | null} scheduled */
  const run = (id, scheduled) => {
    mark(2);
    const progress = h("div", null, progressView(null));
    const end = h("button", { class: "button", type: "button", on: { click: () => void cancelJob(id) } }, text.cancel);
    fill(stage, h("div", { class: "card-body stack" }, h("h2", null, words.running), progress, h("p", { class: "muted" }, words.runningBody), h("div", { class: "form-actions" }, end)));
    const following = follow(id, (job) => { if (job.status === "running") fill(progress, progressView(job.progress)); });
    stop = following.stop;
    void following.ended.then(async (job) => {
      if (job.status !== "succeeded") {
        const again = h("button", { class: "button primary", type: "button", on: { click: () => void choose() } }, text.failed.retry);
        fill(stage, h("div", { class: "card-body stack" }, h("h2", null, words.failed), problemBox({ message: job.error ?? text.job.statuses[job.status] }), job.hint ? h("p", { class: "muted" }, job.hint) : null, h("div", { class: "form-actions" }, again)));
        return;
      }
      /** @type {unknown} */
      let wrong = null;
      if (scheduled) {
        try {
          await api.post(path`/repositories/${repository}/schedules`, { preset: "daily", name: words.scheduleName, job: { kind: "backup", sources: scheduled } });
        } catch (error) {
          wrong = error;
        }
      }
      finish(job, Boolean(scheduled) && !wrong, wrong);
    });
  };

  /** @param {Api.JobView} job @param {boolean} isScheduled @param {unknown} wrong */
  const finish = (job, isScheduled, wrong) => {
    mark(3);
    const { files = 0, bytes: size = 0 } = job.result ?? {};
    fill(
      stage, h(
        "div", { class: "card-body start-done" }, h("div", { class: "verdict-mark good" }, icon("check", 34)),
        h("h2", null, words.done), h("p", null, words.doneBody(count(files), bytes(size))),
        h("p", { class: "muted" }, isScheduled ? words.doneDaily : words.doneOnce), wrong ? problemBox(wrong) : null,
        h("div", { class: "row" }, buttonLink("/", words.toOverview, "primary")),
      ),
    );
    /** @type {HTMLElement | null} */ (stage.querySelector("a"))?.focus();
  };

  const node = h("div", { class: "start" }, pageHead({ title: words.title, lead: words.lead }), steps, stage);
  if (!repository) fill(stage, empty({ icon: "repository", title: words.noRepository, body: words.noRepositoryBody }));
  else if (!context.may("operator")) fill(stage, empty({ icon: "key", title: text.shell.noRole, body: text.shell.noRoleBody(text.roles.operator) }));
  else void choose();
  return { title: words.title, node, stop: () => stop() };
}
