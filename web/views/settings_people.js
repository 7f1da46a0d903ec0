// Users, and tokens of programs.

import { api, path } from "../parts/api.js";
import { confirmDialog, openDialog } from "../parts/dialog.js";
import { h } from "../parts/dom.js";
import { demand, field, form, input, select } from "../parts/fields.js";
import { name, time } from "../parts/formats.js";
import { icon } from "../parts/icons.js";
import { card } from "../parts/page.js";
import { empty, loaded, notice, skeleton } from "../parts/states.js";
import { table } from "../parts/table.js";
import { toast, toastProblem } from "../parts/toast.js";
import { badge } from "../parts/work.js";
import { text } from "../strings.js";

const words = text.settings;
const PASSWORD_MIN = 10;
const DAY = 86_400_000;

const roleChoices = () => /** @type {const} */ (["viewer", "operator", "admin"]).map((value) => ({ value, label: text.roles[value] }));

/** @param {string} label @param {() => void} run */
const addButton = (label, run) => h("button", { class: "button primary small", type: "button", on: { click: run } }, icon("plus", 16), label);

/** @param {string} label @param {string} picture @param {() => void} run */
const rowButton = (label, picture, run) => h("button", { class: "icon-button small", type: "button", title: label, "aria-label": label, on: { click: run } }, icon(picture, 18));

/** @param {import("./index.js").Context} context */
export function usersPanel(context) {
  const list = loaded({
    load: (signal) => api.get("/users", {}, signal),
    draw: (/** @type {Api.UserView[]} */ users) => table({
      label: words.tabs.users, rows: users,
      columns: [
        { label: words.user, class: "grow", cell: (user) => h("span", { class: "row tight" }, name(user.name), user.name === context.session.user.name ? badge("plain", words.you) : null) },
        { label: words.role, cell: (user) => roleSelect(user, reload) },
        { label: words.passwordSet, cell: (user) => time(user.changed) },
        { label: words.actions, hideLabel: true, class: "actions", cell: (user) => [rowButton(words.newPasswordFor(user.name), "key", () => setPassword(user)), rowButton(words.removeUser(user.name), "trash", () => removeUser(user, reload))] },
      ],
    }),
    skeleton: skeleton(3, "rows"),
  });
  const reload = () => void list.reload();
  context.listen((happening) => { if (happening.type === "settings_changed") reload(); });
  const node = h(
    "div", { class: "stack" }, card({ title: words.tabs.users, note: addButton(words.addUser, () => addUser(reload)), flush: true, body: list.node }),
    h("dl", { class: "role-help" }, roleChoices().map(({ value, label }) => [h("dt", null, label), h("dd", null, words.roleHints[value])])),
  );
  return { node, stop: list.stop };
}

/** @param {Api.UserView} user @param {() => void} reload */
function roleSelect(user, reload) {
  const control = select(roleChoices(), { value: user.role, class: "auto", "aria-label": words.roleOf(user.name) });
  control.addEventListener("change", async () => {
    try {
      await api.patch(path`/users/${user.name}`, { role: control.value });
      toast(words.roleChanged(user.name), { kind: "good" });
    } catch (error) {
      toastProblem(error);
    }
    reload();
  });
  return control;
}

/** @param {() => void} reload */
function addUser(reload) {
  const user = field(words.user, input({ autocomplete: "off", autocapitalize: "none" }));
  const role = field(words.role, select(roleChoices(), { value: "operator" }));
  const password = field(text.login.password, input({ type: "password", autocomplete: "new-password" }), { hint: text.setup.passwordHint(PASSWORD_MIN) });
  role.hint(words.roleHints.operator);
  role.control.addEventListener("change", () => role.hint(/** @type {Record<string, string>} */ (words.roleHints)[role.control.value]));
  const dialog = openDialog({
    title: words.addUser,
    body: form({
      fields: [user.node, role.node, password.node], submit: words.addUser,
      run: async () => {
        demand([[user, !user.control.value.trim() && text.setup.needUser], [password, password.control.value.length < PASSWORD_MIN && text.setup.passwordHint(PASSWORD_MIN)]]);
        await api.post("/users", { name: user.control.value.trim(), role: role.control.value, password: password.control.value });
        dialog.close();
        toast(words.userAdded(user.control.value.trim()), { kind: "good" });
        reload();
      },
    }).node,
  });
}

/** @param {Api.UserView} user */
function setPassword(user) {
  const password = field(words.newPassword, input({ type: "password", autocomplete: "new-password" }), { hint: words.endsSessions });
  const dialog = openDialog({
    title: words.newPasswordFor(user.name),
    body: form({
      fields: password.node, submit: text.save,
      run: async () => {
        demand([[password, password.control.value.length < PASSWORD_MIN && text.setup.passwordHint(PASSWORD_MIN)]]);
        await api.patch(path`/users/${user.name}`, { password: password.control.value });
        dialog.close();
        toast(words.passwordChanged, { kind: "good" });
      },
    }).node,
  });
}

/** @param {Api.UserView} user @param {() => void} reload */
async function removeUser(user, reload) {
  const isDone = await confirmDialog({
    title: words.removeUser(user.name), body: h("p", null, words.removeUserBody), action: words.remove, danger: true,
    run: () => api.delete(path`/users/${user.name}`),
  });
  if (isDone) reload();
}

/** @param {import("./index.js").Context} context */
export function tokensPanel(context) {
  const list = loaded({
    load: (signal) => api.get("/tokens", {}, signal),
    draw: (/** @type {Api.TokenView[]} */ tokens) => tokens.length ? table({
      label: words.tabs.tokens, rows: tokens,
      columns: [
        { label: words.tokenName, class: "grow", cell: (token) => name(token.name) },
        { label: words.role, cell: (token) => text.roles[token.role] },
        { label: words.made, cell: (token) => time(token.made) },
        { label: words.expires, cell: (token) => token.expires ? (new Date(token.expires) < new Date() ? badge("danger", words.expired) : time(token.expires)) : text.never },
        { label: words.actions, hideLabel: true, class: "actions", cell: (token) => rowButton(words.removeToken(token.name), "trash", () => removeToken(token, reload)) },
      ],
    }) : empty({ icon: "key", title: words.noTokens, body: words.noTokensBody }),
    skeleton: skeleton(3, "rows"),
  });
  const reload = () => void list.reload();
  context.listen((happening) => { if (happening.type === "settings_changed") reload(); });
  return { node: card({ title: words.tabs.tokens, note: addButton(words.addToken, () => addToken(reload)), flush: true, body: list.node }), stop: list.stop };
}

/** @param {() => void} reload */
function addToken(reload) {
  const label = field(words.tokenName, input({ placeholder: words.tokenExample }), { hint: words.tokenNameHint });
  const role = field(words.role, select(roleChoices(), { value: "viewer" }));
  const days = field(words.expires, select([{ value: "30", label: words.inDays(30) }, { value: "90", label: words.inDays(90) }, { value: "365", label: words.inDays(365) }, { value: "", label: text.never }], { value: "90" }));
  const dialog = openDialog({
    title: words.addToken,
    body: form({
      fields: [label.node, h("div", { class: "fields" }, role.node, days.node)], submit: words.addToken,
      run: async () => {
        demand([[label, !label.control.value.trim() && words.needTokenName]]);
        const expires = days.control.value ? new Date(Date.now() + Number(days.control.value) * DAY).toISOString() : undefined;
        /** @type {Api.NewTokenView} */
        const made = await api.post("/tokens", { name: label.control.value.trim(), role: role.control.value, expires });
        dialog.close();
        reload();
        showToken(made.token);
      },
    }).node,
  });
}

/** @param {string} token */
function showToken(token) {
  const copy = h("button", {
    class: "button small", type: "button",
    on: {
      click: async () => {
        try {
          await navigator.clipboard.writeText(token);
          toast(words.copied, { kind: "good" });
        } catch {
          getSelection()?.selectAllChildren(shown);
        }
      },
    },
  }, icon("copy", 16), words.copy);
  const shown = h("span", { class: "grow", data: { secret: "token" } }, token);
  openDialog({
    title: words.tokenMade,
    body: h("div", { class: "stack" }, notice("attention", words.tokenOnce), h("div", { class: "secret" }, shown, copy), h("p", { class: "muted small" }, words.tokenUse, " ", h("code", null, "Authorization: Bearer …"))),
    footer: (close) => h("button", { class: "button primary", type: "button", on: { click: () => close() } }, words.kept),
  });
}

/** @param {Api.TokenView} token @param {() => void} reload */
async function removeToken(token, reload) {
  const isDone = await confirmDialog({
    title: words.removeToken(token.name), body: h("p", null, words.removeTokenBody), action: words.remove, danger: true,
    run: () => api.delete(path`/tokens/${token.token_id}`),
  });
  if (isDone) reload();
}
