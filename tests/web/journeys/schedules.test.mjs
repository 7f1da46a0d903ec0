// Schedules: made, seen to run, paused, changed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { tell } from "../backup_story.mjs";
import { checkView, openPage, until } from "../harness.mjs";

let story, larder, browser, home;
before(async () => {
  story = await tell();
  ({ larder, browser, home } = story);
});
after(() => story?.remove());

test("a schedule is made, shows what it would keep, and is seen to run", async () => {
  const { page, complaints, context } = await openPage(browser, larder);
  await page.goto(`${home}/schedules`);
  await page.getByRole("link", { name: "New schedule" }).first().click();
  await page.getByLabel("Name").fill("Every night");
  await page.getByLabel("Folders and files").fill(larder.documents);
  await page.getByRole("button", { name: "Weekly" }).click();
  await page.getByText("Monday to Friday at 01:00").waitFor();
  await until("five runs", async () => (await page.locator(".runs li").count()) === 5);
  await page.getByRole("button", { name: "Cron" }).click();
  await page.getByLabel("Expression").fill("61 * * * *");
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Expression").fill("30 2 * * *");
  await page.getByText("Every day at 02:30").waitFor();
  await page.getByText("Keep by rules").click();
  await page.locator(".preview-strip .kept").first().waitFor();
  await checkView(page, "a schedule with rules");
  await page.getByRole("button", { name: "Create schedule" }).click();
  await page.getByRole("link", { name: "Every night" }).waitFor();
  await page.getByText("has not run yet").waitFor();
  await page.getByRole("button", { name: "Run now" }).click();
  await page.locator(".schedule", { hasText: "Every night" }).getByText("Done").waitFor({ timeout: 30_000 });
  await page.getByRole("button", { name: /^More/ }).click();
  await page.getByRole("menuitem", { name: "Pause" }).click();
  await page.locator(".schedule .badge", { hasText: "Paused" }).waitFor();
  await page.getByRole("link", { name: "Every night" }).click();
  assert.equal(await page.getByLabel("Expression").count(), 0, "times that fields can say are in fields");
  await page.getByLabel("At", { exact: true }).waitFor();
  assert.equal(await page.getByLabel("At", { exact: true }).inputValue(), "02:30");
  assert.deepEqual(complaints.filter((one) => !/schedule-preview/.test(one)), []);
  await context.close();
});
