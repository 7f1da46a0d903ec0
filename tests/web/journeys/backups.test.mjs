// Backups and what is done with them: looking, finding, comparing, deleting.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MANY, tell } from "../backup_story.mjs";
import { checkView, openPage, PHONE, settled, until } from "../harness.mjs";

let story, larder, browser, own, home, older, newer;
before(async () => {
  story = await tell();
  ({ larder, browser, own, home, older, newer } = story);
});
after(() => story?.remove());

test("a day of the calendar leads to a backup and its files, by the keyboard", async () => {
  const { page, complaints, context } = await openPage(browser, larder);
  await page.goto(`${home}/backups`);
  await settled(page);
  await page.locator(".calendar-day[tabindex='0']").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("group", { name: "Backups by the hour" }).waitFor();
  await page.locator(".point a").first().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /^Backup of / }).waitFor();
  const list = page.getByRole("listbox");
  await list.focus();
  await page.locator(".file-row", { hasText: "many" }).waitFor();
  const at = await page.locator(".file-row").evaluateAll((rows) => rows.findIndex((row) => row.textContent.startsWith("many")));
  for (let press = 0; press < at; press += 1) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.locator(".file-row", { hasText: "record-00000.txt" }).waitFor();
  // Only what is seen exists; what comes later is loaded when it is near.
  assert.ok(await page.locator(".file-row").count() < 80);
  for (let press = 0; press < 4; press += 1) {
    await page.keyboard.press("End");
    await page.waitForTimeout(150);
  }
  await until("the last entry is shown", async () => {
    await page.keyboard.press("End");
    return page.locator(".file-row", { hasText: `record-0${MANY - 1}.txt` }).count();
  });
  assert.ok(await page.locator(".file-row").count() < 80);
  await page.getByText("2,500 entries").waitFor();
  await page.keyboard.press("Backspace");
  await page.locator(".file-row", { hasText: "letter.txt" }).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("hostile names are shown as what they are, and nothing of them runs", async () => {
  const { page, complaints, context } = await openPage(browser, larder, { size: PHONE });
  await page.goto(`${home}/backups/${newer}?folder=${encodeURIComponent(`${larder.documents}/odd`)}`);
  await page.getByText("<img src=x onerror").waitFor();
  await page.getByText("bad-%FF%FE").waitFor();
  await page.getByText("nnnnnnnnnn").first().waitFor();
  assert.equal(await page.locator("#page img").count(), 0);
  assert.equal(await page.locator(`text=${"\u202E"}`).count(), 0, "what turns the text round is not there as itself");
  await page.getByText("<img src=x onerror").click();
  await page.getByRole("dialog").getByText("Permissions").waitFor();
  assert.doesNotMatch(await page.title(), /taken/);
  assert.equal(await page.getByRole("dialog").locator("img").count(), 0);
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(beyond <= 0, `wider than the window by ${beyond} pixels`);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a file is found, its versions are compared, and a picture is seen", async () => {
  const { page, complaints, context } = await openPage(browser, larder);
  await page.goto(`${home}/backups/find`);
  await page.getByLabel("Name or pattern").fill("letter");
  await page.keyboard.press("Enter");
  await page.locator(".point a", { hasText: "letter.txt" }).click();
  const sheet = page.getByRole("dialog").first();
  await sheet.getByText("All versions of this file").waitFor();
  await sheet.getByRole("button", { name: "What changed" }).first().click();
  const changes = page.getByRole("dialog", { name: "What changed in the text" });
  await changes.locator(".diff-old", { hasText: "how are you?" }).waitFor();
  await changes.locator(".diff-new", { hasText: "how are you today?" }).waitFor();
  await checkView(page, "what changed in the text");
  await page.goto(`${home}/backups/compare?older=${older}&newer=${newer}`);
  await page.locator(".file-row", { hasText: "new.txt" }).getByText("Added").waitFor();
  await page.locator(".file-row", { hasText: "letter.txt" }).click();
  await page.getByRole("dialog").locator(".diff-new").waitFor();
  await page.goto(`${home}/backups/${newer}?file=${encodeURIComponent(`${larder.documents}/picture.png`)}`);
  await page.getByRole("dialog").locator("img").waitFor();
  await until("the picture is drawn", () => page.getByRole("dialog").locator("img").evaluate((image) => image.naturalWidth > 0));
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a backup is deleted only when its id is typed, and taken back", async () => {
  const { page, complaints, context } = await openPage(browser, larder);
  await page.goto(`${home}/backups/${older}`);
  await settled(page);
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("What happens").waitFor();
  await checkView(page, "deleting a backup");
  const go = dialog.getByRole("button", { name: "Delete backup" });
  await dialog.getByLabel(/^Type /).fill("something else");
  assert.ok(await go.isDisabled());
  await dialog.getByLabel(/^Type /).fill(older.slice(0, 8));
  await go.click();
  await page.getByText("The backup is deleted.").waitFor();
  const ids = async () => (await larder.ask("GET", `${own}/backups`)).items.map((one) => one.backup_id);
  assert.ok(!(await ids()).includes(older));
  await page.getByRole("button", { name: "Take back" }).click();
  await page.getByText("The backup is back.").waitFor();
  assert.ok((await ids()).includes(older));
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a repository is checked from its page, and pins and prunes show what they do", async () => {
  const { page, complaints, context } = await openPage(browser, larder);
  await page.goto(`${home}/repository`);
  await settled(page);
  await page.getByRole("button", { name: "Check", exact: true }).click();
  await page.getByRole("button", { name: "Check now" }).click();
  await page.getByText("Check has started.").waitFor();
  await page.getByRole("button", { name: "See what would go" }).click();
  await page.getByText("Packs that stay").waitFor();
  await page.goto(`${home}/backups/${older}`);
  await settled(page);
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: /^Pin/ }).click();
  await page.getByText("It is pinned").waitFor();
  await page.locator(".chip-pinned").first().waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});
