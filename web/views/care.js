// Looking after a repository: check, restore test, heal, and pruning with its plan.

import { api, path } from "../parts/api.js";
import { confirmDialog } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import { field, select } from "../parts/fields.js";
import { bytes, count, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { card, stat, view } from "../parts/page.js";
import { notice, problemBox } from "../parts/states.js";
import { toast, toastProblem } from "../parts/toast.js";
import { follow, progressView } from "../parts/work.js";
import { text } from "../strings.js";
import { repositoryText as words } from "../strings_backups.js";

/** @typedef {import("./index.js").Context} Context */

/** Starts a job and says so. @param {Context} context @param {string} route @param {unknown} body @param {string} what */
export async function startJob(context, route, body, what) {
  try {
    const { job_id: id } = await api.start(route, body);
    toast(words.started(what), { kind: "good", action: { label: words.follow, run: () => context.go(view`/activity/${id}`) } });
  } catch (error) {
    toastProblem(error);
  }
}

/** @param {Context} context @param {Api.StatusReport | null} status */
export function healthCard(context, status) {
  const own = path`/repositories/${context.repository}`;
  const damage = (status?.alerts ?? []).filter((alert) => alert.kind === "damage" && !alert.cleared);
  /** @param {string} label @param {string | null | undefined} when */
  const line = (label, when) => h("li", { class: "list-row" }, h("span", { class: `list-icon ${when ? "good" : ""}` }, icon(when ? "check" : "clock")), h("span", null, h("span", { class: "list-title block" }, label), h("span", { class: "small muted block" }, when ? time(when) : words.never)));
  const buttons = context.may("operator") ? h(
    "div", { class: "row tight health-actions" },
    h("button", { class: "button small", type: "button", on: { click: () => void check(context, own) } }, icon("shield", 16), words.check),
    h("button", { class: "button small", type: "button", on: { click: () => void ask(context, { title: words.testTitle, body: words.testBody, action: words.testAction, route: `${own}/restore-test`, what: words.test }) } }, icon("restore", 16), words.test),
    h("button", { class: "button small", type: "button", on: { click: () => void ask(context, { title: words.healTitle, body: words.healBody, action: words.healAction, route: `${own}/heal`, what: words.heal }) } }, icon("heart", 16), words.heal),
  ) : null;
  return card({
    title: words.health, flush: true,
    body: [
      h("div", { class: "health-note" }, damage.length ? damage.map((alert) => notice("danger", [h("p", null, alert.message), h("p", { class: "notice-hint" }, alert.advice)])) : notice("good", words.good)),
      h("ul", { class: "list" }, line(words.lastCheck, status?.last_check), line(words.lastTest, status?.last_restore_test)), buttons,
    ],
  });
}

/** @param {Context} context @param {{ title: string, body: string, action: string, route: string, what: string }} options */
async function ask(context, { title, body, action, route, what }) {
  let id = "";
  const isDone = await confirmDialog({ title, body: h("p", null, body), action, run: async () => { id = (await api.start(route, {})).job_id; } });
  if (isDone) toast(words.started(what), { kind: "good", action: { label: words.follow, run: () => context.go(view`/activity/${id}`) } });
}

/** @param {Context} context @param {string} own */
async function check(context, own) {
  // In the order that is written here: keys that are numbers come first in objects.
  const choices = ["", "30", "7", "0"].map((value) => ({ value, label: words.checkReads[/** @type {"30"} */ (value)] }));
  const read = field(words.checkRead, select(choices, { value: "" }));
  let id = "";
  const isDone = await confirmDialog({
    title: words.checkTitle, body: [h("p", null, words.checkBody), read.node], action: words.checkAction,
    run: async () => { id = (await api.start(`${own}/check`, read.control.value ? { period_days: Number(read.control.value) } : {})).job_id; },
  });
  if (isDone) toast(words.started(words.check), { kind: "good", action: { label: words.follow, run: () => context.go(view`/activity/${id}`) } });
}

/** @param {Context} context */
export function pruneCard(context) {
  const own = path`/repositories/${context.repository}`;
  const place = h("div", { class: "stack" });
  const button = h("button", { class: "button", type: "button", on: { click: () => void plan() } }, words.prunePlan);
  const prune = async () => {
    let id = "";
    const isDone = await confirmDialog({ title: words.pruneTitle, danger: true, body: notice("attention", words.pruneWarn), action: words.pruneAction, typed: context.repository, run: async () => { id = (await api.start(`${own}/prune`, {})).job_id; } });
    if (!isDone) return;
    fill(place);
    toast(words.started(text.job.kinds.prune), { kind: "good", action: { label: words.follow, run: () => context.go(view`/activity/${id}`) } });
  };
  const plan = async () => {
    button.disabled = true;
    fill(place, h("p", { class: "muted", role: "status" }, words.prunePlanning));
    try {
      let found = await api.post(`${own}/prune-plan`, {});
      if (found?.job_id) {
        const job = await follow(found.job_id, (now) => { if (now.status === "running") fill(place, progressView(now.progress)); }).ended;
        if (job.status !== "succeeded") throw new Error(job.error ?? text.job.statuses[job.status]);
        found = job.result ?? {};
      }
      const shown = Object.entries(words.pruneFigures).filter(([key]) => typeof found[key] === "number");
      const isNothing = !found.removable_bytes && !found.repack_bytes && !found.packs_removed;
      fill(
        place, isNothing ? notice("good", words.pruneNothing) : null,
        h("div", { class: "stats" }, shown.map(([key, label]) => stat(label, key.endsWith("_bytes") ? bytes(found[key]) : count(found[key])))),
        isNothing ? null : h("div", null, h("button", { class: "button danger", type: "button", on: { click: () => void prune() } }, icon("trash", 18), words.pruneAction)),
      );
    } catch (error) {
      fill(place, problemBox(error));
    } finally {
      button.disabled = false;
    }
  };
  return card({ title: words.prune, body: h("div", { class: "stack" }, h("p", { class: "muted" }, words.pruneBody), h("div", null, button), place) });
}
