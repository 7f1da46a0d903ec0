// The fourth step of a restore: what will happen, before anything is touched.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { bytes, count, dateTime, name } from "../parts/formats.js";
import { facts } from "../parts/page.js";
import { loaded, notice, skeleton } from "../parts/states.js";
import { restoreText as words, backupsText } from "../strings_backups.js";
import { drawStep } from "./restore.js";
import { requestOf } from "./restore_target.js";

/** @typedef {keyof typeof words.plan} Line */

/** How many entries each thing happens to. @param {Api.RestorePlan} plan @returns {[Line, number][]} */
function lines({ into_folder: folder, in_place: place }) {
  if (folder) {
    return [["create", folder.create], ["replace", folder.replace], ["both", folder.keep_both], ["keep", folder.skip], ["same", folder.unchanged], ["remove", folder.delete], ["fail", folder.fail]];
  }
  const own = place ?? {};
  return [["create", own.created ?? 0], ["replace", own.replaced ?? 0], ["describe", own.described ?? 0], ["keep", own.skipped ?? 0], ["same", own.unchanged ?? 0], ["remove", own.deleted ?? 0]];
}

/** @type {Record<Line, string>} */
const TONES = { create: "good", replace: "attention", both: "live", keep: "", same: "", remove: "danger", describe: "", fail: "danger" };

/** @param {import("./restore.js").Wizard} wizard */
export function showPlan(wizard) {
  const { choice, context, go } = wizard;
  const backup = /** @type {Api.Backup} */ (choice.backup);
  const foot = h("div");
  const part = loaded({
    load: (signal) => /** @type {Promise<Api.RestorePlan>} */ (api.post(path`/repositories/${context.repository}/backups/${backup.backup_id}/restore-plan`, requestOf(choice), { signal })),
    draw: (plan) => {
      const shown = lines(plan).filter(([line, value]) => value > 0 || line === "create" || line === "replace");
      const isNothing = shown.every(([line, value]) => value === 0 || line === "same" || line === "keep");
      const folder = plan.into_folder;
      const start = h("button", { class: "button primary", type: "button", disabled: !plan.has_room, on: { click: () => go(4) } }, words.start);
      fill(foot, start);
      return h(
        "div", { class: "stack wide-gap" },
        plan.has_room || !folder ? null : notice("danger", [h("strong", null, words.noRoom), h("p", null, words.noRoomBody(bytes(folder.room_needed), bytes(folder.room_available)))]),
        isNothing ? notice("good", words.nothing) : null,
        h("ul", { class: "plan-figures" }, shown.map(([line, value]) => h("li", { class: `plan-figure ${value ? TONES[line] : "zero"}` }, h("span", { class: "plan-count" }, count(value)), h("span", { class: "plan-name" }, words.plan[line]), h("span", { class: "small muted" }, words.planNote[line])))),
        facts([
          [words.summary.from, [dateTime(backup.timestamp), " · ", name(backup.host ?? "")]],
          [words.summary.what, choice.isSome ? choice.paths.slice(0, 8).map((one) => h("div", { class: "mono" }, name(one))).concat(choice.paths.length > 8 ? [h("div", { class: "muted" }, words.chosen(choice.paths.length))] : []) : `${words.everything}, ${backupsText.files(backup.template_count)}`],
          [words.summary.to, choice.target.mode === "place" ? words.inPlace : h("span", { class: "mono" }, name(choice.target.folder))],
          ...(folder ? [/** @type {[string, string]} */ ([words.bytesToWrite, `${bytes(folder.bytes_to_write)} · ${words.room(bytes(folder.room_available))}`])] : plan.in_place?.bytes ? [/** @type {[string, string]} */ ([words.bytesToWrite, bytes(plan.in_place.bytes)])] : []),
        ]),
        plan.problems.length ? h("div", { class: "stack tight" }, h("h3", null, words.problems), h("ul", { class: "log", tabindex: "0" }, plan.problems.map((one) => h("li", null, name(one))))) : null,
      );
    },
    skeleton: h("div", null, h("p", { class: "muted" }, words.planning), skeleton(4, "cards")),
  });
  wizard.ends.push(part.stop);
  drawStep(wizard, { title: words.planTitle, back: 2, body: part.node, next: foot });
}
