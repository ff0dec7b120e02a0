// Checks of the pages that show what comes while it does: logs, and live tuples.

import { accessibility, picture, visit } from "./browser.mjs";

/** What workers might write, as a nimbus would send it. */
const sent = (lines, more = {}) => `event: lines\ndata: ${JSON.stringify({ schema_version: 1, lines, cut: false, away: [], left_out: 0, ...more })}\n\n`;
const line = (number, more = {}) => ({ worker: number % 2, at_ms: 1_795_000_000_000 + number, level: "INFO", target: "a", component: null, task: null, text: `line ${number}`, ...more });

/** The groups of these checks; `HOSTILE` is what looks like markup in what is shown. */
export function live({ browser, cluster, check, sound, flowing, leave, harmless, HOSTILE }) {
  const { page } = browser;
  const rows = page.locator(".log .line");
  const texts = () => rows.allInnerTexts();
  const until = (what) => page.waitForFunction(what, null, { timeout: 15_000 });

  /** Has the page read this instead of what the nimbus sends. */
  async function instead(body) {
    await page.route("**/logs/stream*", (route) => route.fulfill({ contentType: "text/event-stream", body }));
    await visit(browser, "#/t/watched/logs?grep=instead");
    await page.waitForSelector(".log .line");
    await page.unroute("**/logs/stream*");
  }

  async function logs() {
    await sound("#/t/watched/logs", "live");
    await check("live: lines of all workers come by themselves, as text", async () => {
      await page.waitForSelector(".log .line");
      const before = await rows.count();
      await page.waitForFunction((count) => document.querySelectorAll(".log .line").length > count, before);
      await until(() => document.querySelector(".log").innerText.includes("onerror"));
      return (await page.innerText(".log")).includes(HOSTILE) && harmless();
    });
    await check("live: a search, asked for with the keyboard, shows what it finds and names its command", async () => {
      await page.getByLabel("Find").focus();
      await page.keyboard.type("component failed");
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => location.hash.includes("grep="));
      await until(() => document.querySelectorAll(".log .line").length > 0 && [...document.querySelectorAll(".log .line")].every((it) => it.innerText.includes("component failed")));
      await page.selectOption("select[name=level]", "warn");
      await page.selectOption("select[name=component]", "check");
      await until(() => document.querySelector(".command code").innerText.includes("--level warn") && document.querySelectorAll(".log .line").length > 0);
      const said = await page.locator(".command code").first().innerText();
      await picture(page, "live-logs-found");
      return said === "squall logs watched -f --component check --level warn --grep 'component failed'" && (await texts()).every((it) => it.includes("WARN"));
    });
    await check("live: a search that cannot be is refused in words, and corrected", async () => {
      browser.expected.push(/400/);
      await visit(browser, "#/t/watched/logs?grep=(");
      await page.waitForSelector(".problem");
      const said = (await page.innerText(".problem")).includes("unclosed group");
      await visit(browser, "#/t/watched/logs?grep=got");
      await page.waitForSelector(".log .line");
      return said && (await page.locator(".problem").count()) === 0;
    });
    await check("live: lines stand still when asked to, and follow again", async () => {
      await page.getByRole("button", { name: "Stand still" }).click();
      await page.getByRole("button", { name: "Follow" }).waitFor();
      const before = (await texts()).join("\n");
      await page.waitForTimeout(2500);
      const same = before === (await texts()).join("\n");
      await page.getByRole("button", { name: "Follow" }).click();
      await page.waitForFunction((text) => document.querySelector(".log .line:last-child")?.innerText !== text, before.split("\n").at(-1));
      return same;
    });
    await check("live: however much comes, a page keeps a thousand lines, in order, and says what is missing", async () => {
      const many = Array.from({ length: 3000 }, (_, at) => line(at ^ 1));
      await instead(sent(many) + sent([line(9000, { level: "ERROR" })], { left_out: 1234, away: [{ worker: 7, supervisor: "s", why: "it is away" }] }));
      await until(() => document.querySelector(".log").innerText.includes("line 9000"));
      const all = await page.locator(".log .text").allInnerTexts();
      const numbers = all.map((it) => Number(it.match(/line (\d+)/)?.[1])).filter((it) => !Number.isNaN(it));
      await picture(page, "live-logs-many", false);
      const said = await page.innerText("main");
      return numbers.length <= 1000 && numbers.every((it, at) => at === 0 || it > numbers[at - 1]) && said.includes("234 lines left out") && said.includes("it is away");
    });
    await check("live: what is logged is changed for a while, and said", async () => {
      await visit(browser, "#/t/watched/logs?level=debug");
      await page.getByRole("button", { name: "Log level…" }).click();
      await page.getByLabel(/Filter/).fill("info,h2=debug");
      await picture(page, "live-log-level", false);
      const axe = await accessibility(page);
      await page.locator("dialog button[type=submit]").click();
      await until(() => document.querySelector(".log").innerText.includes("DEBUG") && document.querySelector("main").innerText.includes("logs info,h2=debug until"));
      await cluster.squall("log-level", "watched", "reset");
      await until(() => !document.querySelector("main").innerText.includes("logs info,h2=debug"));
      return axe;
    });
    await check("live: it stays where somebody reads, and goes to the newest when asked", async () => {
      await visit(browser, "#/t/watched/logs");
      await until(() => document.querySelectorAll(".log .line").length > 60);
      await page.locator(".log").evaluate((box) => { box.scrollTop = 0; });
      const first = await rows.first().innerText();
      await page.waitForTimeout(1500);
      const stays = (await page.locator(".log").evaluate((box) => box.scrollTop)) < 40 && first === (await rows.first().innerText());
      await page.getByRole("button", { name: "To the newest" }).click();
      const atEnd = await page.locator(".log").evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 30);
      return stays && atEnd;
    });
  }

  async function tuples() {
    await check("live: the tuples of a component are shown as it emits them, as text", async () => {
      await visit(browser, "#/t/watched");
      await page.getByRole("link", { name: "Live tuples" }).click();
      await page.selectOption("select[name=component]", "check");
      await page.waitForSelector("[data-own=tuples] tbody tr");
      const heads = await page.locator("[data-own=tuples] thead th").allInnerTexts();
      return ["number", "key"].every((it) => heads.includes(it)) && (await page.innerText("[data-own=tuples]")).includes("<img src=x") && harmless();
    });
    await sound("#/t/watched/tap?component=check&rate=20", "live");
    await page.waitForSelector("[data-own=tuples] tbody tr");
    await page.waitForTimeout(2000);
    await picture(page, "live-tap", false);
    await check("live: a condition, asked for with the keyboard, holds for what is shown", async () => {
      await page.getByRole("searchbox", { name: "Where" }).focus();
      await page.keyboard.type("number > 100 and not key contains 7");
      await page.keyboard.press("Enter");
      const wanted = "squall tap watched check --where 'number > 100 and not key contains 7' --rate 20";
      await page.waitForFunction((said) => document.querySelector(".command code").innerText === said, wanted);
      await until(() => {
        const keys = [...document.querySelectorAll("[data-own=tuples] tbody td:last-child")].map((it) => it.innerText);
        return keys.length > 3 && keys.every((it) => !it.split("script>").at(-1).includes("7"));
      });
      await picture(page, "live-tap-where");
    });
    await check("live: Stop ends it, and what was shown stays", async () => {
      await page.getByRole("button", { name: "Stop" }).click();
      await until(() => document.querySelector("[data-own=sums]").innerText.includes("stopped"));
      const before = await page.innerText("[data-own=tuples]");
      await page.waitForTimeout(1500);
      return before === (await page.innerText("[data-own=tuples]")) && before.includes("worker");
    });
    await check("live: a field that is not there is refused in words", async () => {
      browser.expected.push(/404/);
      await visit(browser, "#/t/watched/tap?component=check&where=numbr%20%3D%3D%201");
      await page.waitForSelector(".problem");
      return (await page.innerText(".problem")).includes("did you mean `number`");
    });
    await check("live: numbers are shown as they are, also those that a browser cannot hold", async () => {
      const tuple = `{"at_ms":1795000000000,"worker":0,"component":"check","task":1,"stream":"default","tuple":{"number":18446744073709551615,"key":"k"}}`;
      const body = `event: tuples\ndata: {"worker":0,"supervisor":"s","tuples":[${tuple}],"emitted":1,"looked_at":1,"left_out":0,"ended":false,"problem":""}\n\n`;
      await page.route("**/watched/tap*", (route) => route.fulfill({ contentType: "text/event-stream", body }));
      await visit(browser, "#/t/watched/tap?component=check&rate=3");
      await page.waitForSelector("[data-own=tuples] tbody tr");
      await page.unroute("**/watched/tap*");
      return (await page.innerText("[data-own=tuples]")).includes("18446744073709551615");
    });
  }

  return async () => {
    await cluster.submit("watched", ["--workers", "2"], "--plant=hostile", "--pace=20");
    await flowing("watched");
    await logs();
    await tuples();
    await check("live: both pages fit a phone", async () => {
      await page.setViewportSize({ width: 390, height: 844 });
      const fits = [];
      for (const hash of ["#/t/watched/logs", "#/t/watched/tap?component=check"]) {
        await visit(browser, hash);
        await page.waitForSelector(".log .line, [data-own=tuples] tbody tr");
        await picture(page, `live-phone-${fits.length}`, false);
        fits.push(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      }
      await page.setViewportSize({ width: 1440, height: 900 });
      return fits.every(Boolean);
    });
    await leave("watched");
  };
}
