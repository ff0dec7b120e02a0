// Which page is shown, kept up to date once a second, and what is told of it to who cannot see it.

import { h, morph } from "./dom.js";
import * as cluster from "./cluster.js";
import * as component from "./component.js";
import * as logs from "./logs.js";
import { keyOf, problem, to } from "./parts.js";
import * as records from "./records.js";
import * as tap from "./tap.js";
import * as topology from "./topology.js";
import * as traces from "./traces.js";
import * as workers from "./workers.js";

const EVERY_MS = 1000;
/** Pages of a topology, by what follows its name. */
const PAGES = { workers, traces, errors: records.errors, letters: records.letters, logs, tap, events: records.events, config: records.config };

const main = document.getElementById("main");
const announcer = document.getElementById("announce");
const live = document.getElementById("live");
const pause = document.getElementById("pause");

const missing = {
  title: () => "No such page",
  crumbs: () => [],
  load: async () => ({}),
  view: () => h("div", { class: "page" }, h("h1", { tabindex: -1 }, "No such page"),
    h("p", {}, "The address names none. ", h("a", { href: "#/" }, "The cluster"), " leads to all there are.")),
};

/** Reads the address. */
function routeOf(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  const query = Object.fromEntries(new URLSearchParams(search));
  let parts;
  try {
    parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return { page: missing, query };
  }
  const [kind, name, tab, of] = parts;
  if (!parts.length) return { page: cluster, query };
  if (kind === "t" && parts.length === 2) return { page: topology, name, query };
  if (kind === "t" && parts.length === 3 && Object.hasOwn(PAGES, tab)) return { page: PAGES[tab], name, query };
  if (kind === "t" && parts.length === 4 && tab === "c") return { page: component, name, component: of, query };
  return { page: missing, query };
}

const state = { route: null, turn: 0, timer: null, paused: false, data: null, known: null };

function say(text) {
  announcer.textContent = text;
}

/** Tells of a status that changed, and of findings that came. */
function tell(data) {
  const shown = data.topology ?? data.cluster;
  if (!shown) return;
  const now = { status: shown.status, found: new Map((shown.findings ?? []).map((it) => [keyOf(it), it.text])) };
  const before = state.known;
  state.known = now;
  if (!before) return;
  const came = [...now.found].filter(([key]) => !before.found.has(key)).map(([, text]) => `New: ${text}`);
  const went = [...before.found].filter(([key]) => !now.found.has(key)).map(([, text]) => `No more: ${text}`);
  const status = now.status !== before.status ? [`Status: ${now.status}`] : [];
  const words = [...status, ...came, ...went].slice(0, 3);
  if (words.length) say(words.join(". "));
}

function show(content) {
  const page = h("div", { "data-key": state.route.key }, content);
  if (main.firstElementChild && main.children.length === 1) morph(main.firstElementChild, page);
  else main.replaceChildren(page);
}

function standing(standby) {
  if (!standby) return null;
  return h("p", { class: "card pad note" }, `Nimbus ${standby.id} answers, which does not lead: it does not know what workers report. `,
    standby.leader && h("a", { href: `${standby.leader}/ui/${location.hash}` }, "Open the leader"));
}

function draw(error) {
  const { route, data } = state;
  const content = data === null ? null : route.page.view(data, route);
  // What a page begins to follow stands still too while all is to.
  if (content !== null && state.paused) route.page.hold?.(true, route);
  const waiting = [h("p", { class: "muted" }, "Loading…"), h("div", { class: "skeleton" }), h("div", { class: "skeleton" })];
  const heading = content === null && h("h1", { tabindex: -1 }, route.page.title(route));
  show(h("div", { class: "page" }, heading, error && problem(error), data && standing(data.standby), content ?? (error ? null : waiting)));
}

function mark(kind, words) {
  live.dataset.state = kind;
  if (live.textContent !== words) live.textContent = words;
}

async function turn() {
  clearTimeout(state.timer);
  const mine = ++state.turn;
  const began = performance.now();
  try {
    const data = await state.route.page.load(state.route);
    if (mine !== state.turn) return;
    const first = state.data === null;
    state.data = data;
    draw();
    tell(data);
    if (first) arrived();
    mark("live", "Live");
  } catch (error) {
    if (mine !== state.turn) return;
    mark("lost", error.status === 0 ? "No answer" : "Refused");
    // What was shown last stays, with what went wrong above it; what is gone goes.
    if (error.status === 404) state.data = null;
    draw(error);
  }
  if (state.paused) return mark("paused", "Paused");
  // A machine that takes long is asked less often.
  const took = performance.now() - began;
  state.timer = setTimeout(() => (document.hidden ? null : turn()), Math.max(EVERY_MS, took * 2));
}

function arrived() {
  say(`${document.title}`);
}

function trail(route) {
  const links = [[[], "Cluster"], ...route.page.crumbs(route)];
  const here = route.page.title(route);
  const list = route.page === cluster ? [] : links;
  const one = ([parts, text]) => h("li", {}, h("a", { href: to(parts) }, text));
  const crumbs = h("ol", {}, list.map(one), list.length > 0 && h("li", { "aria-current": "page" }, route.component ?? route.page.here ?? here));
  document.getElementById("crumbs").replaceChildren(crumbs);
}

function navigate() {
  const route = routeOf(location.hash);
  route.key = JSON.stringify([location.hash.split("?")[0]]);
  const other = route.key !== state.route?.key;
  if (other) state.route?.page.leave?.();
  state.route = route;
  document.title = `${route.page.title(route)} · Squall`;
  if (other) {
    state.data = null;
    state.known = null;
    trail(route);
    draw();
    scrollTo(0, 0);
    if (state.turn > 0) main.focus({ preventScroll: true });
  }
  turn();
}

const theme = document.getElementById("theme");
theme.value = document.documentElement.dataset.theme ?? "auto";
theme.addEventListener("change", () => {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem("squall-theme", theme.value);
  } catch {
    // It is not remembered then.
  }
});
pause.addEventListener("click", () => {
  state.paused = !state.paused;
  pause.setAttribute("aria-pressed", String(state.paused));
  state.route.page.hold?.(state.paused, state.route);
  turn();
});
document.getElementById("skip").addEventListener("click", () => main.focus());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !state.paused) turn();
});
addEventListener("hashchange", navigate);
navigate();
