// All schedules of a repository: when they run, how the last run went, and what can be done.

import { api, path } from "../parts/api.js";
import { confirmDialog } from "../parts/dialog.js";
import { h } from "../parts/dom.js";
import { name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { buttonLink, pageHead, view } from "../parts/page.js";
import { empty, loaded, skeleton, soon } from "../parts/states.js";
import { toast, toastProblem } from "../parts/toast.js";
import { badge, jobBadge, kindIcon, kindName } from "../parts/work.js";
import { schedulesText as words } from "../strings_backups.js";
import { menu, needStyles } from "./backup_parts.js";
import { inWords, whenOf } from "./cron.js";

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository } = context;
  const add = context.may("operator") ? buttonLink(view`/r/${repository}/schedules/new`, [icon("plus", 18), words.add], "primary") : null;
  const part = loaded({
    load: async (signal) => {
      const [list, jobs] = await Promise.all([
        /** @type {Promise<Api.ScheduleView[]>} */ (api.get(path`/repositories/${repository}/schedules`, {}, signal)),
        /** @type {Promise<Api.Page_JobView>} */ (api.get("/jobs", { repository, limit: 200 }, signal)),
      ]);
      return list.map((one) => ({ one, last: jobs.items.find((job) => job.schedule_id === one.schedule.schedule_id) }));
    },
    draw: (list) => (list.length
      ? h("ul", { class: "schedule-list" }, list.map(({ one, last }) => row(context, one, last, () => void part.reload())))
      : h("div", { class: "card" }, empty({ icon: "schedules", title: words.noneTitle, body: words.noneBody, action: context.may("operator") ? buttonLink(view`/r/${repository}/schedules/new`, words.add, "primary") : null }))),
    skeleton: h("div", { class: "card" }, skeleton(4, "rows")),
  });
  const again = soon(() => void part.reload(), 300);
  context.listen((happening) => { if (["schedule_changed", "job_started", "job_ended", "reset"].includes(happening.type)) again(); });
  const node = h("div", null, pageHead({ title: words.title, lead: words.lead, actions: add }), part.node);
  return { title: words.title, node, stop: () => { again.stop(); part.stop(); } };
}

/** @param {import("./index.js").Context} context @param {Api.ScheduleView} one @param {Api.JobView | undefined} last @param {() => void} reload */
function row(context, one, last, reload) {
  const { repository } = context;
  const { schedule } = one;
  const id = schedule.schedule_id;
  const own = path`/repositories/${repository}/schedules/${id}`;
  const kind = schedule.job?.kind ?? "backup";
  const title = schedule.name ?? kindName(kind);
  const edit = view`/r/${repository}/schedules/${id}`;
  const sources = schedule.job?.kind === "backup" ? schedule.job.sources ?? [] : [];
  /** @param {string} deed @param {string} said */
  const act = async (deed, said) => {
    try {
      await api.post(`${own}/${deed}`);
      toast(said, { kind: "good" });
      reload();
    } catch (error) {
      toastProblem(error);
    }
  };
  const remove = async () => {
    const isDone = await confirmDialog({ title: words.removeTitle, body: [h("p", null, h("strong", null, name(title))), h("p", null, words.removeBody)], action: words.removeAction, danger: true, run: () => api.delete(own) });
    if (!isDone) return;
    toast(words.removed, { kind: "good" });
    reload();
  };
  const state = one.is_running ? badge("live", words.running) : !schedule.enabled ? badge("plain", words.paused) : one.failed_attempts ? badge("attention", words.retrying) : last ? jobBadge(last) : null;
  const more = context.may("operator") ? [
    { label: words.edit, icon: "edit", href: edit },
    schedule.enabled ? { label: words.pause, icon: "pause", run: () => void act("pause", words.pausedNow) } : { label: words.resume, icon: "play", run: () => void act("resume", words.resumedNow) },
    { label: words.remove, icon: "trash", danger: true, run: () => void remove() },
  ] : [];
  return h("li", { class: `card schedule ${schedule.enabled ? "" : "off"}`.trim() }, h(
    "div", { class: "schedule-row" },
    h("div", { class: `list-icon ${one.is_running ? "live" : ""}` }, kindIcon(kind)),
    h(
      "div", { class: "schedule-text" },
      h("p", { class: "row tight" }, context.may("operator") ? h("a", { class: "schedule-title", href: edit }, name(title)) : h("span", { class: "schedule-title" }, name(title)), state),
      h("p", null, inWords(whenOf(schedule)), schedule.name ? [h("span", { class: "muted" }, " · ", kindName(kind))] : null),
      h(
        "p", { class: "small muted" },
        one.next_runs.length ? [words.next, " ", time(one.next_runs[0])] : words.paused, " · ",
        last ? [words.last, " ", time(last.ended ?? last.started)] : words.neverRan,
        sources.length ? [" · ", sources.slice(0, 3).map((source, at) => [at ? ", " : "", name(source)]), sources.length > 3 ? "…" : ""] : null,
        schedule.origin ? [" · ", words.fromProfile(schedule.origin)] : null,
      ),
      last?.status === "failed" && !one.is_running ? h("p", { class: "small danger-text" }, name(last.error ?? "")) : null,
    ),
    h(
      "div", { class: "row tight schedule-actions" },
      context.may("operator") ? h("button", { class: "button small", type: "button", disabled: one.is_running, on: { click: () => void act("run", words.runStarted) } }, icon("play", 16), words.runNow) : null,
      more.length ? menu([words.more, h("span", { class: "visually-hidden" }, words.actions(title))], more, "quiet small") : null,
    ),
  ));
}
