// What a view shows while it waits, when there is nothing, and when something went wrong.

import { text } from "../strings.js";
import { Problem } from "./api.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Grey bars where content will be.
 * @param {number} [lines]
 * @param {"lines" | "cards" | "rows"} [shape]
 */
export function skeleton(lines = 4, shape = "lines") {
  const bars = Array.from({ length: lines }, () => h("span", { class: "skeleton-bar" }));
  return h("div", { class: `skeleton skeleton-${shape}`, role: "status", "aria-label": text.loading }, bars);
}

/**
 * Nothing is there yet: why, and what to do about it.
 * @param {{ icon?: string, title: string, body?: import("./dom.js").Child, action?: Node | null }} options
 */
export function empty(options) {
  return h(
    "div", { class: "empty" }, h("div", { class: "empty-icon" }, icon(options.icon ?? "info", 26)),
    h("p", { class: "empty-title" }, options.title), options.body ? h("p", { class: "muted" }, options.body) : null, options.action,
  );
}

/**
 * What went wrong in a form or a dialog: one box with what to try.
 * @param {unknown} error
 */
export function problemBox(error) {
  const { message, hint } = wordsOf(error);
  return h(
    "div", { class: "notice notice-danger", role: "alert" }, icon("alert", 18),
    h("div", null, h("p", null, message), hint ? h("p", { class: "notice-hint" }, hint) : null),
  );
}

/** @param {unknown} error @returns {{ message: string, hint: string | null }} */
export function wordsOf(error) {
  if (error instanceof Problem) return { message: error.message, hint: error.hint };
  return { message: error instanceof Error ? error.message : String(error), hint: null };
}

/**
 * A part of a page that could not be had.
 * @param {unknown} error
 * @param {() => void} [retry]
 */
export function failed(error, retry) {
  const { message, hint } = wordsOf(error);
  return h(
    "div", { class: "empty failed", role: "alert" }, h("div", { class: "empty-icon" }, icon("alert", 26)),
    h("p", { class: "empty-title" }, text.failed.title), h("p", null, message), hint ? h("p", { class: "muted" }, hint) : null,
    retry ? h("button", { class: "button", type: "button", on: { click: retry } }, icon("refresh", 18), text.failed.retry) : null,
  );
}

/**
 * A part of a page that is loaded: a skeleton first, then what `draw` makes of it, or what went
 * wrong with a way to try again. `reload` loads it again, and keeps the old until the new is there.
 * Answers that come after a newer question are thrown away.
 * @template T
 * @param {{ load: (signal: AbortSignal) => Promise<T>, draw: (value: T) => import("./dom.js").Child,
 *   skeleton?: Node, class?: string }} options
 * @returns {{ node: HTMLElement, reload: () => Promise<void>, stop: () => void }}
 */
export function loaded(options) {
  const node = h("div", { class: options.class ?? "loaded" }, options.skeleton ?? skeleton());
  let current = new AbortController();
  let hasContent = false;
  const reload = async () => {
    current.abort();
    const own = new AbortController();
    current = own;
    node.setAttribute("aria-busy", "true");
    try {
      const value = await options.load(own.signal);
      if (own.signal.aborted) return;
      fill(node, options.draw(value));
      hasContent = true;
    } catch (error) {
      if (own.signal.aborted) return;
      // What could not be brought up to date is still better than nothing.
      const isAway = error instanceof Problem && (error.status === 0 || error.status === 401);
      if (!(hasContent && isAway)) {
        fill(node, failed(error, () => { fill(node, options.skeleton ?? skeleton()); void reload(); }));
        hasContent = false;
      }
    } finally {
      if (!own.signal.aborted) node.removeAttribute("aria-busy");
    }
  };
  void reload();
  return { node, reload, stop: () => current.abort() };
}

/**
 * Runs `run` soon, and once for many calls.
 * @param {() => void} run
 * @param {number} [ms]
 */
export function soon(run, ms = 250) {
  let timer = 0;
  const call = () => {
    if (timer) return;
    timer = window.setTimeout(() => { timer = 0; run(); }, ms);
  };
  return Object.assign(call, { stop: () => clearTimeout(timer) });
}

/**
 * A notice that stays in the page.
 * @param {"info" | "attention" | "danger" | "good"} kind
 * @param {import("./dom.js").Child} body
 */
export function notice(kind, body) {
  const name = { info: "info", attention: "alert", danger: "alert", good: "check" }[kind];
  return h("div", { class: `notice notice-${kind}` }, icon(name, 18), h("div", null, body));
}
