// All views. What a view is:
//
//   export async function render(context) { …; return { title, node, stop } }
//
// - `context` (type `Context`) has what the address says (`params`, `query`), who is logged in, and
//   ways to other views. Anything that takes time is loaded inside `node` (see `parts/states.js`),
//   so that the view is there at once: `render` itself waits for nothing.
// - `node` is the content of the page. It begins with `pageHead()`, which has the one `h1`.
// - `title` is for the title of the window.
// - `stop()`, if there is one, ends timers, listeners and requests. The router calls it before the
//   next view is shown. `context.listen` ends by itself.
// - When only the query of the address changes through `context.setQuery`, the view stays.
//
// A view is in the navigation if `nav` is said here. Modules are loaded when they are first shown.

/**
 * @typedef {{ title: string, node: Node, stop?: () => void }} View
 * @typedef {"viewer" | "operator" | "admin"} Role
 * @typedef {{
 *   params: Record<string, string>,
 *   query: URLSearchParams,
 *   session: { user: Api.Who, version: string },
 *   repository: string,
 *   repositories: Api.RepositoryView[],
 *   may: (role: Role) => boolean,
 *   go: (address: string, options?: { replace?: boolean }) => void,
 *   setQuery: (changes: Record<string, string | null>) => void,
 *   listen: (listener: (happening: import("../parts/events.js").Happening) => void) => void,
 *   reloadSession: () => Promise<void>,
 * }} Context
 * `repository`: the one of the address, or the one that was looked at last; never empty when there
 * is one at all.
 *
 * @typedef {{
 *   path: string,
 *   load: () => Promise<{ render: (context: Context) => View | Promise<View> }>,
 *   role?: Role,
 *   nav?: { name: keyof typeof import("../strings.js").text.nav, icon: string, group: "top" | "protect" | "system" },
 * }} Route
 * `path`: parts that begin with `:` are parameters, `*` at the end takes the rest; `:repository` is
 * filled in links of the navigation.
 */

/** @type {Route[]} */
export const routes = [
  // ---- how things stand ----
  { path: "/", load: () => import("./overview.js"), nav: { name: "overview", icon: "overview", group: "top" } },

  // ---- backups, restore, schedules, repository ----
  { path: "/r/:repository/backups", load: () => import("./backups.js"), nav: { name: "backups", icon: "backups", group: "protect" } },
  { path: "/r/:repository/backups/find", load: () => import("./find.js") },
  { path: "/r/:repository/backups/compare", load: () => import("./compare.js") },
  { path: "/r/:repository/backups/:backup", load: () => import("./backup.js") },
  { path: "/r/:repository/restore", role: "operator", load: () => import("./restore.js"), nav: { name: "restore", icon: "restore", group: "protect" } },
  { path: "/r/:repository/schedules", load: () => import("./schedules.js"), nav: { name: "schedules", icon: "schedules", group: "protect" } },
  { path: "/r/:repository/schedules/:schedule", role: "operator", load: () => import("./schedule.js") },
  { path: "/r/:repository/repository", load: () => import("./repository.js"), nav: { name: "repository", icon: "repository", group: "protect" } },

  // ---- activity and settings ----
  { path: "/activity", load: () => import("./activity.js"), nav: { name: "activity", icon: "activity", group: "system" } },
  { path: "/activity/:job", load: () => import("./job.js") },
  { path: "/settings", load: () => import("./settings.js"), nav: { name: "settings", icon: "settings", group: "system" } },
  { path: "/settings/:tab", load: () => import("./settings.js") },
  { path: "/start", role: "operator", load: () => import("./start.js") },
];

/** Whether there is such a view, so that others can lead there. @param {string} name */
export const has = (name) => routes.some((route) => route.nav?.name === name);
