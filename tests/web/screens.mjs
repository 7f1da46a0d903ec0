// Takes the pictures of the README from a daemon that runs:
//   node screens.mjs http://127.0.0.1:4817 USER PASSWORD ../../docs
import { join } from "node:path";
import { openBrowser } from "./harness.mjs";

const [base, user, password, folder] = process.argv.slice(2);
const browser = await openBrowser();
const desktop = { width: 1440, height: 900 };

/** Each has the address, the scheme and the size of its window. `NAME` is the first repository. */
const PICTURES = {
  "overview-light": ["/", "light", desktop],
  "overview-dark": ["/", "dark", desktop],
  "backups-light": ["/r/NAME/backups", "light", desktop],
  "repository-dark": ["/r/NAME/repository", "dark", desktop],
};

for (const [name, [address, colorScheme, viewport]] of Object.entries(PICTURES)) {
  const context = await browser.newContext({ baseURL: base, viewport, colorScheme, locale: "en-GB", reducedMotion: "reduce" });
  await context.request.post("/api/v1/login", { data: { user, password }, headers: { "x-larder-csrf": "1", origin: base } });
  const [repository] = await (await context.request.get("/api/v1/repositories")).json();
  const page = await context.newPage();
  await page.goto(address.replace("NAME", encodeURIComponent(repository.name)));
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".skeleton, [aria-busy]"));
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await context.close();
}
await browser.close();
