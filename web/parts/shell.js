// The frame around all views: navigation, who is logged in, and whether there is a connection.

import { text } from "../strings.js";
import { routes } from "../views/index.js";
import { fill, h, set } from "./dom.js";
import { reconnect } from "./events.js";
import { icon, logo } from "./icons.js";
import { chosenTheme, setTheme, themeListeners } from "./theme.js";

/** @typedef {import("../views/index.js").Route} Route */

const ROLES = ["viewer", "operator", "admin"];

/** @param {string} has @param {string} needed */
export const hasRole = (has, needed) => ROLES.indexOf(has) >= ROLES.indexOf(needed);

/**
 * @param {{ user: Api.Who, repositories: Api.RepositoryView[], repository: string, version: string,
 *   logOut: () => void, choose: (repository: string) => void }} options
 */
export function shell(options) {
  const page = h("main", { class: "page", id: "page", tabindex: "-1" });
  const sidebar = h("aside", { class: "sidebar", id: "sidebar", "aria-label": text.product });
  const veil = h("button", { class: "sidebar-veil", type: "button", hidden: true, "aria-label": text.close, on: { click: () => setOpen(false) } });
  const menu = h("button", { class: "icon-button", type: "button", "aria-label": text.shell.menu, "aria-controls": "sidebar", "aria-expanded": "false", on: { click: () => setOpen(true) } }, icon("menu"));
  const banner = h("div", { class: "banner", role: "status", hidden: true }, icon("offline", 18), h("span", null, text.shell.offline), h("button", { class: "button quiet small", type: "button", on: { click: reconnect } }, text.shell.retry));
  let repository = options.repository;
  let current = "";
  /** @type {Map<string, { count: number, tone: string, label: string }>} */
  const counts = new Map();

  /** @param {boolean} isOpen */
  const setOpen = (isOpen) => {
    sidebar.classList.toggle("open", isOpen);
    veil.hidden = !isOpen;
    menu.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) /** @type {HTMLElement | null} */ (sidebar.querySelector("a"))?.focus();
  };
  sidebar.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      setOpen(false);
      menu.focus();
    }
  });

  /** @param {Route} route */
  const link = (route) => {
    const nav = /** @type {NonNullable<Route["nav"]>} */ (route.nav);
    const count = counts.get(nav.name);
    return h(
      "a", { class: "nav-link", href: route.path.replace(":repository", encodeURIComponent(repository)), data: { nav: nav.name }, "aria-current": nav.name === current ? "page" : null },
      icon(nav.icon), text.nav[nav.name],
      count?.count ? countMark(count) : null,
    );
  };
  /** @param {string} group @param {string | null} title */
  const group = (group, title) => {
    const own = routes.filter((route) => route.nav?.group === group && hasRole(options.user.role, route.role ?? "viewer") && (repository || !route.path.includes(":repository")));
    if (!own.length) return null;
    return h("div", { class: "nav-group" }, title ? h("p", { class: "nav-title" }, title) : null, h("div", { class: "nav" }, own.map(link)));
  };
  const chooser = () => options.repositories.length < 2 ? null : h(
    "select", { class: "input select", "aria-label": text.shell.repository, value: repository, on: { change: (/** @type {Event} */ event) => options.choose(/** @type {HTMLSelectElement} */ (event.target).value) } },
    options.repositories.map((one) => h("option", { value: one.name }, one.name)),
  );
  const draw = () => {
    fill(
      sidebar,
      h("a", { class: "brand", href: "/" }, logo(), text.product),
      h("nav", { "aria-label": text.shell.navigation }, group("top", null), chooser() ? h("div", { class: "nav-group" }, chooser()) : null, group("protect", text.shell.protect), group("system", text.shell.system)),
      h(
        "div", { class: "sidebar-foot" },
        h("div", { class: "who" }, h("span", { class: "avatar", "aria-hidden": "true" }, options.user.name.slice(0, 2)), h("div", { class: "grow" }, h("p", { class: "who-name truncate" }, options.user.name), h("p", { class: "who-role truncate" }, text.roles[options.user.role]))),
        themeButton(),
        h("button", { class: "icon-button", type: "button", title: text.shell.logOut, "aria-label": text.shell.logOut, on: { click: options.logOut } }, icon("logout")),
      ),
    );
  };
  draw();
  const node = h(
    "div", null, h("a", { class: "skip", href: "#page", on: { click: (/** @type {Event} */ event) => { event.preventDefault(); page.focus(); } } }, text.shell.skip),
    banner,
    h("div", { class: "shell" }, h("header", { class: "topbar" }, menu, h("a", { class: "brand", href: "/" }, logo(26), text.product)), sidebar, veil, page),
  );
  return {
    node,
    page,
    /** @param {string} name @param {string} now */
    show: (name, now) => {
      current = name;
      repository = now;
      setOpen(false);
      draw();
    },
    /** A number beside an entry of the navigation. @param {string} name @param {number} count @param {string} tone @param {string} label */
    setCount: (name, count, tone, label) => {
      if (counts.get(name)?.count === count) return;
      counts.set(name, { count, tone, label });
      const link = sidebar.querySelector(`[data-nav="${name}"]`);
      link?.querySelector(".nav-count")?.remove();
      if (count) link?.append(countMark({ count, tone, label }));
    },
    /** @param {boolean} isThere */
    setThere: (isThere) => { banner.hidden = isThere; },
  };
}

/** @param {{ count: number, tone: string, label: string }} options */
const countMark = ({ count, tone, label }) => h("span", { class: `nav-count ${tone}`, title: label }, h("span", { "aria-hidden": "true" }, count), h("span", { class: "visually-hidden" }, label));

/** Goes round: like the system, light, dark. */
export function themeButton() {
  const names = { system: "screen", light: "sun", dark: "moon" };
  const button = h("button", { class: "icon-button", type: "button" });
  const draw = () => {
    const theme = chosenTheme();
    const label = `${text.shell.theme}: ${text.shell.themes[theme]}`;
    fill(button, icon(names[theme]));
    set(button, { title: label, "aria-label": label });
  };
  button.addEventListener("click", () => {
    const next = /** @type {const} */ ({ system: "light", light: "dark", dark: "system" })[chosenTheme()];
    setTheme(next);
  });
  themeListeners.clear();
  themeListeners.add(draw);
  draw();
  return button;
}
