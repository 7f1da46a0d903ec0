// The restore wizard: a point in time, files, where to, what will happen, and doing it.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { field, input, radioCards } from "../parts/fields.js";
import { dateTime, name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { pageHead } from "../parts/page.js";
import { empty, loaded, notice, skeleton } from "../parts/states.js";
import { toast, toastProblem } from "../parts/toast.js";
import { follow } from "../parts/work.js";
import { text } from "../strings.js";
import { restoreText as words } from "../strings_backups.js";
import { amount, backupBadge, labels, listBackups, needStyles, sourceNames } from "./backup_parts.js";
import { showFile } from "./file.js";
import { fileBrowser, parentOf } from "./files.js";
import { chooseTarget, defaults } from "./restore_target.js";
import { showPlan } from "./restore_plan.js";
import { runRestore } from "./restore_run.js";

/**
 * @typedef {{ backup: Api.Backup | null, paths: string[], isSome: boolean, target: import("./restore_target.js").Target }} Choice
 * @typedef {{ context: import("./index.js").Context, choice: Choice, go: (step: number) => void, stage: HTMLElement, ends: (() => void)[] }} Wizard
 */

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository, query } = context;
  const steps = h("ol", { class: "steps wizard-steps", "aria-label": words.stepsLabel });
  const stage = h("section", { class: "card wizard", tabindex: "-1", "aria-labelledby": "wizard-title" });
  const warning = h("div");
  const paths = query.getAll("path");
  /** @type {Wizard} */
  const wizard = { context, choice: { backup: null, paths, isSome: paths.length > 0, target: defaults() }, go: () => {}, stage, ends: [] };
  const views = [choosePoint, chooseFiles, chooseTarget, showPlan, runRestore];

  wizard.go = (step) => {
    for (const end of wizard.ends.splice(0)) end();
    fill(steps, words.steps.map((label, at) => h(
      "li", { class: at < step ? "step done" : at === step ? "step now" : "step", "aria-current": at === step ? "step" : null },
      h("span", { class: "step-mark", "aria-hidden": "true" }, at < step ? icon("check", 16) : String(at + 1)), h("span", { class: "step-label" }, label),
    )));
    views[step]?.(wizard);
    if (document.activeElement === document.body || stage.contains(document.activeElement)) stage.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  };
  const begin = async () => {
    const id = query.get("backup");
    if (query.get("job")) return wizard.go(4);
    if (!id) return wizard.go(0);
    fill(stage, skeleton(5, "rows"));
    try {
      wizard.choice.backup = await api.get(path`/repositories/${repository}/backups/${id}`);
      wizard.go(paths.length ? 2 : 1);
    } catch (error) {
      toastProblem(error);
      wizard.go(0);
    }
  };
  void begin();
  void unfinished(context, warning);
  const node = h("div", { class: "restore-view" }, pageHead({ title: words.title, lead: words.lead }), warning, steps, stage);
  return { title: words.title, node, stop: () => { for (const end of wizard.ends) end(); } };
}

/** Restores in place that never ended. @param {import("./index.js").Context} context @param {HTMLElement} place */
async function unfinished({ repository, may }, place) {
  const own = path`/repositories/${repository}/restores`;
  /** @type {{ id: string, target: string, is_running: boolean }[]} */
  let found = [];
  try {
    /** @type {Api.Page_JobView} */
    const jobs = await api.get("/jobs", { repository, kind: "restore", status: "interrupted", limit: 1 });
    if (!jobs.items.length) return;
    const answer = await api.get(own);
    found = (Array.isArray(answer) ? answer : answer.items ?? answer.restores ?? []).filter((/** @type {{ is_running: boolean }} */ one) => !one.is_running);
  } catch {
    // What cannot be known is not told.
  }
  fill(place, found.map((one) => {
    const button = h("button", {
      class: "button small", type: "button",
      on: {
        click: async () => {
          button.disabled = true;
          try {
            const started = await api.start(`${own}/${encodeURIComponent(one.id)}/rollback`);
            const job = started.job_id ? await follow(started.job_id, () => {}).ended : null;
            if (job && job.status !== "succeeded") throw new Error(job.error ?? text.job.statuses[job.status]);
            toast(words.rolledBack, { kind: "good" });
            box.remove();
          } catch (error) {
            toastProblem(error);
            button.disabled = false;
          }
        },
      },
    }, words.rollback);
    const box = notice("attention", [h("strong", null, words.unfinished), h("p", null, words.unfinishedBody(one.target)), may("admin") ? button : null]);
    return box;
  }));
}

/** The head and foot that all steps share. @param {Wizard} wizard @param {{ title: string, lead?: import("../parts/dom.js").Child, body: import("../parts/dom.js").Child, back?: number, next?: import("../parts/dom.js").Child, flush?: boolean }} options */
export function drawStep({ stage, go }, { title, lead, body, back, next, flush }) {
  fill(
    stage, h("div", { class: "card-head" }, h("div", null, h("h2", { id: "wizard-title" }, title), lead ? h("p", { class: "small muted" }, lead) : null)),
    flush ? body : h("div", { class: "card-body" }, body),
    back !== undefined || next ? h("div", { class: "wizard-foot" }, back === undefined ? h("span") : h("button", { class: "button quiet", type: "button", on: { click: () => go(back) } }, icon("back", 16), words.back), next) : null,
  );
}

/** @param {Wizard} wizard */
function choosePoint(wizard) {
  const { context, choice, go } = wizard;
  const { repository } = context;
  const when = field(words.asOf, input({ type: "datetime-local", class: "auto" }), { hint: words.asOfHint });
  /** @type {Api.Backup[]} */
  let items = [];
  /** @type {string | null | undefined} */
  let next = null;
  const list = h("div");
  const draw = () => {
    fill(list, items.length
      ? h("ul", { class: "list" }, items.map((one, at) => h("li", { class: "point" }, h(
        "button", { class: "list-row point-button", type: "button", on: { click: () => { if (choice.backup?.backup_id !== one.backup_id) choice.paths = []; choice.backup = one; context.setQuery({ backup: one.backup_id, path: null }); go(1); } } },
        h("span", { class: "list-icon" }, icon("restore", 18)),
        h("span", { class: "point-text" }, h("span", { class: "list-title" }, time(one.timestamp, { as: "full" }), " ", at === 0 && !when.control.value ? h("span", { class: "chip" }, words.newestGood) : null, labels(one)), h("span", { class: "small muted block" }, sourceNames(one.sources), " · ", name(one.host ?? ""), " · ", amount(one))),
        h("span", { class: "row tight" }, one.errors ? backupBadge(one) : null, icon("chevron", 16)),
      ))), next ? h("li", { class: "table-more" }, h("button", { class: "button", type: "button", on: { click: () => void more() } }, words.morePoints)) : null)
      : empty({ icon: "restore", title: words.noPoints, body: words.noPointsBody }));
  };
  /** @param {AbortSignal} [signal] */
  const ask = async (signal) => {
    const until = when.control.value ? new Date(new Date(when.control.value).getTime() + 59_999).toISOString() : null;
    const part = await listBackups(repository, { status: "completed", limit: 20, page: next, until }, signal);
    items = items.concat(part.items);
    next = part.next_page;
  };
  const more = () => ask().then(draw).catch(toastProblem);
  const part = loaded({
    load: async (signal) => { items = []; next = null; await ask(signal); },
    draw: () => { draw(); return list; },
    skeleton: skeleton(5, "rows"),
  });
  wizard.ends.push(part.stop);
  when.control.addEventListener("change", () => void part.reload());
  drawStep(wizard, { title: words.pointTitle, flush: true, body: [h("div", { class: "wizard-filter" }, h("div", null, when.node)), part.node] });
}

/** @param {Wizard} wizard */
function chooseFiles(wizard) {
  const { context, choice, go } = wizard;
  const backup = /** @type {Api.Backup} */ (choice.backup);
  const selected = new Set(choice.paths);
  const said = h("p", { class: "small muted", "aria-live": "polite" });
  const wrong = h("p", { class: "field-error", role: "alert" });
  const place = h("div", { class: "wizard-files" });
  const changed = () => { fill(said, choice.isSome ? words.chosen(selected.size) : ""); fill(wrong); };
  /** @type {ReturnType<typeof fileBrowser> | null} */
  let browser = null;
  const drawFiles = () => {
    changed();
    place.hidden = !choice.isSome;
    if (!choice.isSome || browser) return;
    const folder = choice.paths.length ? parentOf(choice.paths[0]) : backup.sources?.length === 1 ? backup.sources[0] : "/";
    browser = fileBrowser({ repository: context.repository, backup: backup.backup_id, folder, selected, changed, height: "46vh", open: (entry) => showFile({ repository: context.repository, backup: backup.backup_id, entry, mayRestore: false }) });
    fill(place, browser.node);
    wizard.ends.push(browser.stop);
  };
  const cards = radioCards(words.filesLegend, [
    { value: "all", label: words.everything, hint: words.everythingHint(amount(backup)) },
    { value: "some", label: words.some, hint: words.someHint },
  ], choice.isSome ? "some" : "all", (value) => { choice.isSome = value === "some"; drawFiles(); });
  drawFiles();
  drawStep(wizard, {
    title: words.filesTitle, lead: [dateTime(backup.timestamp), " · ", name(backup.host ?? "")], back: 0,
    body: h("div", { class: "stack" }, cards.node, place, wrong),
    next: h("div", { class: "row" }, said, h("button", {
      class: "button primary", type: "button",
      on: {
        click: () => {
          if (choice.isSome && !selected.size) return void fill(wrong, words.needFiles);
          choice.paths = choice.isSome ? [...selected] : [];
          go(2);
        },
      },
    }, words.next)),
  });
}
