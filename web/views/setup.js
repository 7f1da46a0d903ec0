// The first user, made with the token that the daemon printed. The first backup comes after it.

import { api } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { demand, field, form, input } from "../parts/fields.js";
import { logo } from "../parts/icons.js";
import { text } from "../strings.js";

const words = text.setup;
/** As the daemon has it. */
const PASSWORD_MIN = 10;

/** @param {{ done: (address?: string) => Promise<void> }} options */
export function render({ done }) {
  // `/setup#TOKEN`: what comes after the sign is never sent to a server.
  const given = decodeURIComponent(location.hash.slice(1));
  const token = field(words.token, input({ name: "token", value: given, class: "mono" }), { hint: words.tokenHint });
  const user = field(words.user, input({ name: "username", autocomplete: "username", autocapitalize: "none" }));
  const password = field(words.password, input({ type: "password", name: "new-password", autocomplete: "new-password" }), { hint: words.passwordHint(PASSWORD_MIN) });
  const again = field(words.again, input({ type: "password", name: "again", autocomplete: "new-password" }));
  token.node.hidden = Boolean(given);
  const { node: fields } = form({
    fields: [token.node, user.node, password.node, again.node],
    submit: words.submit,
    class: "sign-form",
    run: async () => {
      const secret = password.control.value;
      demand([
        [token, !token.control.value.trim() && words.needToken],
        [user, !user.control.value.trim() && words.needUser],
        [password, secret.length < PASSWORD_MIN && words.passwordHint(PASSWORD_MIN)],
        [again, secret !== again.control.value && words.differs],
      ]);
      try {
        await api.post("/setup", { setup_token: token.control.value.trim(), user: user.control.value.trim(), password: secret });
      } catch (error) {
        // It may be one of an earlier start.
        token.node.hidden = false;
        throw error;
      }
      await done("/start");
    },
  });
  const node = h(
    "div", { class: "sign" },
    h("div", { class: "sign-head" }, logo(52), h("h1", null, words.title), h("p", null, words.lead)),
    h("div", { class: "card" }, h("div", { class: "card-body" }, fields)),
    h("p", { class: "muted small sign-help" }, words.other, h("br"), h("code", null, words.otherCommand)),
  );
  setTimeout(() => (given ? user : token).control.focus());
  return { title: words.title, node, stop: () => {} };
}
