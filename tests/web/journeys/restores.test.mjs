// Bringing files back: into folders, in place, as downloads.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { tell } from "../backup_story.mjs";
import { checkView, openPage, settled } from "../harness.mjs";

let story, larder, browser, home, newer;
before(async () => {
  story = await tell();
  ({ larder, browser, home, newer } = story);
});
after(() => story?.remove());

test("files are restored into a folder, and are the same to the byte", async () => {
  const { page, complaints, context } = await openPage(browser, larder);
  const target = join(larder.home, "back");
  await page.goto(`${home}/restore`);
  await page.locator(".point-button").first().click();
  await page.getByRole("heading", { name: "Which files?" }).waitFor();
  await page.getByText("Only some files and folders").click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("Choose at least one").waitFor();
  for (const name of ["data.bin", "letter.txt"]) await page.locator(".file-row", { hasText: name }).locator(".file-check").click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("Enter the full path of a folder").waitFor();
  await page.getByRole("textbox", { name: "Folder" }).fill(target);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("heading", { name: "What will happen" }).waitFor();
  await settled(page);
  await page.locator(".plan-figure", { hasText: "Created" }).getByText("2", { exact: true }).waitFor();
  await checkView(page, "the plan of a restore");
  await page.getByRole("button", { name: "Restore now" }).click();
  await page.locator(".restore-title", { hasText: "Your files are back" }).waitFor();
  await checkView(page, "the report of a restore");
  for (const name of ["data.bin", "letter.txt"]) assert.deepEqual(readFileSync(join(target, name)), readFileSync(join(larder.documents, name)), name);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("what was changed is put back in place, and downloads are what they were", async () => {
  const { page, complaints, context } = await openPage(browser, larder);
  const file = join(larder.documents, "data.bin");
  const was = readFileSync(file);
  writeFileSync(file, "overwritten");
  await page.goto(`${home}/restore?backup=${newer}&path=${encodeURIComponent(file)}`);
  await page.getByText("Back to where they came from").click();
  await page.getByRole("button", { name: "Continue" }).click();
  await settled(page);
  await page.locator(".plan-figure", { hasText: "Replaced" }).getByText("1", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Restore now" }).click();
  await page.locator(".restore-title", { hasText: "Your files are back" }).waitFor();
  assert.deepEqual(readFileSync(file), was);
  await page.goto(`${home}/backups/${newer}?file=${encodeURIComponent(file)}`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("dialog").getByRole("link", { name: "Download", exact: true }).click()]);
  assert.equal(download.suggestedFilename(), "data.bin");
  assert.deepEqual(readFileSync(await download.path()), was);
  assert.deepEqual(complaints, []);
  await context.close();
});
