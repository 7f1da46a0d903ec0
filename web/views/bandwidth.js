// Limits of bandwidth by the clock, as lines of a plan: `mon-fri 08:00-18:00 2M, else unlimited`.

import { fill, h } from "../parts/dom.js";
import { field, input, select } from "../parts/fields.js";
import { icon } from "../parts/icons.js";
import { scheduleText as words } from "../strings_backups.js";

/** @typedef {{ days: string, from: string, until: string, rate: string }} Window */

const WINDOW = /^(?:([a-z]{3}(?:[-+][a-z]{3})*)\s+)?(?:(\d\d:\d\d)-(\d\d:\d\d)\s+)?((?:up|down|unlimited|\d).*)$/i;

/** The windows of a plan; `null` if it has something that these fields do not. @param {string} plan @returns {{ windows: Window[], rest: string } | null} */
function read(plan) {
  /** @type {Window[]} */
  const windows = [];
  let rest = "";
  for (const part of plan.split(",").map((one) => one.trim()).filter(Boolean)) {
    if (part.startsWith("else ")) {
      rest = part.slice(5).trim();
      continue;
    }
    const found = WINDOW.exec(part);
    if (!found) return null;
    if (!found[1] && !found[2]) rest = found[4];
    else windows.push({ days: found[1] ?? "", from: found[2] ?? "", until: found[3] ?? "", rate: found[4] });
  }
  return { windows, rest };
}

/** @param {string | null | undefined} given */
export function bandwidthEditor(given) {
  const plan = given ?? "";
  const found = read(plan);
  const wrong = h("p", { class: "field-error", role: "alert" });
  if (!found) {
    const text = field(words.asText, input({ value: plan, class: "mono" }), { hint: words.bandwidthHint });
    return { node: text.node, value: () => text.control.value.trim() || null, isWrong: () => false };
  }
  const { windows } = found;
  let { rest } = found;
  const rows = h("div", { class: "stack tight" });
  /** @param {boolean} [isNew] */
  const draw = (isNew) => {
    fill(rows, windows.map((one, at) => {
      /** @param {keyof Window} key */
      const take = (key) => ({ input: (/** @type {Event} */ event) => { one[key] = /** @type {HTMLInputElement} */ (event.target).value; fill(wrong); } });
      const known = ["", "mon-fri", "sat+sun"];
      const days = [{ value: "", label: words.anyDay }, { value: "mon-fri", label: words.workDays }, { value: "sat+sun", label: words.weekend }, ...(known.includes(one.days) ? [] : [{ value: one.days, label: one.days }])];
      return h(
        "div", { class: "window-row" },
        field(words.days, select(days, { value: one.days, on: take("days") })).node,
        field(words.from, input({ type: "time", value: one.from, on: take("from") })).node,
        field(words.until, input({ type: "time", value: one.until, on: take("until") })).node,
        field(words.rate, input({ value: one.rate, placeholder: "2M", class: "mono", on: take("rate") })).node,
        h("button", { class: "icon-button", type: "button", "aria-label": words.removeWindow, on: { click: () => { windows.splice(at, 1); draw(); } } }, icon("trash", 18)),
      );
    }));
    if (isNew) /** @type {HTMLElement | null} */ (rows.querySelector(".window-row:last-child select"))?.focus();
  };
  draw();
  const other = field(words.otherwise, input({ value: rest, placeholder: "unlimited", class: "mono", on: { input: (/** @type {Event} */ event) => { rest = /** @type {HTMLInputElement} */ (event.target).value; } } }));
  return {
    node: h("div", { class: "stack tight" }, h("h3", null, words.bandwidth), h("p", { class: "field-hint" }, words.bandwidthHint), rows, wrong, h("div", { class: "fields" }, other.node), h("div", null, h("button", { class: "button small", type: "button", on: { click: () => { windows.push({ days: "mon-fri", from: "08:00", until: "18:00", rate: "" }); draw(true); } } }, icon("plus", 16), words.addWindow))),
    value: () => {
      const parts = windows.map((one) => [one.days, one.from && one.until ? `${one.from}-${one.until}` : "", one.rate.trim()].filter(Boolean).join(" "));
      const last = rest.trim();
      if (last) parts.push(parts.length ? `else ${last}` : last);
      return parts.join(", ") || null;
    },
    isWrong: () => {
      const isMissing = windows.some((one) => !one.rate.trim());
      fill(wrong, isMissing ? words.needRate : "");
      return isMissing;
    },
  };
}
