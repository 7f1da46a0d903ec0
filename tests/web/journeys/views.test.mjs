// Every view of how things stand: in both schemes, on large and small screens, for everybody.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { checkView, DESKTOP, Larder, NARROW, openBrowser, openPage, settled, USER } from "../harness.mjs";

const WEB = resolve(import.meta.dirname, "../../../web");
const HOSTILE = "<img src=x onerror=document.title='taken'> \u202Egpj.exe";
/** Views, and the routes of the API that they need beside what is always there. */
const VIEWS = [["/"], ["/activity"], ["/settings"], ["/settings/users"], ["/settings/tokens"], ["/settings/notifications", "/notifications"], ["/settings/audit", "/audit"], ["/settings/server", "/settings"], ["/start"]];

let larder, browser, job, views;
before(async () => {
  [larder, browser] = await Promise.all([Larder.start(), openBrowser()]);
  const own = await larder.own();
  await larder.ask("POST", `${own}/schedules`, { preset: "hourly", name: HOSTILE, job: { kind: "backup", sources: [larder.documents] } });
  await larder.ask("POST", "/tokens", { name: "monitoring", role: "viewer" });
  larder.write(`${HOSTILE}/file.txt`, "text");
  const escaped = (await larder.ask("POST", `${own}/backups`, { sources: [`${larder.documents}/${HOSTILE}`.replaceAll("%", "%25")] })).job_id;
  await larder.ended(escaped);
  const routes = (await larder.ask("GET", "/openapi.json")).paths;
  views = VIEWS.filter(([, route]) => !route || routes[`/api/v1${route}`]).map(([address]) => address);
  job = (await larder.ask("POST", `${own}/backups`, { sources: [join(larder.documents, "gone")] })).job_id;
  await larder.ended(job);
});
after(async () => {
  await browser?.close();
  await larder?.remove();
});

for (const [scheme, sizes] of [["light", [DESKTOP, NARROW]], ["dark", [DESKTOP]]]) {
  for (const size of sizes) {
    test(`axe finds nothing on any view, ${scheme}, ${size.width} pixels`, async () => {
      const { page, complaints, context } = await openPage(browser, larder, { scheme, size });
      for (const address of [...views, `/activity/${job}`]) {
        await page.goto(address);
        await settled(page);
        assert.equal(await page.locator(".failed").count(), 0, `${address}: ${await page.locator("#page").innerText()}`);
        await checkView(page, `${address} ${scheme} ${size.width}`);
        assert.doesNotMatch(await page.title(), /taken/);
      }
      assert.deepEqual(complaints, []);
      await context.close();
    });
  }
}

test("hostile names are shown as what they are", async () => {
  const { page } = await openPage(browser, larder);
  await page.goto("/");
  await page.getByText("<img src=x onerror").first().waitFor();
  assert.equal(await page.locator("#page img").count(), 0);
  assert.ok(await page.locator(".hidden-letter", { hasText: "U+202E" }).count() > 0, "what turns the text round is seen");
  assert.equal(await page.locator(`text=${"\u202E"}`).count(), 0);
});

test("everything is reached by the keyboard", async () => {
  const { page } = await openPage(browser, larder);
  await page.goto("/");
  await settled(page);
  await page.locator("body").press("Tab");
  await page.getByRole("link", { name: "Skip to content" }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");
  assert.match(await focused(), /Skip to content/);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "page");
  await page.goto("/settings/users");
  await settled(page);
  await page.getByRole("button", { name: "Add user" }).press("Enter");
  await page.getByRole("dialog").waitFor();
  assert.ok(await page.evaluate(() => document.activeElement?.closest("dialog") !== null), "the focus is in the dialog");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.match(await focused(), /Add user/, "and back where it came from");
});

test("on a telephone the navigation opens and closes", async () => {
  const { page } = await openPage(browser, larder, { size: NARROW });
  await page.goto("/");
  await settled(page);
  assert.ok(!(await page.locator(".sidebar").isVisible()));
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("link", { name: "Activity" }).click();
  await page.getByRole("heading", { name: "Activity", exact: true }).waitFor();
  await page.locator(".sidebar").waitFor({ state: "hidden" });
});

test("viewers see what they may, and are told of the rest", async () => {
  await larder.ask("POST", "/users", { name: "vera", role: "viewer", password: "a long enough password" });
  const { page } = await openPage(browser, larder, { logIn: false, allowed: [/401/] });
  await page.goto("/");
  await page.getByLabel("User").fill("vera");
  await page.getByLabel("Password").fill("a long enough password");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await settled(page);
  assert.equal(await page.getByRole("button", { name: "Back up now" }).count(), 0);
  await page.goto("/settings");
  await settled(page);
  assert.equal(await page.getByRole("link", { name: "Users" }).count(), 0);
  await page.goto("/start");
  await page.getByText("This is for administrators").first().waitFor();
  await larder.ask("DELETE", "/users/vera");
});

test("the policy allows nothing from elsewhere and nothing written into the page", async () => {
  const answer = await fetch(`${larder.base}/`);
  const policy = answer.headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
  assert.doesNotMatch(policy, /unsafe|https?:|\*/);
  const page = await answer.text();
  assert.doesNotMatch(page, /<script(?![^>]*src=)|\sstyle=|\son[a-z]+=|https?:\/\//);
  const again = await fetch(`${larder.base}/backup_ui.js`, { headers: { "if-none-match": (await fetch(`${larder.base}/backup_ui.js`)).headers.get("etag") } });
  assert.equal(again.status, 304);
});

test("nothing reads markup, and nothing is too large", async () => {
  const files = readdirSync(WEB, { recursive: true }).map((name) => join(WEB, String(name))).filter((path) => statSync(path).isFile());
  const whole = files.reduce((sum, path) => sum + statSync(path).size, 0);
  assert.ok(whole < 500_000, `all of web/ has ${whole} bytes`);
  for (const path of files.filter((one) => one.endsWith(".js"))) {
    assert.doesNotMatch(readFileSync(path, "utf8"), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\("style"/, path);
  }
  // What login and overview load, without what is kept from before.
  const { page } = await openPage(browser, larder, { logIn: false, allowed: [/401/] });
  const bodies = [];
  page.on("response", (response) => {
    if (!response.url().includes("/api/")) bodies.push(response.body().then((body) => body.length, () => 0));
  });
  await page.goto("/");
  await page.getByLabel("User").fill(USER);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("You are safe").or(page.getByText("Something needs a look")).or(page.getByText("at risk")).first().waitFor();
  await settled(page);
  const loaded = (await Promise.all(bodies)).reduce((sum, size) => sum + size, 0);
  assert.ok(loaded > 50_000 && loaded < 150_000, `login and overview load ${loaded} bytes`);
});
