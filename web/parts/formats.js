// Numbers, sizes, times and names as people read them.

import { text } from "../strings.js";
import { h } from "./dom.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** @param {number} bytes */
export function bytes(bytes) {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** @param {number} value */
export function count(value) {
  return value.toLocaleString(text.locale);
}

/** @param {number} share from 0 to 1 */
export function percent(share) {
  return `${(share * 100).toFixed(share >= 0.0995 ? 0 : 1)} %`;
}

/** How long, in its two largest units. @param {number} ms */
export function duration(ms) {
  const seconds = Math.round(ms / 1000);
  if (ms < 950) return text.time.lessThanSecond;
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${seconds % MINUTE} s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} min`;
  return `${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

const full = new Intl.DateTimeFormat(text.locale, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const sameYear = new Intl.DateTimeFormat(text.locale, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const clock = new Intl.DateTimeFormat(text.locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const onlyDay = new Intl.DateTimeFormat(text.locale, { year: "numeric", month: "short", day: "numeric" });
const exact = new Intl.DateTimeFormat(text.locale, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
  second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});

/** @param {Date} a @param {Date} b */
const isSameDay = (a, b) => a.toDateString() === b.toDateString();

/** Local date and time. @param {string | number | Date} when */
export function dateTime(when) {
  const date = new Date(when);
  const now = new Date();
  return (date.getFullYear() === now.getFullYear() ? sameYear : full).format(date);
}

/** Local date. @param {string | number | Date} when */
export const day = (when) => onlyDay.format(new Date(when));

/** Local time of day. @param {string | number | Date} when */
export const timeOfDay = (when) => clock.format(new Date(when));

/** "5 minutes ago", "in 2 h", "yesterday 14:03". @param {string | number | Date} when */
export function relative(when) {
  const date = new Date(when);
  const now = new Date();
  const seconds = (date.getTime() - now.getTime()) / 1000;
  const size = Math.abs(seconds);
  if (size < 45) return seconds < 0 ? text.time.now : text.time.soon;
  if (size < 55 * MINUTE) return text.time.minutes(Math.max(1, Math.round(size / MINUTE)), seconds > 0);
  if (isSameDay(date, now)) {
    return size < 5.5 * HOUR ? text.time.hours(Math.round(size / HOUR), seconds > 0) : text.time.today(clock.format(date));
  }
  const other = new Date(now.getTime() + (seconds > 0 ? DAY : -DAY) * 1000);
  if (isSameDay(date, other)) return seconds > 0 ? text.time.tomorrow(clock.format(date)) : text.time.yesterday(clock.format(date));
  if (size < 14 * DAY) return text.time.days(Math.round(size / DAY), seconds > 0);
  return dateTime(date);
}

/** The same instant for people and programs everywhere. @param {string | number | Date} when */
export function utc(when) {
  return new Date(when).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
}

/**
 * An instant: local, with the exact local time and UTC where the pointer rests.
 * @param {string | number | Date} when
 * @param {{ as?: "relative" | "full" | "day" | "clock", class?: string }} [options]
 */
export function time(when, options = {}) {
  const date = new Date(when);
  const as = options.as ?? "relative";
  const shown = { relative, full: dateTime, day, clock: timeOfDay }[as];
  const node = h("time", {
    datetime: date.toISOString(), class: options.class ?? "",
    title: `${exact.format(date)}\n${utc(date)}`,
  }, shown(date));
  if (as === "relative") node.dataset.relative = "";
  return node;
}

/** Says again how long ago things were. */
export function refreshTimes(root = document) {
  for (const node of root.querySelectorAll("time[data-relative]")) {
    const now = relative(/** @type {HTMLTimeElement} */ (node).dateTime);
    if (node.textContent !== now) node.textContent = now;
  }
}

/** Letters that are not seen, or that turn others round: shown by number in place of working. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/**
 * The name of a file, or anything else that comes from outside, as what it is and nothing more.
 * @param {string} given
 * @param {string} [className]
 */
export function name(given, className = "") {
  const node = h("bdi", { class: `name ${className}`.trim() });
  let from = 0;
  for (const match of given.matchAll(HIDDEN)) {
    node.append(given.slice(from, match.index));
    const code = /** @type {number} */ (match[0].codePointAt(0)).toString(16).toUpperCase().padStart(4, "0");
    node.append(h("span", { class: "hidden-letter", title: text.hiddenLetter(code) }, `U+${code}`));
    from = match.index + match[0].length;
  }
  node.append(given.slice(from));
  return node;
}

/** Instants as programs write them, in sentences of the daemon. */
const INSTANT = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;

/**
 * A sentence of the daemon: it begins with a capital, and instants in it are local times.
 * @param {string} line
 */
export function sentence(line) {
  const shown = line.charAt(0).toUpperCase() + line.slice(1);
  /** @type {(Node | string)[]} */
  const parts = [];
  let from = 0;
  for (const match of shown.matchAll(INSTANT)) {
    parts.push(name(shown.slice(from, match.index)), time(match[0], { as: "full" }));
    from = match.index + match[0].length;
  }
  parts.push(name(shown.slice(from)));
  return parts;
}

/** The first digits of an id, as all commands show it. @param {string} id */
export const shortId = (id) => id.slice(0, 8);
