// Every view of backups, restores, schedules and the repository: in both schemes, on large and small screens.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { tell } from "../backup_story.mjs";
import { checkView, DESKTOP, NARROW, openPage, settled } from "../harness.mjs";

let story, larder, browser, home, older, newer;
before(async () => {
  story = await tell();
  ({ larder, browser, home, older, newer } = story);
});
after(() => story?.remove());

for (const [scheme, size] of [["light", DESKTOP], ["dark", NARROW]]) {
  test(`axe finds nothing on any view of backups, ${scheme}, ${size.width} pixels`, async () => {
    const { page, complaints, context } = await openPage(browser, larder, { scheme, size });
    const views = ["backups", "backups?view=list", `backups/${newer}`, "backups/find?query=letter", `backups/compare?older=${older}&newer=${newer}`, "restore", `restore?backup=${newer}`, `restore?backup=${newer}&path=/x`, "schedules", "schedules/new", "repository"];
    for (const view of views) {
      await page.goto(`${home}/${view}`);
      await settled(page);
      await checkView(page, `${view} ${scheme} ${size.width}`);
    }
    assert.deepEqual(complaints, []);
    await context.close();
  });
}
