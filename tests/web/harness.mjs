// A daemon with a home and a repository of its own, and a browser that looks at it.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";

const ROOT = resolve(import.meta.dirname, "../..");
const PROGRAM = process.env.LARDER_PROGRAM ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/larder");
const BROWSERS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const USER = "ann";
export const PASSWORD = "correct horse battery";
export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };
export const NARROW = { width: 360, height: 740 };

/** Waits until something is so. */
export async function until(what, check, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) assert.fail(`waited in vain: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

/** A daemon in a folder of its own. */
export class Larder {
  /**
   * @param {{ setUp?: boolean, backup?: boolean, files?: Record<string, string | Buffer> }} [options]
   * `files` are made in the folder `Documents`; without `backup` there is an empty repository.
   */
  static async start({ setUp = true, backup = true, files } = {}) {
    const larder = new Larder();
    larder.home = mkdtempSync(join(tmpdir(), "larder-web-"));
    larder.documents = join(larder.home, "Documents");
    mkdirSync(larder.documents);
    for (const [name, content] of Object.entries(files ?? { "letter.txt": "Dear reader,\n", "notes/list.txt": "milk\nbread\n" })) {
      larder.write(name, content);
    }
    if (backup) larder.run("quickstart", larder.documents);
    else larder.run("repo", "init", "--encryption", "none");
    await larder.serve();
    larder.routes = (await larder.ask("GET", "/openapi.json")).paths;
    if (setUp) await larder.setUp();
    return larder;
  }

  write(name, content) {
    const path = join(this.documents, name);
    mkdirSync(resolve(path, ".."), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  environment() {
    const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("LARDER_") && !name.startsWith("XDG_"));
    return { ...Object.fromEntries(kept), HOME: this.home, NO_COLOR: "1" };
  }

  /** Runs a command of the program to its end. */
  run(...args) {
    return execFileSync(PROGRAM, args, { env: this.environment(), cwd: this.home, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  /** Starts the daemon; again on the same port if it ran before. */
  async serve() {
    const port = this.base ? new URL(this.base).port : "0";
    const child = spawn(PROGRAM, ["serve", "--listen", `127.0.0.1:${port}`, "--stop-grace", "1s", ...(this.options ?? [])], { env: this.environment(), cwd: this.home });
    this.child = child;
    this.log = "";
    child.stderr.on("data", (part) => { this.log += part; });
    let out = "";
    child.stdout.on("data", (part) => { out += part; });
    await until(`the daemon answers\n${this.log}`, () => {
      assert.equal(child.exitCode, null, this.log);
      return /http:\/\/\S+/.test(out);
    });
    this.base = /http:\/\/[^\s/]+/.exec(out)[0];
    this.token = await until("the set-up token, or none", () => /setup#([0-9a-f]+)/.exec(this.log)?.[1] ?? (/repository .* is open|audit log/.test(this.log) && this.cookie) ?? "");
  }

  /** Whether the API has a route for this address. */
  knows(url) {
    const asked = new URL(url).pathname.split("/");
    return Object.keys(this.routes).some((route) => {
      const parts = route.split("/");
      return parts.length === asked.length && parts.every((part, at) => part.startsWith("{") || part === asked[at]);
    });
  }

  /** Makes the first user without the browser. */
  async setUp() {
    await this.ask("POST", "/setup", { setup_token: this.token, user: USER, password: PASSWORD });
  }

  /** Asks the API, as the first user. */
  async ask(method, route, body) {
    const headers = { "x-larder-csrf": "1", ...(this.cookie ? { cookie: this.cookie } : {}), ...(body === undefined ? {} : { "content-type": "application/json" }) };
    const response = await fetch(`${this.base}/api/v1${route}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const sent = await response.text();
    assert.ok(response.ok, `${method} ${route}: ${response.status} ${sent}`);
    const cookie = response.headers.get("set-cookie");
    if (cookie) this.cookie = cookie.split(";")[0];
    return sent && (response.headers.get("content-type") ?? "").includes("json") ? JSON.parse(sent) : sent;
  }

  /** The name of the only repository. */
  async repository() {
    return (await this.ask("GET", "/repositories"))[0].name;
  }

  /** The route of the only repository. */
  async own() {
    return `/repositories/${encodeURIComponent(await this.repository())}`;
  }

  /** Waits for the end of a job. */
  async ended(id) {
    return until(`job ${id} ends`, async () => {
      const job = await this.ask("GET", `/jobs/${id}`);
      return job.status !== "running" && job;
    });
  }

  /** Ends the daemon. */
  async end() {
    const { child } = this;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((go) => child.once("exit", go));
    child.kill("SIGTERM");
    await gone;
  }

  async remove() {
    await this.end();
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** A browser, or an error that says where one is to be had. */
export async function openBrowser() {
  const executablePath = BROWSERS.find((path) => path && existsSync(path));
  assert.ok(executablePath, "no Chromium was found: install the package `chromium`, or say where it is in `CHROMIUM`");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/**
 * A page that is logged in, and notes whatever the browser complains of.
 * `allowed` has what may be complained of: answers of the API that are errors, which the browser always tells.
 */
export async function openPage(browser, larder, { scheme = "light", size = DESKTOP, logIn = true, allowed = [], reducedMotion = "reduce" } = {}) {
  const context = await browser.newContext({ viewport: size, colorScheme: scheme, locale: "en-GB", reducedMotion, hasTouch: size.width < 500, baseURL: larder.base });
  if (logIn && larder.cookie) {
    const [name, value] = larder.cookie.split("=");
    await context.addCookies([{ name, value, url: larder.base }]);
  }
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints = [];
  page.on("console", (message) => {
    const words = `${message.text()} (${message.location().url})`;
    const isMissing = /status of 404/.test(words) && !larder.knows(message.location().url);
    const isOurs = ["error", "warning"].includes(message.type()) && !checked.has(page) && !isMissing;
    if (isOurs && !allowed.some((one) => one.test(words))) complaints.push(words);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(larder.base) && !url.startsWith("data:") && !url.startsWith("blob:")) complaints.push(`a request to ${url}`);
  });
  return { page, context, complaints };
}

/** Pages that axe looks at just now: it writes styles into them, which their policy refuses. */
const checked = new Set();

/** That axe finds nothing, and nothing is wider than the window. */
export async function checkView(page, name) {
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  checked.add(page);
  const { violations } = await new AxeBuilder({ page }).withTags(tags).options({ preload: false }).analyze();
  // Complaints come a moment after what they are about.
  await page.evaluate(() => new Promise((go) => setTimeout(go, 50)));
  checked.delete(page);
  const found = violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
  assert.deepEqual(found, [], name);
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(beyond <= 0, `${name}: wider than the window by ${beyond} pixels`);
}

/** That a view is there: its title is seen and nothing is loading any more. */
export async function settled(page) {
  await page.locator("h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => !document.querySelector(".skeleton, [aria-busy]"));
}
