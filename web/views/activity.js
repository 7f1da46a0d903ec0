// What runs, and what ran.

import { api } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { segmented, select } from "../parts/fields.js";
import { bytes, day, duration, name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { card, pageHead, view } from "../parts/page.js";
import { empty, loaded, skeleton, soon } from "../parts/states.js";
import { paged } from "../parts/table.js";
import { toastProblem } from "../parts/toast.js";
import { cancelJob, jobBadge, kindIcon, kindName, progressView } from "../parts/work.js";
import { text } from "../strings.js";

const words = text.activity;
/** So many at once. */
const PART = 50;
/** The ways to end that can be asked for. */
const STATUSES = ["", "succeeded", "failed", "cancelled", "interrupted"];

/** @param {import("./index.js").Context} context */
export function render(context) {
  const { query } = context;
  const filter = {
    kind: query.get("kind") ?? "",
    status: STATUSES.includes(query.get("status") ?? "") ? query.get("status") ?? "" : "",
    repository: query.get("repository") ?? "",
  };
  const list = paged({
    load: async (page, signal) => {
      const part = await api.get("/jobs", { ...filter, limit: PART, page }, signal);
      return { ...part, items: part.items.filter((/** @type {Api.JobView} */ job) => job.status !== "running") };
    },
    draw: (jobs) => history(jobs, context.repositories.length > 1),
    none: () => filter.kind || filter.status || filter.repository
      ? empty({ icon: "filter", title: words.noneFiltered, body: words.noneFilteredBody })
      : empty({ icon: "activity", title: words.none, body: words.noneBody }),
  });
  const past = loaded({ load: list.first, draw: () => list.node, skeleton: skeleton(6, "rows") });
  const again = soon(() => void past.reload());
  /** @param {Partial<typeof filter>} change */
  const change = (change) => {
    Object.assign(filter, change);
    context.setQuery(filter);
    void past.reload();
  };

  /** @type {Map<string, { job: Api.JobView, node: HTMLElement, progress: HTMLElement }>} */
  const live = new Map();
  const running = h("div", { class: "stack" });
  const drawLive = () => fill(running, live.size ? [...live.values()].map((one) => one.node) : h("p", { class: "card quiet-line muted" }, icon("check", 18), words.idle));
  /** @param {Api.JobView} job */
  const begin = (job) => {
    const progress = h("div", null, progressView(job.progress));
    live.set(job.job_id, { job, progress, node: liveCard(context, job, progress) });
    drawLive();
  };
  const askLive = async () => {
    try {
      const { items } = await api.get("/jobs", { status: "running", limit: 100 });
      live.clear();
      for (const job of items) begin(job);
      drawLive();
    } catch (error) {
      fill(running, h("p", { class: "card quiet-line muted" }, icon("alert", 18), error instanceof Error ? error.message : ""));
    }
  };
  void askLive();
  context.listen((happening) => {
    const { type, job } = happening;
    if (type === "job_started" && job) begin(job);
    else if (type === "job_progress" && happening.job_id) {
      const known = live.get(happening.job_id);
      if (known) fill(known.progress, progressView(happening.progress));
    } else if (type === "job_ended" && job) {
      live.delete(job.job_id);
      drawLive();
      again();
    } else if (type === "reset") {
      void askLive();
      again();
    }
  });

  const kinds = Object.entries(text.job.kinds).map(([value, label]) => ({ value, label }));
  const filters = h(
    "div", { class: "filters" },
    segmented(words.status, STATUSES.map((value) => ({ value, label: value ? /** @type {Record<string, string>} */ (text.job.statuses)[value] : words.all })), filter.status, (status) => change({ status })),
    select([{ value: "", label: words.allKinds }, ...kinds], { "aria-label": words.kind, value: filter.kind, on: { change: (/** @type {Event} */ event) => change({ kind: /** @type {HTMLSelectElement} */ (event.target).value }) } }),
    context.repositories.length > 1
      ? select([{ value: "", label: words.allRepositories }, ...context.repositories.map((one) => ({ value: one.name, label: one.name }))], { "aria-label": text.shell.repository, value: filter.repository, on: { change: (/** @type {Event} */ event) => change({ repository: /** @type {HTMLSelectElement} */ (event.target).value }) } })
      : null,
  );
  const node = h(
    "div", null, pageHead({ title: text.nav.activity, lead: words.lead }),
    h("section", { "aria-label": words.running, "aria-live": "off" }, h("div", { class: "section-head" }, h("h2", null, words.running)), running),
    h("section", { class: "section", "aria-label": words.history }, h("div", { class: "section-head" }, h("h2", null, words.history)), filters, card({ flush: true, body: past.node })),
  );
  return {
    title: text.nav.activity, node,
    stop: () => {
      past.stop();
      again.stop();
    },
  };
}

/**
 * @param {import("./index.js").Context} context
 * @param {Api.JobView} job
 * @param {HTMLElement} progress
 */
function liveCard(context, job, progress) {
  const end = h("button", {
    class: "button small", type: "button",
    on: {
      click: async () => {
        end.disabled = true;
        fill(end, words.cancelling);
        try {
          await cancelJob(job.job_id);
        } catch (error) {
          toastProblem(error);
          end.disabled = false;
          fill(end, text.cancel);
        }
      },
    },
  }, text.cancel);
  return h(
    "article", { class: "card live-job", "aria-label": kindName(job.kind) },
    h("div", { class: "list-icon live" }, kindIcon(job.kind)),
    h(
      "div", { class: "stack tight" },
      h("div", { class: "row spread" }, h("p", { class: "list-title" }, h("a", { href: view`/activity/${job.job_id}` }, titleOf(job))), h("span", { class: "small muted" }, words.startedBy(whoOf(job)), " ", time(job.started))),
      progress,
    ),
    context.may("operator") ? end : null,
  );
}

/** @param {Api.JobView} job */
export function titleOf(job) {
  const kind = kindName(job.kind);
  const own = job.title.trim();
  return !own || own.toLowerCase() === kind.toLowerCase() || own.replaceAll(" ", "_") === job.kind ? kind : [kind, ": ", name(own.replace(/^(backup|restore|verification) of /, ""))];
}

/** @param {Api.JobView} job */
export const whoOf = (job) => (job.wanted_by === "schedule" ? words.bySchedule : job.wanted_by);

/** What a job did, in a few words. @param {Api.JobView} job */
function outcome(job) {
  if (job.status !== "succeeded") return job.error ? name(job.error) : null;
  const { result } = job;
  if (!result || typeof result !== "object") return null;
  if (job.kind === "backup" && typeof result.bytes_stored === "number") return words.stored(bytes(result.bytes_stored), result.files_new ?? 0);
  return null;
}

/** @param {Api.JobView[]} jobs @param {boolean} withRepository */
function history(jobs, withRepository) {
  /** @type {[string, Api.JobView[]][]} */
  const days = [];
  for (const job of jobs) {
    const label = dayLabel(job.started);
    if (days.at(-1)?.[0] !== label) days.push([label, []]);
    days.at(-1)?.[1].push(job);
  }
  return days.map(([label, own]) => h("div", { class: "day" }, h("h3", { class: "day-label" }, label), h("ul", { class: "list job-list" }, own.map((job) => {
    const tone = job.status === "succeeded" ? "" : job.status === "cancelled" ? "" : "danger";
    const about = [h("span", null, time(job.started, { as: "clock" })), job.ended ? duration(new Date(job.ended).getTime() - new Date(job.started).getTime()) : null, withRepository ? name(job.repository) : null, words.by(whoOf(job)), job.attempt > 1 ? words.attempt(job.attempt) : null].filter(Boolean);
    return h("li", null, h(
      "a", { class: "list-row", href: view`/activity/${job.job_id}` }, h("div", { class: `list-icon ${tone}` }, kindIcon(job.kind)),
      h("div", { class: "job-words" }, h("p", { class: "list-title truncate" }, titleOf(job)), h("p", { class: "small muted" }, about.map((one, at) => [at ? " · " : "", one])), outcome(job) ? h("p", { class: `small job-outcome ${tone ? "danger-text" : "muted"}` }, outcome(job)) : null),
      jobBadge(job),
    ));
  }))));
}

/** @param {string} when */
function dayLabel(when) {
  const date = new Date(when).toDateString();
  const now = new Date();
  if (date === now.toDateString()) return words.today;
  now.setDate(now.getDate() - 1);
  return date === now.toDateString() ? words.yesterday : day(when);
}
