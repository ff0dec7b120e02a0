// The checks of the dashboard, group by group. Each says what must be true; all that is not is listed.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { accessibility, open, picture, visit } from "./browser.mjs";
import { start, until } from "./cluster.mjs";
import { live } from "./live.mjs";

const results = [];
const cluster = await start();
const browser = await open(cluster.url);
const { page, problems } = browser;

async function check(claim, look) {
  let why = null;
  try {
    const said = await look();
    if (said === false || (Array.isArray(said) && said.length)) why = Array.isArray(said) ? said.join("\n    ") : "it is not so";
  } catch (error) {
    why = error.message;
  }
  problems.splice(0).forEach((problem) => { why = `${why ? `${why}\n    ` : ""}${problem}`; });
  results.push({ claim, passed: why === null, why });
  console.log(`${why === null ? "ok  " : "FAIL"} ${claim}${why === null ? "" : `\n    ${why}`}`);
}

const tabs = (name) => ["", "/workers", "/traces", "/errors", "/letters", "/logs", "/tap", "/events", "/config"].map((tab) => `#/t/${name}${tab}`);
const fileOf = (hash) => hash.replace(/^#\/?/, "").replaceAll("/", "-") || "cluster";
const text = () => page.innerText("main");
const theme = (name) => page.selectOption("#theme", name);

/** A page without errors, accessible in both themes, no wider than the window, with the command that says the same. */
async function sound(hash, label, axe = true) {
  await check(`${label}: ${hash} is shown without errors`, async () => {
    await visit(browser, hash);
    return (await page.locator("main .problem").allInnerTexts());
  });
  await picture(page, `${label}-${fileOf(hash)}-light`);
  if (!axe) return;
  for (const colours of ["light", "dark"]) {
    await theme(colours);
    await check(`${label}: ${hash} passes axe in ${colours}`, () => accessibility(page));
  }
  await picture(page, `${label}-${fileOf(hash)}-dark`);
  await theme("light");
  await check(`${label}: ${hash} names the command and fits the window`, async () =>
    (await page.locator(".command code").first().innerText()).startsWith("squall ") &&
    page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
}

const flowing = (name, component = "store") => until(`tuples of ${name} flow`, async () => {
  const shown = await cluster.status(name);
  return shown?.components.some((it) => it.name === component && it.rates_10s.executed > 0 && it.busiest);
});

/** Goes elsewhere, so that nobody asks for it any more, and kills a topology. */
async function leave(name) {
  await visit(browser, "#/");
  await cluster.kill(name);
}

async function empty() {
  await sound("#/", "empty");
  await check("empty: the cluster page says how to begin", async () => (await text()).includes("squall submit"));
  await check("empty: a topology that is not there is named, with what to do", async () => {
    browser.expected.push(/404/);
    await visit(browser, "#/t/nothing");
    await page.waitForSelector(".problem");
    const shown = (await text()).includes("no topology");
    await picture(page, "empty-missing");
    await page.waitForTimeout(50);
    return shown && (await accessibility(page));
  });
  await check("empty: an address that names no page says so", async () => {
    await visit(browser, "#/x/y/z");
    return (await text()).includes("No such page");
  });
}

async function one() {
  browser.expected.push(/404.*(logs|dead-letters)/);
  await cluster.submit("one", [], "--tasks=1", "--pace=20");
  await flowing("one");
  await sound("#/", "one");
  for (const hash of [...tabs("one"), "#/t/one/c/count"]) await sound(hash, "one");
  await check("one: settings are shown with their origin", async () => {
    await visit(browser, "#/t/one/config");
    return (await text()).includes("max_pending") && (await text()).includes("default");
  });
  await check("one: a phone shows it without scrolling sideways", async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await visit(browser, "#/t/one");
    await picture(page, "one-phone");
    const fits = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    await page.setViewportSize({ width: 1440, height: 900 });
    return fits;
  });
  await check("one: an outage is told and what was shown stays", async () => {
    await visit(browser, "#/t/one");
    await page.route("**/api/v1/**", (route) => route.abort());
    browser.expected.push(/ERR_FAILED/);
    await page.waitForSelector(".problem");
    const shown = (await text()).includes("it cannot be reached") && (await page.locator(".graph").count()) === 1;
    await page.unroute("**/api/v1/**");
    await page.waitForSelector("#live[data-state=live]");
    return shown;
  });
  await leave("one");
}

async function many() {
  await cluster.submit("many", ["--workers", "2"], "--tasks=1000", "--pace=40");
  await flowing("many");
  await sound("#/t/many", "many");
  await sound("#/t/many/c/count", "many");
  await sound("#/t/many/workers", "many", false);
  await check("many: a page shows 100 of 1000 tasks, and the next one others", async () => {
    await visit(browser, "#/t/many/c/count");
    const rows = page.locator("table", { has: page.locator("caption", { hasText: /^Tasks$/ }) }).locator("tbody tr");
    const [before, first] = [await rows.count(), await rows.first().innerText()];
    await page.getByRole("link", { name: "Next →" }).click();
    await page.waitForFunction(() => document.querySelector("main").innerText.includes("101–200 of 1"));
    return before === 100 && first !== (await rows.first().innerText());
  });
  await check("many: tasks are sorted by what is asked for", async () => {
    await visit(browser, "#/t/many/c/count?sort=skew");
    return (await page.locator("th[aria-sort=descending]").innerText()).startsWith("Skew");
  });
  await check("many: a page holds few elements, however many tasks there are", async () => {
    await visit(browser, "#/t/many/c/count");
    const long = await page.evaluate(() => new Promise((done) => {
      const seen = [];
      new PerformanceObserver((list) => seen.push(...list.getEntries().map((it) => it.duration))).observe({ type: "longtask" });
      setTimeout(() => done(seen), 5000);
    }));
    console.log(`     long tasks in 5 s: ${long.map((ms) => Math.round(ms)).join(", ") || "none"} ms`);
    return page.evaluate(() => document.querySelectorAll("*").length < 8000);
  });
  await leave("many");
}

const HOSTILE = "<img src=x onerror=\"document.title='pwned'\">";

/** Nothing that was shown as text became an element. */
const harmless = async () => {
  const made = await page.evaluate(() => document.querySelectorAll("img[src='x'], main script").length);
  return made === 0 && !(await page.title()).includes("pwned");
};

async function hostile() {
  await cluster.submit("hostile", [], "--plant=hostile");
  // A nimbus without these documents is asked for them once.
  browser.expected.push(/404.*(logs|dead-letters)/);
  await until("its errors are there", async () => (await cluster.status("hostile"))?.errors.length > 0);
  for (const [hash, words] of [["#/t/hostile/errors", "no amount in"], ["#/t/hostile/c/check", "no amount in"]]) {
    await check(`hostile: ${hash} shows what looks like markup as text`, async () => {
      await visit(browser, hash);
      await page.waitForFunction((said) => document.querySelector("main").innerText.includes(said), words);
      return (await text()).includes(HOSTILE) && harmless();
    });
  }
  await check("hostile: log lines that look like markup are text", async () => {
    await visit(browser, "#/t/hostile/logs?grep=onerror");
    await page.waitForSelector(".log .line");
    const shown = (await page.innerText(".log")).includes(HOSTILE) && (await harmless());
    await picture(page, "hostile-logs");
    return shown;
  });
  await check("hostile: what components say of trees that fail is text", async () => {
    await visit(browser, "#/t/hostile/traces?failed=1");
    await page.locator(".tree .failed code").first().waitFor();
    const shown = (await text()).includes(HOSTILE) && (await harmless());
    await picture(page, "hostile-traces");
    return shown;
  });
  await sound("#/t/hostile/errors", "hostile", false);
  await sound("#/t/hostile/logs", "hostile", false);
  await until("a letter is kept", async () => (await cluster.status("hostile")).dead_letters.kept > 0);
  await check("hostile: tuples of dead letters are text", async () => {
    await visit(browser, "#/t/hostile/letters");
    return harmless();
  });
  await page.reload();
  await sound("#/t/hostile/letters", "hostile");
  await check("hostile: names that look like markup are text, wherever they stand", async () => {
    // No such name is let in; a nimbus that lies might say it all the same.
    const evil = (value) => JSON.parse(JSON.stringify(value).replaceAll("\"check\"", JSON.stringify(HOSTILE)).replaceAll("\"planted\"", JSON.stringify(HOSTILE)));
    await page.route("**/api/v1/topologies/hostile", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: evil(await response.json()) });
    });
    await visit(browser, "#/t/hostile");
    const shown = (await text()).includes(HOSTILE) && (await harmless());
    await picture(page, "hostile-names");
    await page.unroute("**/api/v1/topologies/hostile");
    return shown;
  });
  await leave("hostile");
}

/** Trouble that is planted, the code it is found by, and the clicks that lead from the cluster to its cause. */
const CAUSES = [
  { plant: "bottleneck", code: "bottleneck", seen: /count/, clicks: ["topology", "component"], cause: /busy/ },
  { plant: "crash-loop", code: "crash-loop", seen: /worker/, clicks: ["topology", "Workers"], cause: /exit code 3/, words: /licence file/ },
  { plant: "poison", code: "poison-tuple", seen: /check/, clicks: ["topology", "Errors"], cause: /amount=twelve/ },
  { plant: "hot-key", code: "hot-task", seen: /count/, clicks: ["topology", "component", "Skew"], cause: /×/ },
];

/** The tuple trees of a topology whose `count` is slow. */
async function slowest(name) {
  await check("causes: the slowest trees show the slow hop as the longest", async () => {
    await visit(browser, `#/t/${name}`);
    await page.getByRole("link", { name: "Tuple trees" }).click();
    const tree = page.locator(".tree").first();
    await tree.waitFor();
    const longest = await tree.locator("tbody tr", { hasText: "longest" }).innerText();
    await picture(page, "cause-bottleneck-trees-light");
    return longest.includes("count") && (await tree.locator(".fall[aria-label*=executes]").count()) > 0;
  });
  for (const colours of ["light", "dark"]) {
    await theme(colours);
    await check(`causes: opened trees pass axe in ${colours}`, () => accessibility(page));
  }
  await picture(page, "cause-bottleneck-trees-dark");
  await theme("light");
  await check("causes: a tree opens and closes by the keyboard, and stays as it is while figures change", async () => {
    const tree = page.locator(".tree").nth(1);
    const open = () => tree.evaluate((it) => it.open);
    await tree.locator("summary").focus();
    await page.keyboard.press("Enter");
    await page.waitForTimeout(2500);
    const stays = await open();
    await page.keyboard.press("Enter");
    return stays && !(await open());
  });
  await check("causes: only failed trees are shown if they are asked for, and it can be looked again", async () => {
    await page.getByRole("link", { name: "Failed only" }).click();
    await page.getByText("Trees that failed").waitFor();
    const before = page.url();
    await page.getByRole("button", { name: "Look again" }).click();
    await page.waitForFunction((url) => location.href !== url, before);
    await page.getByRole("button", { name: "Look again" }).waitFor();
    return (await text()).includes("--failed");
  });
}

async function causes() {
  for (const { plant, code, seen, clicks, cause, words } of CAUSES) {
    const name = `planted-${plant}`;
    await cluster.submit(name, [], `--plant=${plant}`);
    await check(`causes: a planted ${plant} is found within three clicks`, async () => {
      await until(`${code} is found`, async () => (await cluster.status(name)).findings.some((it) => it.code === code), 120);
      await visit(browser, "#/");
      const entry = page.locator(".findings > li", { hasText: name }).first();
      await entry.waitFor({ timeout: 15_000 });
      await picture(page, `cause-${plant}-0`, false);
      let at = 0;
      for (const click of clicks) {
        at += 1;
        if (click === "topology") await page.locator(".findings > li", { hasText: name }).first().getByRole("link", { name, exact: true }).click();
        else if (click === "component") await page.locator(".findings > li").getByRole("link", { name: "count", exact: true }).first().click();
        else await page.getByRole("link", { name: new RegExp(`^${click}`) }).first().click();
        await page.waitForFunction(() => !document.querySelector(".skeleton"));
        await page.waitForTimeout(1200);
        await picture(page, `cause-${plant}-${at}`, false);
      }
      if (words) {
        await page.waitForFunction((said) => new RegExp(said).test(document.querySelector("main").innerText), words.source);
        await picture(page, `cause-${plant}-${at + 1}`, false);
      }
      const shown = await text();
      return [seen, cause].filter((it) => !it.test(shown)).map((it) => `the page does not say ${it}`);
    });
    await check(`causes: the page of ${plant} passes axe`, () => accessibility(page));
    if (plant === "bottleneck") await slowest(name);
    await leave(name);
  }
}

async function actions() {
  await cluster.submit("steered", [], "--tasks=2", "--pace=20");
  await flowing("steered");
  browser.expected.push(/404.*hostile/);
  await visit(browser, "#/t/steered");
  await check("actions: a dialog asks for the name before it kills, and Escape leaves it", async () => {
    await page.getByRole("button", { name: "Kill…" }).click();
    const send = page.locator("dialog button[type=submit]");
    const before = await send.isDisabled();
    await page.fill("#typed", "steere");
    const half = await send.isDisabled();
    await page.fill("#typed", "steered");
    const whole = await send.isEnabled();
    await picture(page, "actions-kill", false);
    const axe = await accessibility(page);
    await page.keyboard.press("Escape");
    return before && half && whole && (await page.locator("dialog").count()) === 0 && axe.length === 0;
  });
  if (!(await cluster.get("/api/v1/openapi.json"))) {
    console.log("skip actions: this nimbus takes no changes over HTTP");
    browser.expected.push(/40[45]/);
    await check("actions: a nimbus that takes no changes is told apart, with the command", async () => {
      await page.getByRole("button", { name: "Deactivate" }).click();
      await page.locator("dialog button[type=submit]").click();
      await page.locator("dialog [role=alert] p").first().waitFor();
      await picture(page, "actions-refused", false);
      const said = await page.innerText("dialog");
      await page.keyboard.press("Escape");
      return said.includes("squall deactivate steered");
    });
    return cluster.kill("steered");
  }
  const send = () => page.locator("dialog button[type=submit]").click();
  const status = (wanted) => until(`it is ${wanted}`, async () => (await cluster.status("steered")).status === wanted);
  for (const [button, wanted] of [["Deactivate", "inactive"], ["Activate", "active"]]) {
    await check(`actions: ${button} does so`, async () => {
      await page.getByRole("button", { name: button, exact: true }).click();
      await send();
      await status(wanted);
      await page.locator(".head .pill", { hasText: wanted }).waitFor();
    });
  }
  await check("actions: Rebalance changes the number of executors", async () => {
    await page.getByRole("button", { name: "Rebalance…" }).click();
    await page.getByLabel(/Executors of count/).fill("1");
    await picture(page, "actions-rebalance", false);
    await send();
    await until("count has one executor", async () => (await cluster.status("steered")).components.find((it) => it.name === "count").executors === 1);
  });
  await check("actions: Kill ends it", async () => {
    await page.getByRole("button", { name: "Kill…" }).click();
    await page.fill("#typed", "steered");
    await send();
    browser.expected.push(/404/);
    await until("it is gone", async () => (await cluster.status("steered")) === null);
  });
}

async function keyboard() {
  await cluster.submit("keys", [], "--tasks=2", "--pace=20");
  await flowing("keys");
  await visit(browser, "#/t/keys");
  await check("keyboard: the first Tab reaches a way past the header, and it works", async () => {
    await page.reload();
    await page.waitForSelector(".graph a");
    await page.keyboard.press("Tab");
    const first = await page.evaluate(() => document.activeElement.id);
    await page.keyboard.press("Enter");
    return first === "skip" && (await page.evaluate(() => document.activeElement.id)) === "main";
  });
  await check("keyboard: Enter on a component of the graph opens it", async () => {
    await page.locator(".graph a", { hasText: "count" }).focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("h1").innerText === "count");
  });
  await check("keyboard: what has the focus keeps it while figures change", async () => {
    await visit(browser, "#/t/keys");
    await page.locator(".graph a", { hasText: "check" }).focus();
    const before = await page.evaluate(() => document.activeElement.getAttribute("data-key"));
    await page.waitForTimeout(3500);
    return before === "check" && (await page.evaluate(() => document.activeElement.getAttribute("data-key"))) === "check";
  });
  await check("keyboard: Pause stops the figures", async () => {
    await page.locator("#pause").focus();
    await page.keyboard.press("Enter");
    await page.waitForSelector("#live[data-state=paused]");
    const before = await text();
    await page.waitForTimeout(2500);
    const same = before === (await text());
    await page.keyboard.press("Enter");
    await page.waitForSelector("#live[data-state=live]");
    return same;
  });
  await leave("keys");
}

const watched = live({ browser, cluster, check, sound, flowing, leave, harmless, HOSTILE });
const groups = { empty, one, many, hostile, live: watched, causes, actions, keyboard };
const asked = process.argv.slice(2);
try {
  for (const [name, group] of Object.entries(groups)) {
    if (asked.length && !asked.includes(name)) continue;
    try {
      await group();
    } catch (error) {
      await check(`${name}: it can be checked`, () => Promise.reject(error));
    }
  }
} finally {
  await browser.close();
  await cluster.stop();
}
const failed = results.filter(({ passed }) => !passed);
writeFileSync(join(process.env.OUT, "results.json"), JSON.stringify(results, null, 2));
console.log(`${results.length - failed.length} of ${results.length} passed; screenshots in ${process.env.OUT}`);
process.exitCode = failed.length || !results.length ? 1 : 0;
