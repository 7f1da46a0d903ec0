// Users, tokens and passwords.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { checkView, Larder, openBrowser, openPage, PASSWORD, settled, USER } from "../harness.mjs";

let larder, browser;
before(async () => {
  [larder, browser] = await Promise.all([Larder.start(), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await larder?.remove();
});

test("a user is made, gets another role, and is removed", async () => {
  const { page, complaints } = await openPage(browser, larder);
  await page.goto("/settings/users");
  await settled(page);
  await page.getByRole("button", { name: "Add user" }).click();
  const dialog = page.getByRole("dialog");
  await checkView(page, "dialog of a user");
  await dialog.getByLabel("User").fill("bob");
  await dialog.getByLabel("Password").fill("too short");
  await dialog.getByRole("button", { name: "Add user" }).click();
  await dialog.locator(".field-error", { hasText: "10 characters" }).waitFor();
  await dialog.getByLabel("Password").fill("long enough now");
  await dialog.getByRole("button", { name: "Add user" }).click();
  await page.getByText("bob may log in now.").waitFor();
  await page.getByLabel("Role of bob").selectOption("viewer");
  await page.getByText("The role of bob is changed.").waitFor();
  assert.equal((await larder.ask("GET", "/users")).find((user) => user.name === "bob").role, "viewer");
  await page.getByRole("button", { name: "Remove bob" }).click();
  await dialog.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("button", { name: "Remove bob" }).waitFor({ state: "detached" });
  assert.equal((await larder.ask("GET", "/users")).length, 1);
  assert.deepEqual(complaints, []);
});

test("a token is shown once, works, and works no more when it is removed", async () => {
  const { page } = await openPage(browser, larder);
  await page.goto("/settings/tokens");
  await settled(page);
  await page.getByRole("button", { name: "Make a token" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("monitoring");
  await dialog.getByRole("button", { name: "Make a token" }).click();
  const token = await page.locator("[data-secret=token]").innerText();
  await checkView(page, "a new token");
  const ask = () => fetch(`${larder.base}/api/v1/jobs`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await ask()).status, 200);
  await page.getByRole("button", { name: "I have kept it" }).click();
  await page.reload();
  await settled(page);
  assert.equal(await page.getByText(token).count(), 0);
  await page.getByRole("button", { name: "Remove the token monitoring" }).click();
  await dialog.getByRole("button", { name: "Remove" }).click();
  await page.getByText("No tokens").waitFor();
  assert.equal((await ask()).status, 401);
});

test("the password is changed, and only the new one lets in", async () => {
  const { page } = await openPage(browser, larder, { allowed: [/401/] });
  await page.goto("/settings");
  await settled(page);
  const fill = async (old, fresh) => {
    await page.getByLabel("Password so far").fill(old);
    await page.getByLabel("New password").fill(fresh);
    await page.getByLabel("Password again").fill(fresh);
    await page.getByRole("button", { name: "Change password" }).click();
  };
  await fill("wrong wrong wrong", "another good password");
  await page.getByRole("alert").waitFor();
  await fill(PASSWORD, "another good password");
  await page.getByText("The password is changed.").waitFor();
  await page.goto("/activity");
  await page.getByRole("heading", { name: "Activity", exact: true }).waitFor();
  await assert.rejects(larder.ask("POST", "/login", { user: USER, password: PASSWORD }));
  await larder.ask("POST", "/login", { user: USER, password: "another good password" });
});
