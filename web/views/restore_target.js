// The third step of a restore: where files go, and what happens to what is there.

import { address, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { field, input, radioCards, select, toggle } from "../parts/fields.js";
import { name } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { notice } from "../parts/states.js";
import { restoreText as words } from "../strings_backups.js";
import { parentOf } from "./files.js";
import { drawStep } from "./restore.js";

/**
 * @typedef {"folder" | "place" | "download"} Mode
 * @typedef {{ mode: Mode, folder: string, isStraight: boolean, overwrite: Api.ConflictMode, remove: boolean, verify: boolean, before: Api.CheckFirst, format: "zip" | "tar.zst" }} Target
 */

/** @returns {Target} */
export const defaults = () => ({ mode: "folder", folder: "", isStraight: true, overwrite: "if-changed", remove: false, verify: true, before: "structure", format: "zip" });

/** The deepest folder that has all of them in it. @param {string[]} paths */
export function commonFolder(paths) {
  const lists = paths.map((one) => parentOf(one).split("/").filter(Boolean));
  const [first = []] = lists;
  const at = first.findIndex((part, index) => lists.some((list) => list[index] !== part));
  return `/${(at < 0 ? first : first.slice(0, at)).join("/")}`;
}

/** The folder whose content goes straight into the target. @param {import("./restore.js").Choice} choice */
export function straightFolder({ backup, paths, isSome }) {
  if (isSome) return commonFolder(paths);
  return backup?.sources?.length === 1 ? backup.sources[0] : commonFolder(backup?.sources ?? []);
}

/** What the API is asked for. @param {import("./restore.js").Choice} choice @returns {Api.Restore} */
export function requestOf(choice) {
  const { target } = choice;
  const paths = choice.isSome ? choice.paths : [];
  if (target.mode === "place") return { paths, in_place: true, delete: target.remove, verify: target.verify, verify_before: target.before };
  const folder = straightFolder(choice);
  return {
    paths, target: target.folder.replaceAll("%", "%25"), overwrite: target.overwrite, delete: target.remove,
    verify: target.verify, verify_before: target.before, ...(target.isStraight && folder !== "/" ? { subtree: folder } : {}),
  };
}

/** @param {import("./restore.js").Wizard} wizard */
export function chooseTarget(wizard) {
  const { choice, go, context } = wizard;
  const { target } = choice;
  const options = h("div", { class: "stack" });
  const foot = h("div");

  const folder = field(words.target, input({ value: target.folder, class: "mono", placeholder: "/home/ann/restored" }), { hint: words.targetHint });
  folder.control.addEventListener("input", () => { target.folder = folder.control.value.trim(); folder.error(""); });
  const above = straightFolder(choice);
  const straight = above === "/" ? null : toggle(words.straight, { checked: target.isStraight, hint: words.straightHint(above), change: (isOn) => { target.isStraight = isOn; } });
  const conflicts = radioCards(words.conflicts, /** @type {[Api.ConflictMode, string[]][]} */ (Object.entries(words.conflictModes)).map(([value, [label, hint]]) => ({ value, label, hint })), target.overwrite, (value) => { target.overwrite = value; });
  const remove = toggle(words.remove, { checked: target.remove, hint: words.removeHint, change: (isOn) => { target.remove = isOn; } });
  const verify = toggle(words.after, { checked: target.verify, hint: words.afterHint, change: (isOn) => { target.verify = isOn; } });
  const before = field(words.before, select(/** @type {[Api.CheckFirst, string][]} */ (Object.entries(words.checks)).map(([value, label]) => ({ value, label })), { value: target.before }), { hint: words.checksHint });
  before.control.addEventListener("change", () => { target.before = /** @type {Api.CheckFirst} */ (before.control.value); });
  const formats = radioCards(words.format, /** @type {["zip" | "tar.zst", string[]][]} */ (Object.entries(words.formats)).map(([value, [label, hint]]) => ({ value, label, hint })), target.format, (value) => { target.format = value; draw(); });

  const next = h("button", {
    class: "button primary", type: "button",
    on: {
      click: () => {
        const isWrong = target.mode === "folder" && !target.folder.startsWith("/");
        folder.error(isWrong ? words.needTarget : "");
        if (isWrong) return folder.control.focus();
        go(3);
      },
    },
  }, words.next);
  const draw = () => {
    if (target.mode === "download") {
      fill(options, formats.node, downloads(context.repository, choice), notice("info", words.downloadNote));
      fill(foot);
      return;
    }
    const isFolder = target.mode === "folder";
    fill(options, isFolder ? [folder.node, straight?.node, conflicts.node] : null, h("div", { class: "fields wide" }, before.node), verify.node, remove.node);
    fill(foot, next);
  };
  const modes = radioCards(words.whereLegend, /** @type {[Mode, string[]][]} */ (Object.entries(words.modes)).map(([value, [label, hint]]) => ({ value, label, hint })), target.mode, (value) => { target.mode = value; draw(); });
  draw();
  drawStep(wizard, { title: words.whereTitle, back: 1, body: h("div", { class: "target-layout" }, modes.node, options), next: foot });
}

/** Links: one archive, or one for each choice. @param {string} repository @param {import("./restore.js").Choice} choice */
function downloads(repository, { backup, paths, isSome, target }) {
  const own = path`/repositories/${repository}/backups/${/** @type {Api.Backup} */ (backup).backup_id}/archive`;
  const link = (/** @type {string | null} */ one, /** @type {import("../parts/dom.js").Child} */ label, /** @type {string} */ className) => h("a", { class: className, href: address(own, { path: one, format: target.format }), download: true }, icon("download", 18), label);
  if (!isSome || paths.length === 1) return h("div", null, link(isSome ? paths[0] : null, words.downloadNow, "button primary"));
  return h("div", { class: "stack tight" }, h("p", null, words.downloadSome), h("ul", { class: "stack tight" }, paths.map((one) => h("li", null, link(one, h("span", { class: "truncate" }, name(one)), "button quiet")))));
}
