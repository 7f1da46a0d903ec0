// From a daemon without users to a first backup that is there.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { checkView, DESKTOP, Larder, openBrowser, openPage, PASSWORD, settled, until, USER } from "../harness.mjs";

let larder, browser;
before(async () => {
  [larder, browser] = await Promise.all([Larder.start({ setUp: false, backup: false }), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await larder?.remove();
});

test("set-up ends with a first backup done, and everything is safe", async () => {
  const { page, complaints } = await openPage(browser, larder, { logIn: false, allowed: [/401/] });
  await page.goto("/activity");
  await page.getByRole("heading", { name: "Set up Larder" }).waitFor();
  await checkView(page, "set-up");
  await page.getByLabel("Set-up token").fill("0".repeat(32));
  await page.getByLabel("User").fill(USER);
  await page.getByLabel("Password", { exact: true }).fill("short");
  await page.getByLabel("Password again").fill("shorter");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("The two passwords differ.").waitFor();
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password again").fill(PASSWORD);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Set-up token").fill(larder.token);
  await page.getByRole("button", { name: "Continue" }).click();

  await page.getByRole("heading", { name: "Your first backup" }).waitFor();
  await checkView(page, "first backup");
  await page.getByLabel("Folders to protect").fill("Documents");
  await page.getByRole("button", { name: "Back up now" }).click();
  await page.getByText("Enter full paths").waitFor();
  await page.getByLabel("Folders to protect").fill(larder.documents);
  await page.getByRole("button", { name: "Back up now" }).click();
  await page.getByRole("heading", { name: "Your first backup is there" }).waitFor();
  await page.getByText("2 files").waitFor();
  await page.getByRole("link", { name: "Go to the overview" }).click();
  await page.getByText("You are safe").waitFor();
  await page.getByText("Every day", { exact: true }).waitFor();
  assert.deepEqual(complaints, []);
});

test("logging in leads to where one wanted to go, and logging out ends it", async () => {
  const { page } = await openPage(browser, larder, { logIn: false, allowed: [/401/] });
  await page.goto("/settings");
  await page.getByRole("heading", { name: "Log in to Larder" }).waitFor();
  await checkView(page, "login");
  await page.getByLabel("User").fill(USER);
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Password").fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/settings", "where one wanted to go");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in to Larder" }).waitFor();
  await page.goBack();
  await page.getByRole("heading", { name: "Log in to Larder" }).waitFor();
  assert.equal(await page.getByRole("heading", { name: "Settings" }).count(), 0);
});

test("what is chosen about colours stays, and pages that are not there say so", async () => {
  await larder.ask("POST", "/login", { user: USER, password: PASSWORD });
  const { page, context, complaints } = await openPage(browser, larder, { scheme: "light", size: DESKTOP });
  await page.goto("/settings");
  await settled(page);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByLabel("Dark").check();
  await until("dark", async () => (await ground()) !== light);
  await page.reload();
  await settled(page);
  await until("dark after a reload", async () => (await ground()) !== light);
  await page.getByLabel("Like the system").check();
  await until("light again", async () => (await ground()) === light);
  await page.goto("/no/such/page");
  await page.getByRole("heading", { name: "There is no such page" }).last().waitFor();
  await checkView(page, "no such page");
  await page.getByRole("link", { name: "Go to the overview" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});
