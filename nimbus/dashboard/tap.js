// Live tuples of a component, while it emits them: a sample, by a condition, so many a second.

import { get } from "./api.js";
import { h, morph } from "./dom.js";
import { clock, count, quoted } from "./format.js";
import { facts, link, pill, problem, section, table, to } from "./parts.js";
import { follow } from "./stream.js";
import { head } from "./topology.js";

/** Tuples on the page: the newest. */
const MOST = 100;
const RATE = 10;
/** What is shown of one field; all of it is in its title. */
const CELL = 120;

export const title = ({ name }) => `Live tuples of ${name}`;
export const here = "Live tuples";
export const crumbs = ({ name }) => [[["t", name], name]];

export async function load({ name }) {
  const { body, standby } = await get(["topologies", name]);
  return { topology: body, standby };
}

const none = () => ({ tuples: [], shown: 0, emitted: 0, looked: 0, left: 0, notes: new Map(), why: null });
const feed = { key: null, stop: null, state: "stopped", number: 0, draw: () => {}, ...none() };

/** What somebody can look at: what emits something. */
const emitting = (topology) => topology.components.filter((it) => it.outputs.some(({ tuple }) => tuple !== "NoOutput"));

/** What the address asks for. */
function askedOf({ query }) {
  const rate = Math.min(1000, Math.max(1, Math.floor(Number(query.rate ?? RATE)) || RATE));
  return { component: query.component, stream: query.stream, where: query.where, rate };
}

function take({ kind, data }) {
  if (kind !== "tuples") return;
  feed.emitted += data.emitted;
  feed.looked += data.looked_at;
  feed.left += data.left_out;
  feed.shown += data.tuples.length;
  if (data.problem) feed.notes.set(data.worker, `worker ${data.worker} at ${data.supervisor}: ${data.problem}`);
  for (const tuple of data.tuples) {
    feed.number += 1;
    feed.tuples.unshift({ number: feed.number, ...tuple });
  }
  // Those of several workers come mixed.
  feed.tuples.sort((one, other) => other.at_ms - one.at_ms);
  feed.tuples.length = Math.min(feed.tuples.length, MOST);
  feed.draw();
}

function stop() {
  feed.stop?.();
  Object.assign(feed, { stop: null, state: "stopped" });
}

function start(route) {
  stop();
  Object.assign(feed, none(), { state: "looks" });
  feed.stop = follow(["topologies", route.name, "tap"], askedOf(route), {
    take,
    ended(error) {
      Object.assign(feed, { stop: null, state: "stopped", why: error });
      feed.draw();
    },
  });
}

/** Looks at what the address names, once. */
function ensure(route) {
  const key = JSON.stringify([route.name, askedOf(route)]);
  if (feed.key === key) return;
  feed.key = key;
  if (route.query.component) start(route);
  else {
    stop();
    Object.assign(feed, none());
  }
}

/** Nobody looks any more. */
export function leave() {
  stop();
  Object.assign(feed, none(), { key: null, draw: () => {} });
}

/** Lets the tuples stand still, or looks anew. */
export function hold(still, route) {
  if (still) stop();
  else if (route.query.component) start(route);
}

function form({ topology, name, query }) {
  const asked = (elements) => Object.fromEntries(["component", "stream", "where", "rate"].map((field) => [field, elements[field].value]));
  const go = (event) => {
    event.preventDefault();
    const there = to(["t", name, "tap"], asked(event.currentTarget.elements));
    // The same question again is a new look.
    if (location.hash === there) start({ name, query });
    location.hash = there;
  };
  const other = (event) => {
    // Streams are those of the component.
    location.hash = to(["t", name, "tap"], { ...asked(event.currentTarget.form.elements), stream: undefined, where: undefined });
  };
  const chosen = topology.components.find((it) => it.name === query.component);
  const option = (value, label, now) => h("option", { value, selected: now }, label);
  return h("form", { class: "form", onsubmit: go },
    h("label", {}, "Component", h("select", { name: "component", onchange: other },
      option("", "choose one", !query.component), emitting(topology).map((it) => option(it.name, it.name, it.name === query.component)))),
    h("label", {}, "Stream", h("select", { name: "stream", disabled: !chosen },
      option("", "all", !query.stream), (chosen?.outputs ?? []).map((it) => option(it.stream, it.stream, it.stream === query.stream)))),
    h("label", { class: "wide" }, "Where", h("input", {
      name: "where", type: "search", value: query.where ?? "", spellcheck: "false", autocomplete: "off", placeholder: "word == \"storm\" and count > 10",
    })),
    h("label", {}, "A second", h("input", { name: "rate", type: "number", min: 1, max: 1000, step: 1, required: true, value: String(askedOf({ query }).rate) })),
    h("button", { type: "submit", class: "primary" }, "Show"),
    h("button", { type: "button", onclick: () => {
      stop();
      feed.draw();
    } }, "Stop"));
}

function cell(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  if (text.length <= CELL) return h("code", {}, text);
  return h("code", { title: text }, `${text.slice(0, CELL)}…`);
}

function columns({ topology, name, query }) {
  const outputs = topology.components.find((it) => it.name === query.component)?.outputs ?? [];
  const asked = query.stream ? outputs.filter((it) => it.stream === query.stream) : outputs;
  const fields = asked.length === 1 ? asked[0].fields : [];
  const few = fields.length > 0 && fields.length <= 12;
  const own = fields.map((field) => ({ head: field, wrap: true, cell: (it) => cell(it.tuple?.[field]) }));
  return [
    { head: "Emitted at", cell: (it) => h("time", { datetime: new Date(it.at_ms).toISOString() }, clock(it.at_ms)) },
    { head: "Worker", cell: (it) => link(["t", name, "workers"], `worker ${it.worker}`) },
    { head: "Task", num: true, cell: (it) => String(it.task) },
    outputs.length > 1 && { head: "Stream", cell: (it) => it.stream },
    ...(few ? own : [{ head: "Tuple", wrap: true, cell: (it) => h("code", {}, JSON.stringify(it.tuple)) }]),
  ].filter(Boolean);
}

const waiting = ({ query }) => {
  if (!query.component) return "Choose a component, and its tuples are shown here as it emits them. Nothing is held up by it.";
  if (feed.state === "looks") return "None yet: nothing was emitted that fits.";
  return "Stopped. Show looks again.";
};

const tuples = (asked) => h("div", { "data-own": "tuples" },
  table({ caption: "Tuples", columns: columns(asked), rows: feed.tuples, key: (it) => it.number, empty: waiting(asked), tall: true }));

const sums = () => h("div", { "data-own": "sums" }, facts([
  ["State", feed.state === "looks" ? pill("looking", "good") : pill("stopped")],
  ["Shown", count(feed.shown), feed.shown > MOST && `the newest ${MOST} below`],
  ["Emitted", count(feed.emitted)], ["Looked at", count(feed.looked)], ["Left out", count(feed.left), "for want of time"],
]));

function draw(asked) {
  const bring = (name, wanted) => {
    const there = document.querySelector(`[data-own=${name}]`);
    // What is inside is ours: the page around it leaves it as it is.
    if (there) morph(there.firstElementChild, wanted.firstElementChild);
  };
  bring("tuples", tuples(asked));
  bring("sums", sums());
}

function commandOf({ name, query }) {
  const { component, stream, where, rate } = askedOf({ query });
  const what = component ? quoted(stream ? `${component}.${stream}` : component) : "COMPONENT";
  return ["squall tap", quoted(name), what, where && `--where ${quoted(where)}`, rate !== RATE && `--rate ${rate}`].filter(Boolean).join(" ");
}

export function view({ topology }, route) {
  const asked = { topology, ...route };
  ensure(route);
  feed.draw = () => draw(asked);
  requestAnimationFrame(feed.draw);
  const notes = [...feed.notes.values()];
  return h("div", { class: "page" }, head(topology, "tap", [commandOf(route)]),
    section("Live tuples", [form(asked), feed.why && problem(feed.why),
      notes.length > 0 && h("p", { class: "card pad note" }, `Nothing more of ${notes.join("; ")}`), sums(), tuples(asked)],
    h("span", { class: "muted" }, "a sample: it never holds up a tuple")));
}
