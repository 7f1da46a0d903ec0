// Jobs: what they are called, how they go, and waiting for their end.

import { text } from "../strings.js";
import { api, path } from "./api.js";
import { meter } from "./chart.js";
import { h } from "./dom.js";
import { listen } from "./events.js";
import { bytes, count, duration, name } from "./formats.js";
import { icon } from "./icons.js";

/** @type {Record<string, string>} */
const KIND_ICONS = {
  backup: "backups", forget: "clock", prune: "trash", check: "shield", mirror_sync: "mirror", heal: "heart",
  restore_test: "check", restore: "restore", verify: "check",
};

/** @param {string} kind */
export const kindIcon = (kind) => icon(KIND_ICONS[kind] ?? "activity");

/** @param {string} kind */
export const kindName = (kind) => /** @type {Record<string, string>} */ (text.job.kinds)[kind] ?? kind;

/** A word in the colour of how it stands. @param {"good" | "attention" | "danger" | "plain" | "live"} tone @param {import("./dom.js").Child} label */
export function badge(tone, label) {
  return h("span", { class: `badge badge-${tone}` }, h("span", { class: "badge-dot", "aria-hidden": "true" }), label);
}

/** @param {Api.JobView} job */
export function jobBadge(job) {
  /** @type {Record<string, "good" | "attention" | "danger" | "plain" | "live">} */
  const tones = { running: "live", succeeded: job.warnings ? "attention" : "good", failed: "danger", cancelled: "plain", interrupted: "danger" };
  const word = job.status === "succeeded" && job.warnings ? text.job.warnings(job.warnings) : /** @type {Record<string, string>} */ (text.job.statuses)[job.status];
  return badge(tones[job.status] ?? "plain", word ?? job.status);
}

/** How far a job is: a bar, and the figures in words. @param {Api.ProgressEvent | null | undefined} progress */
export function progressView(progress) {
  if (!progress) return h("div", { class: "progress" }, meter(null, text.job.progress), h("p", { class: "progress-line muted" }, text.job.starting));
  const share = progress.fraction_done ?? (progress.total_known && progress.bytes_total ? progress.bytes_done / progress.bytes_total : null);
  const parts = [
    progress.phase ? /** @type {Record<string, string>} */ (text.job.phases)[progress.phase] ?? progress.phase : null,
    share === null ? null : `${Math.floor(share * 100)} %`,
    progress.files_done ? text.job.files(count(progress.files_done)) : null,
    progress.bytes_done ? (progress.total_known && progress.bytes_total ? text.job.bytesOf(bytes(progress.bytes_done), bytes(progress.bytes_total)) : bytes(progress.bytes_done)) : null,
    progress.bytes_per_second ? text.job.rate(bytes(progress.bytes_per_second)) : null,
    progress.eta_ms ? text.job.eta(duration(progress.eta_ms)) : null,
  ].filter(Boolean);
  return h(
    "div", { class: "progress" }, meter(share, text.job.progress),
    h("p", { class: "progress-line" }, parts.join(" · ") || text.job.starting),
    progress.current ? h("p", { class: "progress-current muted" }, name(progress.current)) : null,
  );
}

/**
 * Follows a job to its end by the stream of events. `change` is called with each news.
 * @param {string} id
 * @param {(job: Api.JobView) => void} change
 * @returns {{ ended: Promise<Api.JobView>, stop: () => void }}
 */
export function follow(id, change) {
  /** @type {Api.JobView | null} */
  let job = null;
  let isOver = false;
  /** @type {(job: Api.JobView) => void} */
  let finish = () => {};
  /** @type {Promise<Api.JobView>} */
  const ended = new Promise((resolve) => { finish = resolve; });
  /** @param {Api.JobView} now */
  const take = (now) => {
    if (isOver) return;
    job = now;
    change(now);
    if (now.status !== "running") {
      isOver = true;
      stop();
      finish(now);
    }
  };
  const ask = async () => {
    try {
      take(await api.get(path`/jobs/${id}`));
    } catch {
      // The next event, or the poll, asks again.
    }
  };
  const end = listen((happening) => {
    if (happening.type === "reset") void ask();
    else if (happening.job?.job_id === id) take(happening.job);
    else if (happening.job_id === id && happening.progress && job) take({ ...job, progress: happening.progress });
  });
  // Events may be on a way that proxies hold back.
  const timer = window.setInterval(ask, 10_000);
  const stop = () => {
    end();
    clearInterval(timer);
  };
  void ask();
  return { ended, stop };
}

/** @param {string} id */
export const cancelJob = (id) => api.post(path`/jobs/${id}/cancel`);
