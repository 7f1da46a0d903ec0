// Settings: colours, one's own password, users, tokens, messages, the audit log, the server.

import { h } from "../parts/dom.js";
import { pageHead } from "../parts/page.js";
import { text } from "../strings.js";

const words = text.settings;

/** @typedef {{ node: Node, stop?: () => void }} Panel */

/**
 * @type {{ name: string, role: import("./index.js").Role, label: string,
 *   load: () => Promise<(context: import("./index.js").Context) => Panel> }[]}
 */
const TABS = [
  { name: "", role: "viewer", label: words.tabs.own, load: async () => (await import("./settings_own.js")).ownPanel },
  { name: "users", role: "admin", label: words.tabs.users, load: async () => (await import("./settings_people.js")).usersPanel },
  { name: "tokens", role: "admin", label: words.tabs.tokens, load: async () => (await import("./settings_people.js")).tokensPanel },
  { name: "notifications", role: "viewer", label: words.tabs.notifications, load: async () => (await import("./settings_system.js")).channelsPanel },
  { name: "audit", role: "admin", label: words.tabs.audit, load: async () => (await import("./settings_system.js")).auditPanel },
  { name: "server", role: "admin", label: words.tabs.server, load: async () => (await import("./settings_system.js")).serverPanel },
];

/** @param {import("./index.js").Context} context */
export async function render(context) {
  const own = TABS.filter((tab) => context.may(tab.role));
  const chosen = own.find((tab) => tab.name === (context.params.tab ?? "")) ?? own[0];
  const panel = (await chosen.load())(context);
  const node = h(
    "div", null, pageHead({ title: text.nav.settings }),
    h("nav", { class: "tabs", "aria-label": text.nav.settings }, own.map((tab) => h("a", { class: "tab", href: tab.name ? `/settings/${tab.name}` : "/settings", "aria-current": tab === chosen ? "page" : null }, tab.label))),
    h("div", { class: "settings-panel stack" }, panel.node),
  );
  return { title: `${chosen.label} · ${text.nav.settings}`, node, stop: panel.stop };
}
