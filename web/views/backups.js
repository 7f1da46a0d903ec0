// Backups by time: a calendar, the hours of a day, and its recovery points; or all as a list.

import { api, path } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { segmented } from "../parts/fields.js";
import { bytes, count, name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { buttonLink, card, pageHead, view } from "../parts/page.js";
import { empty, loaded, notice, skeleton, soon } from "../parts/states.js";
import { paged, table } from "../parts/table.js";
import { backupsText as words } from "../strings_backups.js";
import { amount, backupBadge, labels, listBackups, needStyles, sourceNames } from "./backup_parts.js";
import { addDays, calendar, dayKey, dayStart, dayTitle, hourStrip, monthDays } from "./calendar.js";

/** @param {import("./index.js").Context} context */
export async function render(context) {
  await needStyles();
  const { repository, query } = context;
  const place = h("div");
  const chooser = h("div");
  /** @type {{ stop: () => void, reload: () => void } | null} */
  let shown = null;
  let series = query.get("series") ?? "";

  /** What the chosen source means for requests. */
  const filter = () => {
    const [host, ...source] = series.split("\n");
    return { host: host || query.get("host") || "", source: source.join("\n") };
  };
  const show = () => {
    shown?.stop();
    const isList = query.get("view") === "list";
    shown = isList ? list(context, filter(), place) : byTime(context, filter(), place);
  };
  const modes = segmented(words.modeLabel, [{ value: "time", label: words.modes.time }, { value: "list", label: words.modes.list }], query.get("view") === "list" ? "list" : "time", (value) => {
    const kept = value === "list" ? "list" : null;
    if (kept) query.set("view", kept);
    else query.delete("view");
    context.setQuery({ view: kept });
    show();
  });
  void sourceSelect(repository, series, query.get("host") ?? "", (value) => {
    series = value;
    query.delete("host");
    context.setQuery({ series: value, host: null });
    show();
  }).then((node) => { if (node) fill(chooser, node); });

  const node = h(
    "div", null,
    pageHead({
      title: words.title, lead: words.lead,
      actions: [
        buttonLink(view`/r/${repository}/backups/find`, [icon("search", 18), words.find]),
        buttonLink(view`/r/${repository}/backups/compare`, [icon("compare", 18), words.compare]),
      ],
    }),
    h("div", { class: "row spread backups-bar" }, modes, chooser), place,
  );
  const again = soon(() => shown?.reload(), 400);
  context.listen((happening) => {
    if (["snapshots_changed", "reset", "repository_back"].includes(happening.type)) again();
  });
  show();
  return { title: words.title, node, stop: () => { again.stop(); shown?.stop(); } };
}

/** @param {string} repository @param {string} chosen @param {string} host @param {(value: string) => void} change */
async function sourceSelect(repository, chosen, host, change) {
  try {
    /** @type {Api.StatusReport} */
    const status = await api.get(path`/repositories/${repository}/status`);
    const choices = status.series.flatMap((one) => one.sources.slice(0, 1).map((source) => ({ value: `${one.host}\n${source}`, label: words.sourceOf(one.host, one.sources.join(", ")) })));
    if (choices.length < 2 && !chosen && !host) return null;
    const select = h(
      "select", { class: "input select auto", "aria-label": words.source, value: chosen || (host ? choices.find((one) => one.value.startsWith(`${host}\n`))?.value ?? "" : ""), on: { change: () => change(select.value) } },
      h("option", { value: "" }, words.allSources), choices.map((one) => h("option", { value: one.value }, one.label)),
    );
    return select;
  } catch {
    // Then there is nothing to choose from.
    return null;
  }
}

/** @typedef {{ host: string, source: string }} Series */

/** @param {import("./index.js").Context} context @param {Series} filter @param {HTMLElement} place */
function byTime(context, filter, place) {
  const { repository, query } = context;
  const pane = h("div", { class: "card calendar-card" }, skeleton(6));
  const dayPane = h("div", { class: "day-pane" });
  /** @type {AbortController} */
  let month = new AbortController();
  let selected = query.get("day") ?? "";
  let shownMonth = selected;
  /** @type {ReturnType<typeof loaded> | null} */
  let day = null;
  let isOver = false;

  /** @param {string} next @param {string} [focus] what has the focus afterwards */
  const select = (next, focus) => {
    selected = next;
    context.setQuery({ day: next });
    query.set("day", next);
    day?.stop();
    day = dayOf(context, filter, next);
    fill(dayPane, day.node);
    if (next.slice(0, 7) !== shownMonth.slice(0, 7)) shownMonth = next;
    void drawMonth(focus ?? `[data-day="${next}"]`);
  };
  /** @param {string} [focus] */
  const drawMonth = async (focus) => {
    month.abort();
    const own = new AbortController();
    month = own;
    const days = monthDays(shownMonth);
    /** @type {Api.Hour[]} */
    let hours;
    try {
      hours = await api.get(path`/repositories/${repository}/timeline`, { ...filter, from: dayStart(days[0]).toISOString(), until: dayStart(addDays(days[days.length - 1], 1)).toISOString() }, own.signal);
    } catch {
      // The list beside it says what is wrong.
      if (own.signal.aborted) return;
      hours = [];
    }
    if (own.signal.aborted) return;
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const hour of hours) counts.set(dayKey(hour.start), (counts.get(dayKey(hour.start)) ?? 0) + hour.count);
    fill(pane, calendar({
      month: shownMonth, selected, counts, choose: select, newest: () => void toNewest(true),
      turn: (months) => {
        const first = dayStart(`${shownMonth.slice(0, 7)}-01`);
        first.setMonth(first.getMonth() + months);
        shownMonth = dayKey(first);
        void drawMonth(`[data-turn="${months < 0 ? "back" : "on"}"]:not(:disabled), .calendar-day[tabindex="0"]`);
      },
    }));
    if (focus) /** @type {HTMLElement | null} */ (pane.querySelector(focus))?.focus();
  };
  /** @param {boolean} isWanted whether somebody asked for it */
  const toNewest = async (isWanted) => {
    const { items } = await listBackups(repository, { ...filter, limit: 1 });
    if (isOver) return;
    if (!items.length) {
      const makes = context.may("operator") ? buttonLink("/start", words.makeFirst, "primary") : null;
      fill(place, h("div", { class: "card" }, filter.host ? empty({ icon: "backups", title: words.noneFiltered, body: words.noneFilteredBody }) : empty({ icon: "backups", title: words.noneTitle, body: words.noneBody, action: makes })));
      return;
    }
    shownMonth = dayKey(items[0].timestamp);
    select(shownMonth, isWanted ? undefined : ":scope > .none");
  };
  const layout = h("div", { class: "time-layout" }, pane, dayPane);
  const first = loaded({
    load: async () => {
      if (selected) select(selected, ":scope > .none");
      else await toNewest(false);
    },
    draw: () => null,
    skeleton: skeleton(1),
  });
  fill(place, first.node, layout);
  return {
    stop: () => { isOver = true; month.abort(); day?.stop(); first.stop(); },
    reload: () => {
      if (!day) return void first.reload();
      void drawMonth();
      void day.reload();
    },
  };
}

/** @param {import("./index.js").Context} context @param {Series} filter @param {string} key */
function dayOf({ repository }, filter, key) {
  /** @type {number | null} */
  let hour = null;
  return loaded({
    load: async (signal) => (await listBackups(repository, { ...filter, from: dayStart(key).toISOString(), until: new Date(dayStart(addDays(key, 1)).getTime() - 1).toISOString(), limit: 1000 }, signal)),
    draw: ({ items, warnings }) => {
      const counts = Array.from({ length: 24 }, () => 0);
      for (const one of items) counts[new Date(one.timestamp).getHours()] += 1;
      const strip = h("div");
      const points = h("div");
      const draw = () => {
        const shown = items.filter((one) => hour === null || new Date(one.timestamp).getHours() === hour);
        fill(strip, hourStrip({ counts, chosen: hour, choose: (next) => { hour = next; draw(); /** @type {HTMLElement | null} */ (strip.querySelectorAll(".hour")[/** @type {number} */ (next ?? 0)]?.querySelector("button"))?.focus(); } }));
        fill(points, shown.length ? h("ul", { class: "list" }, shown.map((one) => point(repository, one))) : empty({ icon: "calendar", title: words.dayNone, body: words.dayNoneBody }));
      };
      draw();
      return [
        warnings.length ? notice("attention", [words.warnings, ": ", warnings.join("; ")]) : null,
        card({ title: dayTitle(key), note: h("span", { class: "muted small" }, words.total(items.length)), flush: true, body: [items.length ? strip : null, points] }),
      ];
    },
    skeleton: h("div", { class: "card" }, skeleton(4, "rows")),
  });
}

/** @param {string} repository @param {Api.Backup} one */
function point(repository, one) {
  const isBad = one.status === "failed";
  return h("li", { class: "point" }, h(
    "a", { class: "list-row", href: view`/r/${repository}/backups/${one.backup_id}` },
    h("div", { class: `point-time ${isBad ? "danger-text" : ""}` }, time(one.timestamp, { as: "clock" })),
    h("div", { class: "point-text" }, h("p", { class: "list-title truncate" }, one.sources?.length ? sourceNames(one.sources) : name(one.host ?? "")), h("p", { class: "small muted" }, name(one.host ?? ""), " · ", isBad ? name(one.error ?? "") : amount(one)), one.tags?.length || labels(one).length ? h("p", { class: "row tight point-labels" }, labels(one)) : null),
    h("div", { class: "row tight" }, backupBadge(one), icon("chevron", 16)),
  ));
}

/** @param {import("./index.js").Context} context @param {Series} filter @param {HTMLElement} place */
function list(context, filter, place) {
  const { repository, query } = context;
  let status = query.get("status") ?? "";
  let total = 0;
  /** @type {string[]} */
  let warnings = [];
  const rows = paged({
    load: async (page, signal) => {
      const part = await listBackups(repository, { ...filter, status, page, limit: 50 }, signal);
      total = part.total;
      warnings = part.warnings;
      return part;
    },
    draw: (/** @type {Api.Backup[]} */ items) => table({
      label: words.title, rows: items, href: (one) => view`/r/${repository}/backups/${one.backup_id}`,
      columns: [
        { label: words.columns.time, cell: (one) => time(one.timestamp, { as: "full" }), class: "nowrap" },
        { label: words.columns.source, cell: (one) => h("div", { class: "source-cell" }, h("span", { class: "truncate" }, sourceNames(one.sources), h("span", { class: "muted" }, " · ", name(one.host ?? ""))), labels(one)), class: "grow" },
        { label: words.columns.files, cell: (one) => count(one.template_count), class: "number" },
        { label: words.columns.size, cell: (one) => bytes(one.total_size), class: "number" },
        { label: words.columns.status, cell: backupBadge },
      ],
    }),
    none: () => empty({ icon: "filter", title: words.noneFiltered, body: words.noneFilteredBody }),
  });
  const head = h("div", { class: "card-head" });
  const select = h(
    "select", { class: "input select auto", "aria-label": words.statusLabel, value: status, on: { change: () => { status = select.value; query.set("status", status); context.setQuery({ status }); void part.reload(); } } },
    h("option", { value: "" }, words.anyStatus), ["completed", "failed"].map((one) => h("option", { value: one }, words.statuses[/** @type {"completed"} */ (one)])),
  );
  const part = loaded({
    load: rows.first,
    draw: () => {
      fill(head, h("h2", null, words.total(total)), select);
      return [warnings.length ? notice("attention", [words.warnings, ": ", warnings.join("; ")]) : null, rows.node];
    },
    skeleton: skeleton(8, "rows"),
  });
  fill(place, h("div", { class: "card" }, head, part.node));
  return part;
}
