// Fields of forms: a label, what to enter, what it means, what is wrong with it.

import { text } from "../strings.js";
import { fill, h, uniqueId } from "./dom.js";
import { problemBox } from "./states.js";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

/**
 * A control with its label. `error("…")` says what is wrong with it, `error("")` takes that back.
 * @template {Control} C
 * @param {string} label
 * @param {C} control
 * @param {{ hint?: import("./dom.js").Child, optional?: boolean }} [options]
 * @returns {{ node: HTMLElement, control: C, error: (message: string) => void, hint: (child: import("./dom.js").Child) => void }}
 */
export function field(label, control, options = {}) {
  control.id ||= uniqueId("field");
  const hint = h("p", { class: "field-hint", id: `${control.id}-hint` }, options.hint);
  const wrong = h("p", { class: "field-error", id: `${control.id}-error`, "aria-live": "polite" });
  control.setAttribute("aria-describedby", `${hint.id} ${wrong.id}`);
  const node = h(
    "div", { class: "field" },
    h("label", { class: "field-label", htmlFor: control.id }, label, options.optional ? h("span", { class: "muted" }, ` ${text.form.optional}`) : null),
    control, hint, wrong,
  );
  return {
    node, control,
    error: (message) => {
      fill(wrong, message);
      if (message) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    },
    hint: (child) => { fill(hint, child); },
  };
}

/**
 * A line of text.
 * @param {import("./dom.js").Props} [props]
 */
export const input = (props = {}) => h("input", { type: "text", spellcheck: "false", autocomplete: "off", ...props, class: `input ${props.class ?? ""}`.trim() });

/** @param {import("./dom.js").Props} [props] */
export const textarea = (props = {}) => h("textarea", { rows: 4, spellcheck: "false", ...props, class: `input ${props.class ?? ""}`.trim() });

/**
 * @param {{ value: string, label: string, disabled?: boolean }[]} choices
 * @param {import("./dom.js").Props} [props]
 */
export function select(choices, props = {}) {
  return h("select", { ...props, class: `input select ${props.class ?? ""}`.trim() },
    choices.map((choice) => h("option", { value: choice.value, disabled: Boolean(choice.disabled) }, choice.label)));
}

/**
 * A switch: it works at once, or is part of a form.
 * @param {string} label
 * @param {{ checked?: boolean, hint?: string, disabled?: boolean, change?: (isOn: boolean) => void }} [options]
 */
export function toggle(label, options = {}) {
  const id = uniqueId("toggle");
  const control = h("input", {
    type: "checkbox", role: "switch", id, class: "toggle-input", checked: Boolean(options.checked), disabled: Boolean(options.disabled),
    "aria-describedby": options.hint ? `${id}-hint` : null,
    on: { change: () => options.change?.(control.checked) },
  });
  const node = h(
    "div", { class: "toggle" }, control,
    h("div", null, h("label", { htmlFor: id }, label), options.hint ? h("p", { class: "field-hint", id: `${id}-hint` }, options.hint) : null),
  );
  return { node, control };
}

/**
 * One of a few, each with a line about it.
 * @template {string} V
 * @param {string} legend
 * @param {{ value: V, label: string, hint?: string, disabled?: boolean }[]} choices
 * @param {V} chosen
 * @param {(value: V) => void} [change]
 */
export function radioCards(legend, choices, chosen, change) {
  const group = uniqueId("radio");
  let value = chosen;
  const node = h(
    "fieldset", { class: "radio-cards" }, h("legend", { class: "field-label" }, legend),
    choices.map((choice) => {
      const id = uniqueId("choice");
      return h(
        "label", { class: "radio-card", htmlFor: id },
        h("input", {
          type: "radio", name: group, id, value: choice.value, checked: choice.value === chosen, disabled: Boolean(choice.disabled),
          on: { change: () => { value = choice.value; change?.(value); } },
        }),
        h("span", null, h("span", { class: "radio-label" }, choice.label), choice.hint ? h("span", { class: "field-hint" }, choice.hint) : null),
      );
    }),
  );
  return { node, value: () => value };
}

/**
 * Buttons of which one is on, for filters and kinds of a view.
 * @template {string} V
 * @param {string} label
 * @param {{ value: V, label: string }[]} choices
 * @param {V} chosen
 * @param {(value: V) => void} change
 */
export function segmented(label, choices, chosen, change) {
  const node = h("div", { class: "segmented", role: "group", "aria-label": label });
  /** @param {V} value */
  const draw = (value) => fill(node, choices.map((choice) => h("button", {
    type: "button", class: "segment", "aria-pressed": String(choice.value === value),
    on: { click: () => { draw(choice.value); change(choice.value); /** @type {HTMLElement | null} */ (node.querySelector('[aria-pressed="true"]'))?.focus(); } },
  }, choice.label)));
  draw(chosen);
  return node;
}

/**
 * A form that says what went wrong above its button, and cannot be sent twice.
 * @param {{ fields: import("./dom.js").Child, submit: string, run: () => Promise<any>, cancel?: Node | null, danger?: boolean, class?: string }} options
 */
export function form(options) {
  const problem = h("div");
  const button = h("button", { class: `button ${options.danger ? "danger" : "primary"}`, type: "submit" }, options.submit);
  const node = h(
    "form", {
      class: `stack ${options.class ?? ""}`.trim(), novalidate: true,
      on: {
        /** @param {SubmitEvent} event */
        submit: async (event) => {
          event.preventDefault();
          if (button.disabled) return;
          fill(problem);
          button.disabled = true;
          button.classList.add("busy");
          try {
            await options.run();
          } catch (error) {
            if (!(error instanceof Unfinished)) fill(problem, problemBox(error));
          } finally {
            button.disabled = false;
            button.classList.remove("busy");
          }
        },
      },
    },
    options.fields, problem, h("div", { class: "form-actions" }, options.cancel ?? null, button),
  );
  return { node, button };
}

/** Thrown by `run` of a form when its fields say themselves what is missing. */
export class Unfinished extends Error {}

/**
 * Throws unless all fields are right: `check` has what is wrong with each, or nothing.
 * @param {[{ error: (message: string) => void, control: Control }, string | false | null | undefined][]} checks
 */
export function demand(checks) {
  /** @type {Control | null} */
  let first = null;
  for (const [one, wrong] of checks) {
    one.error(wrong || "");
    if (wrong && !first) first = one.control;
  }
  if (first) {
    first.focus();
    throw new Unfinished();
  }
}
