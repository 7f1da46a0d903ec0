// Times of schedules: in words, and the fields to choose them.

import { api } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { field, input, segmented } from "../parts/fields.js";
import { dateTime, relative } from "../parts/formats.js";
import { problemBox } from "../parts/states.js";
import { scheduleText as words } from "../strings_backups.js";

/** @typedef {"hours" | "daily" | "weekly" | "monthly" | "custom"} Pattern */

/** What a schedule has as one text. @param {Api.BackupSchedule} schedule */
export function whenOf(schedule) {
  if (schedule.cron) return schedule.time_zone ? `TZ=${schedule.time_zone} ${schedule.cron}` : schedule.cron;
  return schedule.interval_hours ? `${schedule.interval_hours}h` : "";
}

const two = (/** @type {string | number} */ value) => String(value).padStart(2, "0");
const isNumber = (/** @type {string} */ text) => /^\d+$/.test(text);
const isList = (/** @type {string} */ text) => /^\d+(,\d+)*$/.test(text);
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** Days of the week by number. @param {string} text @returns {number[] | null} */
function weekDays(text) {
  const days = new Set();
  for (const part of text.toLowerCase().split(",")) {
    const ends = part.split("-").map((one) => (isNumber(one) ? Number(one) % 7 : DAYS.indexOf(one.slice(0, 3))));
    if (ends.some((day) => day < 0 || Number.isNaN(day)) || ends.length > 2) return null;
    const last = ends[1] ?? ends[0];
    for (let day = ends[0]; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].sort((a, b) => ((a + 6) % 7) - ((b + 6) % 7));
}

/** @param {string[]} list */
const joined = (list) => (list.length < 2 ? list.join("") : `${list.slice(0, -1).join(", ")} ${words.words.and} ${list[list.length - 1]}`);

/** Times of a schedule, as people say them. @param {string} when @returns {string} */
export function inWords(when) {
  const own = words.words;
  const zone = /^TZ=(\S+)\s+(.*)$/.exec(when.trim());
  if (zone) return own.zone(inWords(zone[2]), zone[1]);
  const text = ({ "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *" })[when.trim()] ?? when.trim();
  if (!text) return own.manual;
  const hours = /^(\d+)h$/.exec(text);
  if (hours) return own.everyHours(Number(hours[1]));
  const [minute, hour, day, month, week, ...rest] = text.split(/\s+/);
  if (week === undefined || rest.length || month !== "*") return own.custom(text);
  const steps = /^\*\/(\d+)$/.exec(minute);
  if (steps && [hour, day, week].every((one) => one === "*")) return own.minutes(Number(steps[1]));
  if (!isNumber(minute)) return own.custom(text);
  const hourSteps = /^\*\/(\d+)$/.exec(hour);
  if (day === "*" && week === "*" && hour === "*") return own.hourly(Number(minute));
  if (day === "*" && week === "*" && hourSteps) return own.stepHours(Number(hourSteps[1]), two(minute));
  if (!isList(hour)) return own.custom(text);
  const times = joined(hour.split(",").map((one) => `${two(one)}:${two(minute)}`));
  if (day === "*" && week === "*") return own.daily(times);
  if (day === "*") {
    const days = weekDays(week);
    if (!days) return own.custom(text);
    return own.weekly(days.join() === "1,2,3,4,5" ? own.weekdays : joined(days.map((one) => words.dayNamesLong[one])), times);
  }
  return week === "*" && isList(day) ? own.monthly(joined(day.split(",")), times) : own.custom(text);
}

/** What the fields begin with. @param {string} when */
function read(when) {
  const state = { pattern: /** @type {Pattern} */ ("custom"), hours: 6, at: "01:00", days: [1, 2, 3, 4, 5], monthDay: 1, custom: when };
  const hours = /^(\d+)h$/.exec(when);
  const [minute, hour, day, month, week] = (when === "@daily" ? "0 0 * * *" : when).split(/\s+/);
  if (hours) return { ...state, pattern: /** @type {Pattern} */ ("hours"), hours: Number(hours[1]) };
  if (month !== "*" || !isNumber(minute) || !isNumber(hour) || week === undefined) return state;
  state.at = `${two(hour)}:${two(minute)}`;
  const days = week === "*" ? null : weekDays(week);
  if (day === "*" && week === "*") state.pattern = "daily";
  else if (day === "*" && days) Object.assign(state, { pattern: "weekly", days });
  else if (week === "*" && isNumber(day)) Object.assign(state, { pattern: "monthly", monthDay: Number(day) });
  return state;
}

/**
 * Fields to choose times, with words and the next five runs beside them.
 * @param {string} given
 */
export function whenEditor(given) {
  const state = read(given);
  const place = h("div", { class: "stack" });
  const said = h("p", { class: "when-words", "aria-live": "polite" });
  const runs = h("div", { class: "when-runs" });
  let asked = new AbortController();
  let timer = 0;

  const value = () => {
    const [hour, minute] = state.at.split(":").map(Number);
    switch (state.pattern) {
      case "hours": return `${state.hours || 1}h`;
      case "daily": return `${minute} ${hour} * * *`;
      case "weekly": return `${minute} ${hour} * * ${[...state.days].sort().join(",")}`;
      case "monthly": return `${minute} ${hour} ${state.monthDay} * *`;
      default: return state.custom.trim();
    }
  };
  const ask = async () => {
    asked.abort();
    const own = new AbortController();
    asked = own;
    try {
      /** @type {Api.Preview} */
      const found = await api.get("/schedule-preview", { when: value(), count: 5 }, own.signal);
      if (own.signal.aborted) return;
      fill(runs, found.next_runs.length
        ? h("ol", { class: "runs" }, found.next_runs.map((run) => h("li", null, h("time", { datetime: run }, dateTime(run)), h("span", { class: "muted small" }, relative(run)))))
        : h("p", { class: "muted" }, words.noRuns));
    } catch (error) {
      if (!own.signal.aborted) fill(runs, problemBox(error));
    }
  };
  const changed = () => {
    fill(said, inWords(value()));
    clearTimeout(timer);
    if (value()) timer = window.setTimeout(() => void ask(), 200);
    else fill(runs);
  };
  /** @template {HTMLInputElement} C @param {C} control @param {(text: string) => void} take */
  const bind = (control, take) => {
    control.addEventListener("input", () => { take(control.value); changed(); });
    return control;
  };
  const draw = () => {
    const at = field(words.at, bind(input({ type: "time", value: state.at }), (text) => { if (text) state.at = text; })).node;
    const dayBoxes = h("fieldset", null, h("legend", { class: "field-label" }, words.days), h("div", { class: "day-boxes" }, [1, 2, 3, 4, 5, 6, 0].map((day) => h("label", { class: "day-box" }, h("input", {
      type: "checkbox", checked: state.days.includes(day), "aria-label": words.dayNamesLong[day],
      on: { change: (/** @type {Event} */ event) => { state.days = /** @type {HTMLInputElement} */ (event.target).checked ? [...state.days, day] : state.days.filter((one) => one !== day); changed(); } },
    }), h("span", { "aria-hidden": "true" }, words.dayNames[day])))));
    fill(place, {
      hours: () => field(words.everyHours, bind(input({ type: "number", min: "1", max: "8760", value: String(state.hours), class: "auto" }), (text) => { state.hours = Number(text); })).node,
      daily: () => at,
      weekly: () => [dayBoxes, at],
      monthly: () => h("div", { class: "fields" }, field(words.monthDay, bind(input({ type: "number", min: "1", max: "31", value: String(state.monthDay) }), (text) => { state.monthDay = Number(text); })).node, at),
      custom: () => field(words.cron, bind(input({ value: state.custom, class: "mono", maxlength: "200" }), (text) => { state.custom = text; }), { hint: words.cronHint }).node,
    }[state.pattern]());
    changed();
  };
  const patterns = segmented(words.whenLegend, /** @type {[Pattern, string][]} */ (Object.entries(words.patterns)).map(([name, label]) => ({ value: name, label })), state.pattern, (pattern) => {
    if (pattern === "custom") state.custom = value();
    state.pattern = pattern;
    draw();
  });
  draw();
  return {
    node: h("div", { class: "when-layout" }, h("div", { class: "stack" }, patterns, place), h("div", { class: "when-preview" }, said, h("p", { class: "small muted" }, words.nextRuns), runs)),
    value,
    wrong: () => (state.pattern === "weekly" && !state.days.length ? words.needDays : ""),
    stop: () => { asked.abort(); clearTimeout(timer); },
  };
}
