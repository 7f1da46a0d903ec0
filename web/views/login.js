// Logging in.

import { api } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { demand, field, form, input } from "../parts/fields.js";
import { logo } from "../parts/icons.js";
import { notice } from "../parts/states.js";
import { text } from "../strings.js";

/** @param {{ hasEnded: boolean, done: (address?: string) => Promise<void> }} options */
export function render({ hasEnded, done }) {
  const user = field(text.login.user, input({ name: "username", autocomplete: "username", autocapitalize: "none", autofocus: true }));
  const password = field(text.login.password, input({ type: "password", name: "password", autocomplete: "current-password" }));
  const { node: fields } = form({
    fields: [user.node, password.node],
    submit: text.login.submit,
    class: "sign-form",
    run: async () => {
      demand([
        [user, !user.control.value.trim() && text.login.needUser],
        [password, !password.control.value && text.login.needPassword],
      ]);
      try {
        await api.post("/login", { user: user.control.value.trim(), password: password.control.value });
      } catch (error) {
        password.control.select();
        throw error;
      }
      await done();
    },
  });
  const node = h(
    "div", { class: "sign" },
    h("div", { class: "sign-head" }, logo(52), h("h1", null, text.login.title)),
    hasEnded ? notice("info", text.login.ended) : null,
    h("div", { class: "card" }, h("div", { class: "card-body" }, fields)),
    h("p", { class: "muted small sign-help" }, text.login.forgot, h("br"), h("code", null, text.login.forgotCommand)),
  );
  setTimeout(() => user.control.focus());
  return { title: text.login.title, node, stop: () => {} };
}
