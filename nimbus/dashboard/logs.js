// What the workers of a topology write: searched where it lies, followed as it comes.

import { dialog } from "./actions.js";
import { get } from "./api.js";
import { h, morph } from "./dom.js";
import { clock, count, quoted } from "./format.js";
import { link, pill, problem, section, to } from "./parts.js";
import { follow } from "./stream.js";
import { head } from "./topology.js";

/** Lines on the page: older ones go when newer ones come. */
const MOST = 1000;
/** Lines of each worker at first. */
const FIRST = 200;
const AGAIN_MS = 2000;
/** What was there before comes within so long; what comes later is new. */
const OLD_MS = 2000;
const LEVELS = ["error", "warn", "info", "debug", "trace"];

export const title = ({ name }) => `Logs of ${name}`;
export const here = "Logs";
export const crumbs = ({ name }) => [[["t", name], name]];

export async function load({ name }) {
  const { body, standby } = await get(["topologies", name]);
  return { topology: body, standby };
}

// What is followed, and what came of it. The rows are elements that stay: a page that is drawn again keeps them.
const feed = { key: null, stop: null, timer: null, rows: [], last: new Map(), away: new Map(), state: "waits", why: null, cut: false, paused: false, atEnd: true, route: null };

const boxOf = () => document.querySelector("[data-own=log]");

function toEnd() {
  const box = boxOf();
  if (box) box.scrollTop = box.scrollHeight;
}

/** Puts what there is onto the page, if it is not there. */
function settle() {
  const box = boxOf();
  if (!box) return;
  if (box.childElementCount !== feed.rows.length) box.replaceChildren(...feed.rows.map(({ node }) => node));
  if (feed.atEnd) toEnd();
  const said = document.querySelector("[data-own=logbar]");
  if (said) morph(said.firstElementChild, logbar());
}

/** Takes a row in, behind those that came before it. */
function insert(at, node) {
  let place = feed.rows.length;
  while (place > 0 && feed.rows[place - 1].at > at) place -= 1;
  feed.rows.splice(place, 0, { at, node });
  boxOf()?.insertBefore(node, feed.rows[place + 1]?.node ?? null);
}

function row(line, name) {
  const { worker, at_ms: at, level, target, component, task, text } = line;
  const where = component === null ? null : link(["t", name, "c", component], task === null ? component : `${component} ${task}`);
  return h("div", { class: "line", "data-level": level },
    h("span", { class: "at" }, at === null ? "" : h("time", { datetime: new Date(at).toISOString(), title: new Date(at).toISOString() }, clock(at))),
    h("span", { class: "who" }, `worker ${worker}`),
    h("span", { class: "level" }, level ?? ""),
    h("span", { class: "text" }, where && [where, " "], target && h("span", { class: "muted" }, `${target}: `), text));
}

function remark(text) {
  const at = feed.rows.at(-1)?.at ?? 0;
  insert(at, h("div", { class: "line remark" }, h("span", { class: "text" }, text)));
}

function take({ kind, data }, name) {
  if (kind !== "lines") return;
  feed.state = "follows";
  feed.why = null;
  if (data.left_out > 0) remark(`${count(data.left_out)} lines left out: this page did not keep up`);
  feed.cut ||= data.cut;
  for (const it of data.away) feed.away.set(it.worker, it);
  const isNew = performance.now() - feed.began > OLD_MS;
  for (const line of data.lines) {
    // What is printed has no time: it came after the line before it, or now.
    const at = line.at_ms ?? (isNew ? feed.rows.at(-1)?.at : feed.last.get(line.worker)) ?? 0;
    feed.last.set(line.worker, at);
    feed.away.delete(line.worker);
    insert(at, row(line, name));
  }
  for (const { node } of feed.rows.splice(0, Math.max(0, feed.rows.length - MOST))) {
    node.remove();
    feed.cut = true;
  }
  settle();
}

function stop() {
  clearTimeout(feed.timer);
  feed.stop?.();
  feed.stop = null;
}

function start(route) {
  const { name, query: { component, worker, level, grep } } = route;
  stop();
  feed.state = "waits";
  // The newest lines come again.
  const begin = () => {
    Object.assign(feed, { rows: [], last: new Map(), away: new Map(), cut: false });
    boxOf()?.replaceChildren();
  };
  let begun = false;
  feed.began = performance.now();
  feed.stop = follow(["topologies", name, "logs", "stream"], { component, worker, level, grep, lines: FIRST }, {
    take(event) {
      if (!begun) begin();
      begun = true;
      take(event, name);
    },
    ended(error) {
      feed.state = "waits";
      feed.why = error;
      settle();
      // What is asked wrongly is asked again when it was corrected.
      if (error?.status !== 400) feed.timer = setTimeout(() => start(route), AGAIN_MS);
    },
  });
}

/** Follows what the address names. */
function ensure(route) {
  const { component, worker, level, grep } = route.query;
  const key = JSON.stringify([route.name, component, worker, level, grep]);
  if (feed.key === key) return;
  Object.assign(feed, { key, rows: [], last: new Map(), away: new Map(), why: null, cut: false, paused: false, atEnd: true });
  boxOf()?.replaceChildren();
  start(route);
}

/** Nobody looks any more. */
export function leave() {
  stop();
  Object.assign(feed, { key: null, rows: [], paused: false });
}

/** Lets the lines stand still, or go on. */
export function hold(still, route) {
  feed.paused = still;
  if (still) stop();
  else start(route);
  settle();
}

const states = () => {
  if (feed.paused) return pill("stands still", "warn");
  return feed.state === "follows" ? pill("following", "good") : pill("waiting for lines");
};

function form({ topology, name, query }) {
  const go = (event) => {
    event.preventDefault();
    const { elements } = event.currentTarget.form ?? event.currentTarget;
    const asked = Object.fromEntries(["component", "worker", "level", "grep"].map((field) => [field, elements[field].value]));
    location.hash = to(["t", name, "logs"], asked);
  };
  const select = (field, label, all, options) => h("label", {}, label,
    h("select", { name: field, onchange: go }, h("option", { value: "" }, all),
      options.map(([value, text]) => h("option", { value, selected: String(value) === query[field] }, text))));
  return h("form", { class: "form", role: "search", onsubmit: go },
    select("component", "Component", "all", topology.components.map((it) => [it.name, it.name])),
    select("worker", "Worker", "all", topology.workers.map((it) => [it.worker, String(it.worker)])),
    select("level", "Level", "all lines", LEVELS.map((level) => [level, level === "error" ? "error" : `${level} and graver`])),
    h("label", { class: "wide" }, "Find", h("input", { name: "grep", type: "search", value: query.grep ?? "", placeholder: "regular expression, then Enter", spellcheck: "false", autocomplete: "off" })),
    h("button", { type: "submit" }, "Search"));
}

/** How it goes, above the lines. */
function logbar() {
  const jump = () => {
    feed.atEnd = true;
    toEnd();
  };
  const away = [...feed.away.values()].map((it) => `worker ${it.worker} at ${it.supervisor}: ${it.why}`);
  const rest = feed.cut ? "; older ones the command above shows" : "";
  return h("div", {},
    h("div", { class: "logbar" }, states(),
      h("span", { class: "muted" }, feed.rows.length ? `${count(feed.rows.length)} lines${rest}` : "No line fits yet."),
      h("span", { class: "right" },
        h("button", { type: "button", class: "quiet", onclick: jump }, "To the newest"),
        h("button", { type: "button", class: "quiet", onclick: () => hold(!feed.paused, feed.route) }, feed.paused ? "Follow" : "Stand still"))),
    away.length > 0 && h("p", { class: "pad note" }, "Not shown: ", away.join("; ")));
}

function lines() {
  const scrolled = (event) => {
    const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
    feed.atEnd = scrollHeight - scrollTop - clientHeight < 24;
  };
  return h("div", { class: "card" }, h("div", { "data-own": "logbar" }, logbar()),
    h("div", { class: "log", role: "log", "aria-live": "off", "aria-label": "Log lines", tabindex: 0, "data-own": "log", onscroll: scrolled }));
}

function commandOf({ name, query }) {
  const flags = ["component", "worker", "level", "grep"].filter((flag) => query[flag]);
  return ["squall logs", quoted(name), "-f", ...flags.map((flag) => `--${flag} ${quoted(query[flag])}`)].join(" ");
}

/** Asks for more lines, or fewer, for a while. */
function changeLevel({ name, log_level: log }) {
  const filter = h("input", { value: log?.filter ?? "info", required: true, spellcheck: "false", autocomplete: "off" });
  const minutes = h("input", { type: "number", min: 1, max: 10080, step: 1, value: "10", required: true });
  const fields = [h("label", {}, "Filter, as in RUST_LOG", filter), h("label", {}, "For so many minutes", minutes)];
  dialog({
    title: `What ${name} logs`, verb: "Change", fields, path: ["topologies", name, "log-level"],
    body: () => ({ filter: filter.value.trim() === "reset" ? "" : filter.value, for_ms: Number(minutes.value) * 60_000 }),
    text: "All its workers log by this filter, also those that start meanwhile: info,my_topology=debug logs more of one module, reset what was logged at first.",
    shell: `squall log-level ${name} FILTER --for 10m`, done: `${name}: asked to log by another filter.`,
  });
}

export function view({ topology }, route) {
  const asked = { topology, ...route };
  feed.route = route;
  ensure(route);
  requestAnimationFrame(settle);
  const { log_level: log } = topology;
  return h("div", { class: "page" }, head(topology, "logs", [commandOf(route)]),
    section("Log lines", [form(asked), feed.why && problem(feed.why), lines()],
      h("span", { class: "form" },
        log && h("span", { class: "muted" }, "logs ", h("code", {}, log.filter), log.until_ms === null ? " until it is changed" : ` until ${clock(log.until_ms).slice(0, 8)}`),
        h("button", { type: "button", class: "quiet", onclick: () => changeLevel(topology) }, "Log level…"))));
}
