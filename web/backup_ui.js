// The entry: who is logged in, which view the address names, and showing it.

import { api, onSessionEnd } from "./parts/api.js";
import { fill, h } from "./parts/dom.js";
import { listen, onLink, start as startEvents, stop as stopEvents } from "./parts/events.js";
import { refreshTimes } from "./parts/formats.js";
import { buttonLink } from "./parts/page.js";
import { hasRole, shell, themeButton } from "./parts/shell.js";
import { empty, failed, skeleton, soon } from "./parts/states.js";
import { memory } from "./parts/theme.js";
import { clearToasts, toast, toastProblem } from "./parts/toast.js";
import { text } from "./strings.js";
import { routes } from "./views/index.js";

const KEY_REPOSITORY = "larder-repository";
const app = /** @type {HTMLElement} */ (document.getElementById("app"));

/** @type {Api.SessionView} */
let session = { user: null, needs_setup: false, version: "" };
/** @type {Api.RepositoryView[]} */
let repositories = [];
let repository = memory.get(KEY_REPOSITORY) ?? "";
/** @type {ReturnType<typeof shell> | null} */
let frame = null;
/** Ends the view that is shown. @type {(() => void)[]} */
let ends = [];
/** Each navigation has a number: what comes late for an older one is thrown away. */
let turn = 0;
/** Whether there was a view before: a page that is new begins at its top. */
let hasShown = false;

/**
 * The parameters of an address, if it is one of this route.
 * @param {string} pattern
 * @param {string} pathname
 * @returns {Record<string, string> | null}
 */
function match(pattern, pathname) {
  const wanted = pattern.split("/").filter(Boolean);
  const given = pathname.split("/").filter(Boolean);
  /** @type {Record<string, string>} */
  const params = {};
  for (const [at, part] of wanted.entries()) {
    if (part === "*") {
      params.rest = given.slice(at).join("/");
      return params;
    }
    if (given[at] === undefined) return null;
    let value = given[at];
    try {
      value = decodeURIComponent(value);
    } catch {
      return null;
    }
    if (part.startsWith(":")) params[part.slice(1)] = value;
    else if (part !== value) return null;
  }
  return wanted.length === given.length ? params : null;
}

/** @param {string} pathname */
function find(pathname) {
  for (const route of routes) {
    const params = match(route.path, pathname);
    if (params) return { route, params };
  }
  return null;
}

/** @param {string} address @param {{ replace?: boolean }} [options] */
function go(address, options = {}) {
  if (options.replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  void show();
}

function endView() {
  for (const end of ends) end();
  ends = [];
}

async function askSession() {
  session = await api.get("/session");
  if (session.user) {
    repositories = await api.get("/repositories");
    if (!repositories.some((one) => one.name === repository)) repository = repositories[0]?.name ?? "";
  }
}

function leaveFrame() {
  endView();
  stopEvents();
  frame = null;
  clearToasts();
}

/** Login and set-up have no frame. @param {"login" | "setup"} name @param {boolean} [hasEnded] */
async function showBare(name, hasEnded = false) {
  const own = ++turn;
  leaveFrame();
  const loading = name === "login" ? import("./views/login.js") : import("./views/setup.js");
  const module = await loading;
  if (own !== turn) return;
  const view = module.render({
    hasEnded,
    done: async (/** @type {string | undefined} */ address) => {
      await askSession();
      go(address ?? (location.pathname === "/login" || location.pathname === "/setup" ? "/" : location.pathname + location.search), { replace: true });
    },
  });
  document.title = `${view.title} · ${text.product}`;
  fill(app, h("div", { class: "bare" }, h("main", null, view.node), h("footer", { class: "bare-foot" }, themeButton())));
  const { stop } = view;
  if (stop) ends.push(stop);
}

async function logOut() {
  try {
    await api.post("/logout");
  } catch (error) {
    toastProblem(error);
    return;
  }
  session = { ...session, user: null };
  history.pushState(null, "", "/login");
  await showBare("login");
}

function ensureFrame() {
  if (frame) return frame;
  const user = /** @type {Api.Who} */ (session.user);
  frame = shell({
    user, repositories, repository, version: session.version, logOut: () => void logOut(),
    choose: (name) => {
      const found = find(location.pathname);
      repository = name;
      memory.set(KEY_REPOSITORY, name);
      // The same view of the other repository; parts of the old one are not in it.
      const base = found?.route.path.includes(":repository") ? (found.route.nav ? found.route.path : "/") : location.pathname;
      go(base.replace(":repository", encodeURIComponent(name)));
    },
  });
  fill(app, frame.node);
  startEvents();
  count();
  return frame;
}

/** The numbers beside the navigation: what runs, and what needs a person. */
const count = soon(async () => {
  if (!frame) return;
  try {
    const [alerts, jobs] = await Promise.all([api.get("/alerts"), api.get("/jobs", { status: "running", limit: 100 })]);
    frame?.setCount("overview", alerts.length, "danger", text.shell.alerts(alerts.length));
    frame?.setCount("activity", jobs.items.length, "", text.shell.running(jobs.items.length));
  } catch {
    // They come with the next event.
  }
}, 150);
listen(({ type }) => { if (["job_started", "job_ended", "alert_raised", "alert_cleared", "reset"].includes(type)) count(); });

/** @param {string} title @param {Node} node */
function showPlain(title, node) {
  if (!frame) return;
  document.title = `${title} · ${text.product}`;
  fill(frame.page, h("div", { class: "page-inner" }, node));
}

async function show() {
  if (session.needs_setup) return showBare("setup");
  if (!session.user) return showBare("login");
  if (location.pathname === "/login" || location.pathname === "/setup") return go("/", { replace: true });
  const own = ++turn;
  const found = find(location.pathname);
  const { user } = session;
  endView();
  const current = ensureFrame();
  if (found?.params.repository && repositories.some((one) => one.name === found.params.repository)) {
    repository = found.params.repository;
    memory.set(KEY_REPOSITORY, repository);
  }
  const [, area] = location.pathname.split("/r/").length > 1 ? location.pathname.split("/").slice(2) : location.pathname.split("/");
  const named = routes.find((route) => route.nav && (route === found?.route || route.path.replace("/r/:repository", "").split("/")[1] === area));
  current.show(found?.route.nav?.name ?? named?.nav?.name ?? "", repository);
  if (!found || (found.params.repository && repository !== found.params.repository)) {
    const home = buttonLink("/", text.shell.home);
    return showPlain(text.shell.notFound, h("div", null, h("h1", { class: "visually-hidden" }, text.shell.notFound), empty({ icon: "search", title: text.shell.notFound, body: text.shell.notFoundBody, action: home })));
  }
  const needed = found.route.role ?? "viewer";
  if (!hasRole(user.role, needed)) {
    return showPlain(text.shell.noRole, h("div", null, h("h1", { class: "visually-hidden" }, text.shell.noRole), empty({ icon: "key", title: text.shell.noRole, body: text.shell.noRoleBody(text.roles[needed]) })));
  }
  const late = setTimeout(() => { if (own === turn) fill(current.page, h("div", { class: "page-inner" }, skeleton(6))); }, 200);
  try {
    const module = await found.route.load();
    if (own !== turn) return;
    const view = await module.render({
      params: found.params, query: new URLSearchParams(location.search), session: { user, version: session.version },
      repository, repositories, may: (role) => hasRole(user.role, role), go,
      setQuery: (changes) => {
        const query = new URLSearchParams(location.search);
        for (const [name, value] of Object.entries(changes)) {
          if (value === null || value === "") query.delete(name);
          else query.set(name, value);
        }
        const tail = query.toString();
        history.replaceState(null, "", `${location.pathname}${tail ? `?${tail}` : ""}`);
      },
      listen: (listener) => { ends.push(listen(listener)); },
      reloadSession: async () => {
        await askSession();
        frame = null;
        ensureFrame();
      },
    });
    if (own !== turn) {
      view.stop?.();
      return;
    }
    if (view.stop) ends.push(view.stop);
    document.title = `${view.title} · ${text.product}`;
    fill(current.page, h("div", { class: "page-inner" }, view.node));
    window.scrollTo(0, 0);
    // Screen readers begin with the new view, not with the link that led there.
    if (hasShown && (document.activeElement === document.body || document.activeElement?.closest(".sidebar"))) current.page.focus({ preventScroll: true });
    hasShown = true;
  } catch (error) {
    if (own !== turn) return;
    showPlain(text.failed.title, failed(error, () => void show()));
  } finally {
    clearTimeout(late);
  }
}

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = /** @type {HTMLElement} */ (event.target).closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download") || link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
  event.preventDefault();
  go(link.pathname + link.search + link.hash);
});
window.addEventListener("popstate", () => void show());
onSessionEnd(() => {
  if (!session.user) return;
  session = { ...session, user: null };
  void showBare("login", true);
});
onLink((isThere) => {
  frame?.setThere(isThere);
  if (isThere && frame) toast(text.shell.back, { kind: "good" });
});
setInterval(refreshTimes, 30_000);

async function begin() {
  try {
    await askSession();
  } catch (error) {
    fill(app, h("div", { class: "bare" }, h("main", null, h("h1", { class: "visually-hidden" }, text.product), failed(error, () => void begin()))));
    return;
  }
  await show();
}

void begin();
