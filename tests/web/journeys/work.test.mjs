// Jobs: seen live, cancelled, failed and made again; the server away and back.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { checkView, Larder, openBrowser, openPage, settled } from "../harness.mjs";

let larder, browser, own;
before(async () => {
  [larder, browser] = await Promise.all([Larder.start(), openBrowser()]);
  own = await larder.own();
});
after(async () => {
  await browser?.close();
  await larder?.remove();
});

test("a schedule is run, fails, says why, and is made again when that is put right", async () => {
  const photos = join(larder.home, "Photos");
  await larder.ask("POST", `${own}/schedules`, { when: "0 3 1 1 *", name: "Photos", max_retries: 0, job: { kind: "backup", sources: [photos] } });
  const { page, complaints } = await openPage(browser, larder);
  await page.goto("/");
  await settled(page);
  await page.getByRole("button", { name: "Back up now" }).click();
  await page.getByText("The backup has started.").waitFor();
  await page.getByRole("button", { name: "Follow it" }).click();
  await page.getByText("none of the sources exists").first().waitFor();
  await page.getByRole("link", { name: /Photos/ }).first().click();
  await page.getByRole("heading", { name: /Backup: Photos/ }).waitFor();
  await page.getByText("none of the sources exists").first().waitFor();
  await page.getByText("What to try:").waitFor();
  await checkView(page, "a job that failed");

  mkdirSync(photos);
  writeFileSync(join(photos, "sea.jpg"), randomBytes(2_000));
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("heading", { name: "Activity", exact: true }).waitFor();
  await page.locator(".job-list li", { hasText: "Photos" }).first().getByText("Done").waitFor();
  await page.getByRole("button", { name: "Failed" }).click();
  await page.locator(".job-list li").first().getByText("Failed").waitFor();
  assert.equal(await page.locator(".job-list li", { hasText: "Done" }).count(), 0, "only what failed");
  assert.match(page.url(), /status=failed/);
  await page.getByRole("button", { name: "Cancelled" }).click();
  await page.getByText("Nothing matches").waitFor();
  assert.deepEqual(complaints, []);
});

test("a job that runs is seen, and ends when it is cancelled", async () => {
  const large = join(larder.home, "Large");
  mkdirSync(large);
  // Compressing and sealing it takes longer than the click.
  for (let at = 0; at < 24; at += 1) writeFileSync(join(large, `${at}.bin`), randomBytes(12 << 20));
  const { page, complaints } = await openPage(browser, larder);
  await page.goto("/activity");
  await settled(page);
  await page.getByText("Nothing is running.").waitFor();
  await larder.ask("POST", `${own}/backups`, { sources: [large] });
  const card = page.getByRole("article", { name: "Backup" });
  await card.waitFor();
  await card.getByRole("progressbar").waitFor();
  await card.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Nothing is running.").waitFor();
  await page.locator(".job-list li", { hasText: "Large" }).first().getByText("Cancelled").waitFor();
  assert.deepEqual(complaints, []);
});

test("a server that is away is said, and what is shown is new when it is back", async () => {
  const { page, context } = await openPage(browser, larder);
  await page.goto("/activity");
  await settled(page);
  await larder.end();
  await page.getByText("No connection to Larder").waitFor();
  await checkView(page, "without a connection");
  await larder.serve();
  await page.getByText("No connection to Larder").waitFor({ state: "hidden", timeout: 30_000 });
  await page.getByText("Connected again").waitFor();
  await page.goto("/");
  await settled(page);
  assert.equal(await page.locator(".failed").count(), 0);
  await context.close();
});
