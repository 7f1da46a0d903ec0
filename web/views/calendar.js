// A month of backups as a calendar, and a day of them by the hour.

import { fill, h } from "../parts/dom.js";
import { icon } from "../parts/icons.js";
import { text } from "../strings.js";
import { backupsText as words } from "../strings_backups.js";

const monthName = new Intl.DateTimeFormat(text.locale, { month: "long", year: "numeric" });
const dayName = new Intl.DateTimeFormat(text.locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** The local day, as `2026-11-24`. @param {Date | string} when */
export function dayKey(when) {
  const date = new Date(when);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The local midnight that a day begins with. @param {string} key */
export function dayStart(key) {
  const [year, month, day] = key.split("-").map(Number);
  return new Date(year, month - 1, day);
}

/** @param {string} key @param {number} days */
export function addDays(key, days) {
  const date = dayStart(key);
  date.setDate(date.getDate() + days);
  return dayKey(date);
}

/** The name of a day, in full. @param {string} key */
export const dayTitle = (key) => dayName.format(dayStart(key));

/** The days that the calendar of a month shows: whole weeks from Monday on. @param {string} key */
export function monthDays(key) {
  const first = dayStart(`${key.slice(0, 7)}-01`);
  const before = (first.getDay() + 6) % 7;
  const length = new Date(first.getFullYear(), first.getMonth() + 1, 0).getDate();
  const start = addDays(dayKey(first), -before);
  return Array.from({ length: Math.ceil((before + length) / 7) * 7 }, (_, at) => addDays(start, at));
}

/**
 * @param {{ month: string, selected: string, counts: Map<string, number>, choose: (day: string) => void, turn: (months: number) => void, newest: () => void }} options
 */
export function calendar({ month, selected, counts, choose, turn, newest }) {
  const days = monthDays(month);
  const today = dayKey(new Date());
  const inMonth = days.filter((day) => day.startsWith(month.slice(0, 7)));
  const most = Math.max(1, ...inMonth.map((day) => counts.get(day) ?? 0));
  const total = inMonth.reduce((sum, day) => sum + (counts.get(day) ?? 0), 0);
  const active = inMonth.includes(selected) ? selected : inMonth.findLast((day) => counts.get(day)) ?? inMonth[0];
  /** @param {string} day */
  const cell = (day) => {
    if (!inMonth.includes(day)) return h("td", { role: "gridcell", class: "calendar-out" });
    const count = counts.get(day) ?? 0;
    const level = count ? Math.min(4, Math.ceil((count / most) * 4)) : 0;
    return h("td", { role: "gridcell", "aria-selected": String(day === selected) }, h(
      "button", {
        class: `calendar-day level-${level} ${day === today ? "today" : ""}`.trim(), type: "button", data: { day },
        tabindex: day === active ? "0" : "-1", disabled: day > today, "aria-label": words.dayLabel(dayTitle(day), count),
        "aria-current": day === today ? "date" : null, on: { click: () => choose(day) },
      },
      h("span", null, String(dayStart(day).getDate())), h("span", { class: "calendar-mark", "aria-hidden": "true" }, count || ""),
    ));
  };
  const weeks = [];
  for (let at = 0; at < days.length; at += 7) weeks.push(h("tr", { role: "row" }, days.slice(at, at + 7).map(cell)));
  const grid = h(
    "table", { class: "calendar", role: "grid", "aria-label": words.calendar },
    h("thead", null, h("tr", { role: "row" }, words.weekdays.map((day) => h("th", { scope: "col" }, day)))),
    h("tbody", null, weeks),
  );
  grid.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 }[event.key];
    const day = /** @type {HTMLElement} */ (event.target).dataset.day;
    if (!day || (!move && event.key !== "PageUp" && event.key !== "PageDown")) return;
    event.preventDefault();
    if (!move) return turn(event.key === "PageUp" ? -1 : 1);
    const next = addDays(day, move);
    const button = /** @type {HTMLButtonElement | null} */ (grid.querySelector(`[data-day="${next}"]`));
    if (button && !button.disabled) {
      for (const other of grid.querySelectorAll(".calendar-day")) other.setAttribute("tabindex", "-1");
      button.tabIndex = 0;
      button.focus();
    } else if (!button && next <= today) {
      turn(move < 0 ? -1 : 1);
    }
  });
  const isNow = month.slice(0, 7) >= today.slice(0, 7);
  return h(
    "div", { class: "calendar-part" },
    h(
      "div", { class: "calendar-head" },
      h("div", null, h("h2", { "aria-live": "polite" }, monthName.format(dayStart(`${month.slice(0, 7)}-01`))), h("p", { class: "small muted" }, words.monthSummary(total, inMonth.filter((day) => counts.get(day)).length))),
      h(
        "div", { class: "row tight" }, h("button", { class: "button quiet small", type: "button", on: { click: newest } }, words.newest),
        h("button", { class: "icon-button", type: "button", "aria-label": words.previousMonth, data: { turn: "back" }, on: { click: () => turn(-1) } }, icon("back", 18)),
        h("button", { class: "icon-button", type: "button", "aria-label": words.nextMonth, disabled: isNow, data: { turn: "on" }, on: { click: () => turn(1) } }, icon("chevron", 18)),
      ),
    ),
    grid,
    h("p", { class: "calendar-legend small muted", "aria-hidden": "true" }, words.few, [1, 2, 3, 4].map((level) => h("span", { class: `calendar-sample level-${level}` })), words.many),
  );
}

/**
 * The hours of a day, each as high as it has backups; one can be chosen.
 * @param {{ counts: number[], chosen: number | null, choose: (hour: number | null) => void }} options
 */
export function hourStrip({ counts, chosen, choose }) {
  const most = Math.max(1, ...counts);
  const node = h("div", { class: "hours", role: "group", "aria-label": words.hours });
  const clock = (/** @type {number} */ hour) => `${String(hour).padStart(2, "0")}:00`;
  fill(node, counts.map((count, hour) => h(
    "div", { class: "hour" },
    count
      ? h("button", { class: "hour-bar", type: "button", "aria-pressed": String(hour === chosen), "aria-label": words.hourLabel(clock(hour), count), title: words.hourLabel(clock(hour), count), on: { click: () => choose(hour === chosen ? null : hour) } }, h("span", { css: { height: `${Math.round(20 + (count / most) * 80)}%` } }))
      : h("span", { class: "hour-none" }),
    h("span", { class: "hour-text", "aria-hidden": "true" }, hour % 6 === 0 ? clock(hour) : ""),
  )));
  return node;
}
