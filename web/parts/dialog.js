// Dialogs: the element of the browser, which keeps the focus inside and closes with Escape.

import { text } from "../strings.js";
import { Problem } from "./api.js";
import { fill, h, uniqueId } from "./dom.js";
import { icon } from "./icons.js";
import { problemBox } from "./states.js";

/**
 * @typedef {{ close: (value?: any) => void, node: HTMLDialogElement, closed: Promise<any> }} Dialog
 */

/**
 * Opens a dialog. `closed` tells what it was closed with; `undefined` if it was put away.
 * @param {{ title: string, body: import("./dom.js").Child, footer?: (close: (value?: any) => void) => import("./dom.js").Child,
 *   wide?: boolean, sheet?: boolean }} options
 * @returns {Dialog}
 */
export function openDialog({ title, body, footer, wide, sheet }) {
  const id = uniqueId("dialog");
  /** @type {any} */
  let value;
  /** @param {any} [given] */
  const close = (given) => {
    value = given;
    node.close();
  };
  const node = h(
    "dialog", { class: `dialog ${wide ? "wide" : ""} ${sheet ? "sheet" : ""}`, "aria-labelledby": id },
    h(
      "div", { class: "dialog-inner" },
      h(
        "header", { class: "dialog-head" }, h("h2", { id }, title),
        h("button", { class: "icon-button", type: "button", "aria-label": text.close, on: { click: () => close() } }, icon("cross")),
      ),
      h("div", { class: "dialog-body" }, body),
      footer ? h("footer", { class: "dialog-foot" }, footer(close)) : null,
    ),
  );
  /** @type {Promise<any>} */
  const closed = new Promise((resolve) => {
    node.addEventListener("close", () => {
      node.remove();
      resolve(value);
    });
  });
  // A click beside it: the dialog itself is hit only where its inner part is not.
  node.addEventListener("pointerdown", (event) => {
    if (event.target === node) close();
  });
  document.body.append(node);
  node.showModal();
  return { close, node, closed };
}

/**
 * Asks before something is done, and does it while the dialog shows how it goes. What went wrong is
 * shown in it, so that it can be tried again.
 * @param {{ title: string, body: import("./dom.js").Child, action: string, danger?: boolean,
 *   typed?: string, run: () => Promise<any> }} options `typed`: has to be typed before
 * @returns {Promise<boolean>} whether it was done
 */
export async function confirmDialog({ title, body, action, danger, typed, run }) {
  const problem = h("div", { "aria-live": "polite" });
  const input = h("input", { class: "input", id: uniqueId("typed"), autocomplete: "off", spellcheck: "false" });
  const go = h("button", { class: `button ${danger ? "danger" : "primary"}`, type: "submit", disabled: Boolean(typed) }, action);
  input.addEventListener("input", () => {
    go.disabled = input.value.trim() !== typed;
  });
  const form = h(
    "form", { class: "stack" }, h("div", { class: "stack" }, body),
    typed ? h("label", { class: "field", htmlFor: input.id }, h("span", { class: "field-label" }, text.dialog.typeToConfirm(typed)), input) : null,
    problem,
  );
  form.id = uniqueId("form");
  go.setAttribute("form", form.id);
  const dialog = openDialog({
    title, body: form,
    footer: (close) => [
      h("button", { class: "button quiet", type: "button", on: { click: () => close(false) } }, text.cancel), go,
    ],
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    go.classList.add("busy");
    try {
      await run();
      dialog.close(true);
    } catch (error) {
      fill(problem, problemBox(error instanceof Problem ? error : new Problem(0, "internal", String(error), null)));
      go.disabled = false;
    } finally {
      go.classList.remove("busy");
    }
  });
  return (await dialog.closed) === true;
}
