// What concerns oneself: colours in this browser, the password.

import { api } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { demand, field, form, input, radioCards } from "../parts/fields.js";
import { card, facts } from "../parts/page.js";
import { chosenTheme, setTheme } from "../parts/theme.js";
import { toast } from "../parts/toast.js";
import { text } from "../strings.js";

const words = text.settings;
const PASSWORD_MIN = 10;

/** @param {import("./index.js").Context} context */
export function ownPanel(context) {
  const { user, version } = context.session;
  const themes = /** @type {const} */ (["system", "light", "dark"]).map((value) => ({ value, label: text.shell.themes[value], hint: words.themeHints[value] }));
  const node = [
    card({ title: words.appearance, body: radioCards(text.shell.theme, themes, chosenTheme(), setTheme).node, class: "theme-card" }),
    user.by === "session" ? card({ title: words.password, body: passwordForm(user.name) }) : null,
    card({ title: words.about, body: facts([[words.user, user.name], [words.role, text.roles[user.role]], [words.version, `Larder ${version}`], [words.api, h("a", { href: "/api/v1/openapi.json", target: "_blank", rel: "noopener" }, words.apiLink)]]) }),
  ];
  return { node: h("div", { class: "stack narrow" }, node) };
}

/** @param {string} name */
function passwordForm(name) {
  const old = field(words.oldPassword, input({ type: "password", autocomplete: "current-password" }));
  const fresh = field(words.newPassword, input({ type: "password", autocomplete: "new-password" }), { hint: text.setup.passwordHint(PASSWORD_MIN) });
  const again = field(text.setup.again, input({ type: "password", autocomplete: "new-password" }));
  const { node } = form({
    // Managers of passwords want to know whose it is.
    fields: [h("input", { type: "text", autocomplete: "username", value: name, hidden: true, tabindex: "-1", "aria-hidden": "true" }), old.node, fresh.node, again.node],
    submit: words.changePassword,
    run: async () => {
      demand([
        [old, !old.control.value && text.login.needPassword],
        [fresh, fresh.control.value.length < PASSWORD_MIN && text.setup.passwordHint(PASSWORD_MIN)],
        [again, again.control.value !== fresh.control.value && text.setup.differs],
      ]);
      await api.post("/password", { old_password: old.control.value, new_password: fresh.control.value });
      for (const one of [old, fresh, again]) one.control.value = "";
      toast(words.passwordChanged, { kind: "good" });
    },
  });
  return node;
}
