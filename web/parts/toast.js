// Short messages at the edge of the page, which go by themselves.

import { text } from "../strings.js";
import { Problem } from "./api.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

/** How long a message stays, milliseconds. Problems stay until they are put away. */
const STAYS = 6_000;

/** @type {HTMLElement | null} */
let shelf = null;

function place() {
  if (!shelf) {
    shelf = h("div", { class: "toasts", role: "region", "aria-label": text.toast.region, "aria-live": "polite" });
    document.body.append(shelf);
  }
  return shelf;
}

/**
 * @param {string} message
 * @param {{ kind?: "good" | "bad" | "plain", hint?: string | null, action?: { label: string, run: () => void } }} [options]
 */
export function toast(message, options = {}) {
  const kind = options.kind ?? "plain";
  const action = options.action;
  const node = h(
    "div", { class: `toast toast-${kind}`, role: kind === "bad" ? "alert" : "status" },
    icon({ good: "check", bad: "alert", plain: "info" }[kind], 18),
    h("div", { class: "toast-text" }, h("p", null, message), options.hint ? h("p", { class: "muted" }, options.hint) : null),
    action ? h("button", { class: "button small quiet", type: "button", on: { click: () => { node.remove(); action.run(); } } }, action.label) : null,
    h("button", { class: "icon-button small", type: "button", "aria-label": text.close, on: { click: () => node.remove() } }, icon("cross", 16)),
  );
  place().append(node);
  if (kind !== "bad") setTimeout(() => node.remove(), STAYS);
}

/** Shows what went wrong with something that a person asked for. @param {unknown} error */
export function toastProblem(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  const hint = error instanceof Problem ? error.hint : null;
  toast(error instanceof Error ? error.message : String(error), { kind: "bad", hint });
}

/** Takes all messages away. */
export function clearToasts() {
  if (shelf) fill(shelf);
}
