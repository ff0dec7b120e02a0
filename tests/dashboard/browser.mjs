// A browser that watches itself: what pages write to the console, what they fetch, what axe finds.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const { OUT, CHROMIUM, FILES } = process.env;
const wanted = createRequire(join(resolve(OUT), "package.json"));
const { chromium } = wanted("playwright-core");
const axe = readFileSync(wanted.resolve("axe-core/axe.min.js"), "utf8");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** Opens a browser on this address. */
export async function open(url) {
  const folder = mkdtempSync(join(tmpdir(), "squall-chromium-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: CHROMIUM, headless: true, args: FLAGS, viewport: { width: 1440, height: 900 },
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const problems = [];
  const expected = [];
  page.on("console", (message) => {
    const text = `${message.text()} ${message.location().url}`;
    if (["error", "warning"].includes(message.type()) && !expected.some((it) => it.test(text))) problems.push(`console: ${text}`);
  });
  page.on("pageerror", (error) => problems.push(`error: ${error.stack}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) problems.push(`fetched from elsewhere: ${request.url()}`);
  });
  if (FILES) {
    const kinds = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };
    await page.route(`${url}/ui/**`, (route) => {
      const name = new URL(route.request().url()).pathname.split("/").pop() || "index.html";
      const headers = { "content-type": kinds[name.split(".").pop()], "content-security-policy": "default-src 'self'" };
      return route.fulfill({ headers, body: readFileSync(join(FILES, name)) });
    });
  }
  const close = async () => {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { page, url, problems, expected, close };
}

/** Goes to a page of the dashboard and waits until it shows its document. */
export async function visit({ page, url }, hash) {
  await page.goto(`${url}/ui/#/`);
  await page.goto(`${url}/ui/${hash}`);
  await page.waitForSelector("main h1");
  await page.waitForFunction(() => document.querySelector("#live")?.dataset.state !== undefined && !document.querySelector(".skeleton"));
}

/** What axe finds wrong with the page as it is, by WCAG 2.2 AA and its best practices. */
export async function accessibility(page) {
  await page.evaluate(`${axe};0`);
  const options = { resultTypes: ["violations"], rules: { "color-contrast": { enabled: true } } };
  const { violations } = await page.evaluate((asked) => window.axe.run(document, asked), options);
  return violations.map(({ id, help, nodes }) => `axe ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.target.join(" ")).join("; ")}`);
}

/** Keeps a picture of the page. */
export const picture = (page, name, full = true) => page.screenshot({ path: join(OUT, `${name}.png`), fullPage: full });
