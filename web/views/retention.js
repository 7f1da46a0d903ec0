// Rules of retention, and what they would do with the backups that there are now.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { field, input, radioCards } from "../parts/fields.js";
import { dateTime, name } from "../parts/formats.js";
import { notice, problemBox } from "../parts/states.js";
import { badge } from "../parts/work.js";
import { scheduleText as words } from "../strings_backups.js";

/** @typedef {Record<string, any>} Keep */
/** @typedef {{ groups: { host: string, roots: string[], is_paused?: boolean, is_emptied?: boolean, backups: { backup_id: string, timestamp: string, keep: boolean, reasons: string[] }[] }[], keep_count: number, remove_count: number }} Preview */

/** What new rules begin with. */
const BEGIN = { keep_daily: 14, keep_weekly: 8, keep_monthly: 12 };

/**
 * @param {string} repository
 * @param {Keep | null | undefined} given
 * @param {{ isNeeded?: boolean }} [options] `isNeeded`: there have to be rules
 */
export function retentionEditor(repository, given, options = {}) {
  const keep = { ...given };
  let hasRules = Boolean(options.isNeeded) || Object.keys(keep).length > 0;
  if (options.isNeeded && !Object.keys(keep).length) Object.assign(keep, BEGIN);
  const wrong = h("p", { class: "field-error", role: "alert" });
  const preview = h("div", { class: "stack tight", "aria-live": "polite" });
  const place = h("div", { class: "stack" });
  let asked = new AbortController();
  let timer = 0;

  const ask = async () => {
    asked.abort();
    const own = new AbortController();
    asked = own;
    if (!Object.keys(keep).length) return void fill(preview, h("p", { class: "muted" }, words.needRule));
    try {
      /** @type {Preview} */
      const found = await api.post(path`/repositories/${repository}/retention-preview`, { keep }, { signal: own.signal });
      if (!own.signal.aborted) fill(preview, drawPreview(found));
    } catch (error) {
      if (!own.signal.aborted) fill(preview, problemBox(error));
    }
  };
  const later = () => {
    fill(wrong);
    clearTimeout(timer);
    timer = window.setTimeout(() => void ask(), 300);
  };
  /** @param {string} key @param {string} label @param {boolean} isCount */
  const rule = (key, label, isCount) => {
    const control = input({ value: keep[key] === undefined ? "" : String(keep[key]), inputmode: isCount ? "numeric" : "text", placeholder: isCount ? "–" : "–" });
    control.addEventListener("input", () => {
      const text = control.value.trim();
      if (!text) delete keep[key];
      else keep[key] = isCount && /^\d+$/.test(text) ? Number(text) : text;
      later();
    });
    return field(label, control).node;
  };
  const draw = () => {
    if (!hasRules) {
      fill(place);
      asked.abort();
      return;
    }
    fill(
      place,
      h("div", null, h("div", { class: "rule-fields" }, Object.entries(words.counts).map(([key, label]) => rule(key, label, true))), h("p", { class: "field-hint" }, words.countsHint)),
      h("details", { open: Object.keys(keep).some((key) => key.startsWith("keep_within")) }, h("summary", null, words.byAge), h("div", { class: "rule-fields" }, rule("keep_within", words.within, false), Object.entries(words.withins).map(([key, label]) => rule(key, label, false))), h("p", { class: "field-hint" }, words.withinHint)),
      wrong,
      h("section", { class: "preview-box" }, h("h3", null, words.previewTitle), preview),
    );
    fill(preview, h("p", { class: "muted" }, words.previewing));
    void ask();
  };
  const cards = options.isNeeded ? null : radioCards(words.keepLegend, [
    { value: "all", label: words.keepAll, hint: words.keepAllHint },
    { value: "rules", label: words.keepRules, hint: words.keepRulesHint },
  ], hasRules ? "rules" : "all", (value) => {
    hasRules = value === "rules";
    if (hasRules && !Object.keys(keep).length) Object.assign(keep, BEGIN);
    draw();
  });
  draw();
  return {
    node: h("div", { class: "stack" }, cards?.node, place),
    value: () => (hasRules ? keep : null),
    /** Says what is missing, and whether something is. */
    isWrong: () => {
      const isMissing = hasRules && !Object.keys(keep).length;
      fill(wrong, isMissing ? words.needRule : "");
      return isMissing;
    },
    stop: () => { asked.abort(); clearTimeout(timer); },
  };
}

/** @param {Preview} found */
export function drawPreview(found) {
  if (!found.groups.length) return h("p", { class: "muted" }, words.previewNone);
  return [
    h("p", { class: "row tight" }, badge("good", words.previewKeep(found.keep_count)), badge(found.remove_count ? "attention" : "plain", words.previewRemove(found.remove_count))),
    found.groups.map((group) => h(
      "div", { class: "preview-group" },
      h("p", { class: "small" }, name(group.host), ": ", group.roots.map((root, at) => [at ? ", " : "", name(root)])),
      group.is_paused ? notice("info", words.previewPaused) : null, group.is_emptied ? notice("danger", words.previewEmptied) : null,
      h("div", { class: "preview-strip", "aria-hidden": "true" }, group.backups.slice(0, 400).toReversed().map((one) => h("span", { class: one.keep ? "kept" : "", title: `${dateTime(one.timestamp)} · ${one.keep ? one.reasons.join("; ") || words.kept : words.forgotten}` }))),
      h("details", null, h("summary", null, words.previewWhy), h("ul", { class: "preview-list", tabindex: "0" }, group.backups.slice(0, 400).map((one) => h("li", null, h("span", { class: one.keep ? "good" : "attention" }, one.keep ? words.kept : words.forgotten), h("time", { datetime: one.timestamp }, dateTime(one.timestamp)), h("span", { class: "muted" }, one.reasons.join("; ")))))),
    )),
  ];
}
