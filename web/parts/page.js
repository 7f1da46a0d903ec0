// The head of a view, and links between views.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * The head of a view: its title, a line about it, and what can be done.
 * @param {{ title: import("./dom.js").Child, lead?: import("./dom.js").Child, actions?: import("./dom.js").Child,
 *   crumbs?: { label: import("./dom.js").Child, href: string }[] }} options
 */
export function pageHead({ title, lead, actions, crumbs }) {
  return [
    crumbs?.length ? h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, crumbs.map((crumb) => [h("a", { href: crumb.href }, crumb.label), icon("chevron", 12)])) : null,
    h("header", { class: "page-head" }, h("div", { class: "grow" }, h("h1", null, title), lead ? h("p", null, lead) : null), actions ? h("div", { class: "page-actions" }, actions) : null),
  ];
}

/**
 * An address of a view out of its parts: `` view`/r/${name}/backups` ``. Links are ordinary `a`
 * elements; the router takes clicks on them.
 * @param {TemplateStringsArray} texts
 * @param {...string} names
 */
export function view(texts, ...names) {
  return texts.reduce((route, part, at) => route + encodeURIComponent(names[at - 1] ?? "") + part);
}

/** A link that looks like a button. @param {string} href @param {import("./dom.js").Child} label @param {string} [className] */
export const buttonLink = (href, label, className = "") => h("a", { class: `button ${className}`.trim(), href }, label);

/**
 * A card with a head.
 * @param {{ title?: import("./dom.js").Child, note?: import("./dom.js").Child, body: import("./dom.js").Child, flush?: boolean, class?: string }} options
 * `flush`: the body has no room around it, as tables and lists do.
 */
export function card({ title, note, body, flush, class: className = "" }) {
  return h(
    "section", { class: `card ${className}`.trim() },
    title ? h("div", { class: "card-head" }, h("h2", null, title), note) : null,
    flush ? body : h("div", { class: "card-body" }, body),
  );
}

/** A figure with its name. @param {import("./dom.js").Child} label @param {import("./dom.js").Child} value @param {import("./dom.js").Child} [note] */
export const stat = (label, value, note) => h("div", { class: "stat" }, h("span", { class: "stat-label" }, label), h("span", { class: "stat-value" }, value), note ? h("span", { class: "stat-note" }, note) : null);

/** Names and values in two columns. @param {[import("./dom.js").Child, import("./dom.js").Child][]} pairs */
export const facts = (pairs) => h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
