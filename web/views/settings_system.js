// Messages, the audit log, and how the server was started.

import { api, path } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { bytes, count, duration, name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { card, facts } from "../parts/page.js";
import { empty, loaded, notice, skeleton } from "../parts/states.js";
import { paged, table } from "../parts/table.js";
import { toast, toastProblem } from "../parts/toast.js";
import { badge } from "../parts/work.js";
import { text } from "../strings.js";

const words = text.settings;

/** @typedef {{ name: string, kind: string, target: string, on: string[], waiting: number, error?: string | null }} Channel */

/** @param {import("./index.js").Context} context */
export function channelsPanel(context) {
  const list = loaded({
    load: (signal) => api.get("/notifications", {}, signal),
    draw: (answer) => {
      /** @type {Channel[]} */
      const channels = Array.isArray(answer) ? answer : answer.channels ?? answer.items ?? [];
      if (!channels.length) return empty({ icon: "bell", title: words.noChannels, body: words.noChannelsBody });
      return h("ul", { class: "list" }, channels.map((channel) => h(
        "li", { class: "list-row" }, h("div", { class: `list-icon ${channel.error ? "danger" : ""}` }, icon("bell")),
        h("div", null, h("p", { class: "list-title" }, name(channel.name), " ", h("span", { class: "chip" }, channel.kind)), h("p", { class: "small muted" }, name(channel.target), " · ", words.toldOf, " ", channel.on.map((one) => one.replaceAll("_", " ")).join(", ")), channel.error ? h("p", { class: "small danger-text" }, name(channel.error)) : null, channel.waiting ? h("p", { class: "small attention" }, words.waiting(channel.waiting)) : null),
        context.may("operator") ? testButton(channel) : null,
      )));
    },
    skeleton: skeleton(3, "rows"),
  });
  return { node: card({ title: words.tabs.notifications, note: h("span", { class: "small muted" }, words.channelsNote), flush: true, body: list.node }), stop: list.stop };
}

/** @param {Channel} channel */
function testButton(channel) {
  const button = h("button", {
    class: "button small", type: "button",
    on: {
      click: async () => {
        button.disabled = true;
        try {
          await api.post(path`/notifications/${channel.name}/test`);
          toast(words.testSent(channel.name), { kind: "good" });
        } catch (error) {
          toastProblem(error);
        } finally {
          button.disabled = false;
        }
      },
    },
  }, words.test);
  return button;
}

/** @typedef {{ number: number, time: string, who?: string | null, from: string, what: string, status: number, detail?: string }} Entry */

/** @param {import("./index.js").Context} _context */
export function auditPanel(_context) {
  /** @type {boolean | null} */
  let isWhole = null;
  const list = paged({
    load: async (page, signal) => {
      const part = await api.get("/audit", { page }, signal);
      isWhole ??= part.chain_ok ?? null;
      return { items: /** @type {Entry[]} */ (part.records ?? part.items ?? []), next_page: part.next_page };
    },
    draw: (entries) => table({
      label: words.tabs.audit, rows: entries, rowClass: (entry) => entry.status >= 400 ? "refused" : "",
      columns: [
        { label: words.what, class: "grow", cell: (entry) => h("span", { class: "audit-what" }, h("code", null, name(entry.what)), entry.detail ? h("span", { class: "small muted" }, name(entry.detail)) : null) },
        { label: words.who, cell: (entry) => entry.who ? name(entry.who) : h("span", { class: "muted nowrap" }, entry.status ? words.nobody : words.program) },
        { label: words.from, class: "wide-only", cell: (entry) => entry.from || null },
        { label: words.answer, cell: (entry) => entry.status ? badge(entry.status < 400 ? "good" : entry.status < 500 ? "attention" : "danger", String(entry.status)) : null },
        { label: words.when, class: "number", cell: (entry) => time(entry.time) },
      ],
    }),
    none: () => empty({ icon: "file", title: words.noAudit }),
  });
  const whole = loaded({
    load: list.first,
    draw: () => [isWhole === null ? null : h("div", { class: "audit-chain" }, isWhole ? notice("good", words.chainWhole) : notice("danger", words.chainBroken)), list.node],
    skeleton: skeleton(8, "rows"),
  });
  return { node: card({ title: words.tabs.audit, note: h("span", { class: "small muted" }, words.auditNote), flush: true, body: whole.node }), stop: whole.stop };
}

/** @param {import("./index.js").Context} _context */
export function serverPanel(_context) {
  const whole = loaded({
    load: (signal) => api.get("/settings", {}, signal),
    draw: (/** @type {Record<string, any>} */ settings) => {
      const { repositories = [], ...own } = settings;
      return h(
        "div", { class: "stack" }, card({ title: words.server, note: h("span", { class: "small muted" }, words.serverNote), body: facts(Object.entries(own).map(([key, value]) => [label(key), shown(key, value)])) }),
        repositories.map((/** @type {Record<string, any>} */ one) => card({ title: name(String(one.name ?? text.nav.repository)), body: facts(Object.entries(one).filter(([key]) => key !== "name").map(([key, value]) => [label(key), shown(key, value)])) })),
      );
    },
    skeleton: skeleton(2, "cards"),
  });
  return { node: whole.node, stop: whole.stop };
}

/** @param {string} key */
function label(key) {
  const known = /** @type {Record<string, string>} */ (words.keys)[key];
  const plain = key.replaceAll("_", " ");
  return known ?? plain.charAt(0).toUpperCase() + plain.slice(1);
}

/** @param {string} key @param {any} value @returns {import("../parts/dom.js").Child} */
function shown(key, value) {
  if (key.endsWith("_bytes_per_second")) return value === null ? h("span", { class: "muted" }, words.noLimit) : text.job.rate(bytes(value));
  if (key.endsWith("_seconds")) return duration(value * 1000);
  if (value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length)) return h("span", { class: "muted" }, words.notSet);
  if (typeof value === "boolean") return value ? text.activity.yes : text.activity.no;
  if (typeof value === "number") return /bytes/.test(key) ? bytes(value) : count(value);
  if (Array.isArray(value)) return h("ul", null, value.map((one) => h("li", null, shown(key, one))));
  if (typeof value === "object") return facts(Object.entries(value).map(([inner, one]) => [label(inner), shown(inner, one)]));
  return name(String(value));
}
