// Figures over time, as plots: one line a figure, told apart by its dashes as well as its colour.

import { get } from "./api.js";
import { h, morph, s } from "./dom.js";
import { latency, lasting, moment, percent, rate } from "./format.js";
import { section, to } from "./parts.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 172, 58, 8, 10, 20];
const POINTS = 300;

/** How far back: the name in the address, in words, its length, the step and how often it is fetched. */
const RANGES = {
  "5m": { words: "5 min", ms: 300e3, step: 1, every: 1 },
  "1h": { words: "1 h", ms: 3600e3, step: 1, every: 10 },
  "24h": { words: "24 h", ms: 86400e3, step: 60, every: 30 },
};

const cache = { key: "", turn: 0, document: null };

/** The history for the range that the address names; long ones are fetched now and then only. */
export async function history(name, component, query) {
  const range = RANGES[query.range] ?? RANGES["5m"];
  const key = JSON.stringify([name, component, range.words]);
  if (cache.key !== key) Object.assign(cache, { key, turn: 0, document: null });
  if (cache.document === null || cache.turn % range.every === 0) {
    const from = Math.floor(Date.now() - range.ms);
    const { body } = await get(["topologies", name, "history"], { component, from, step: range.step });
    if (cache.key === key) cache.document = body;
  }
  cache.turn += 1;
  return cache.document;
}

const known = (list) => list.filter((value) => value !== null);
const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
const most = (list) => list.reduce((max, value) => Math.max(max, value), 0);

/** As many points as the plot can show: the mean of rates, the most of latencies and queues. */
function thin(column, size, by) {
  const points = [];
  for (let at = 0; at < column.length; at += size) {
    const values = known(column.slice(at, at + size));
    points.push(values.length ? by(values) : null);
  }
  return points;
}

/** A round number not below this one. */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value) * power;
}

function line(points, top, kind) {
  const x = (at) => LEFT + ((WIDTH - LEFT - RIGHT) * at) / Math.max(1, points.length - 1);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - Math.min(1, value / top));
  let [path, pen] = ["", false];
  points.forEach((value, at) => {
    if (value !== null) path += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = value !== null;
  });
  return path && s("path", { class: `line-${kind}`, d: path });
}

// Where the pointer is: in all plots at the same moment.
let pointed = null;
let redraw = () => {};

function axes(document, top, show) {
  const length = document.emitted.length * document.step_ms;
  const marks = [0, 0.5, 1].map((part) => {
    const y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - part);
    return [s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }),
      s("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, part ? show(top * part) : "0")];
  });
  const anchors = ["start", "middle", "end"];
  const times = [0, 0.5, 1].map((part, at) => s("text", {
    x: LEFT + (WIDTH - LEFT - RIGHT) * part, y: HEIGHT - 5, "text-anchor": anchors[at],
  }, part === 1 ? "now" : moment(document.from_ms + length * part)));
  return [marks, times];
}

function plot(document, { title, lines, show, top: fixed, by = mean }) {
  const size = Math.max(1, Math.ceil(document.emitted.length / POINTS));
  const drawn = lines.map(([label, column, factor = 1]) => ({
    label,
    points: thin(document[column], size, by).map((value) => (value === null ? null : value * factor)),
  }));
  const length = drawn[0].points.length;
  const top = fixed ?? ceiling(most(drawn.flatMap(({ points }) => known(points))));
  const at = pointed === null ? null : Math.round(pointed * (length - 1));
  const latest = (points) => (at === null ? points.findLast((value) => value !== null) : points[at]) ?? null;
  const cross = LEFT + (WIDTH - LEFT - RIGHT) * (pointed ?? 0);
  const move = (event) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    const x = ((event.clientX - left) / width) * WIDTH;
    pointed = Math.min(1, Math.max(0, (x - LEFT) / (WIDTH - LEFT - RIGHT)));
    redraw();
  };
  const leave = () => {
    pointed = null;
    redraw();
  };
  const words = `${title}: ${drawn.map(({ label, points }) => `${label} ${show(latest(points))}`).join(", ")}`;
  return h("figure", { class: "card plot", "data-key": title },
    h("figcaption", {}, h("h3", {}, title, at !== null && h("span", { class: "muted" }, ` at ${moment(document.from_ms + at * size * document.step_ms)}`)),
      drawn.map(({ label, points }, kind) => h("span", { class: "key" },
        s("svg", { viewBox: "0 0 22 8", width: 22, height: 8, style: { width: "22px" }, "aria-hidden": "true" }, s("path", { class: `line-${kind}`, d: "M0 4H22" })),
        label, h("b", {}, show(latest(points)))))),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words, onpointermove: move, onpointerleave: leave },
      axes(document, top, show), drawn.map(({ points }, kind) => line(points, top, kind)),
      at !== null && s("line", { class: "cross", x1: cross, x2: cross, y1: TOP, y2: HEIGHT - BOTTOM })));
}

function all(document, spout) {
  const flow = spout === false
    ? [["executed", "executed"], ["emitted", "emitted"], ["failed", "failed"]]
    : [[spout ? "emitted" : "emitted by all", "emitted"], ["acked", "acked"], ["failed", "failed"]];
  const what = spout === false ? "Time in execute" : "Time from emit to ack";
  return h("div", { class: "plots" },
    plot(document, { title: "Tuples a second", lines: flow, show: rate }),
    plot(document, {
      title: what, show: latency, by: most,
      lines: [["p50", "latency_p50_us"], ["p95", "latency_p95_us"], ["p99", "latency_p99_us"]],
    }),
    plot(document, {
      title: spout === undefined ? "Time of the busiest component" : "Where its time goes", show: percent, top: 1,
      lines: [["busy", "busy", 1e-3], ["throttled", "throttled", 1e-3], ["back-pressured", "back_pressured", 1e-3]],
    }),
    plot(document, { title: "Fullest queue", lines: [["fill", "queue_fill"]], show: percent, top: 1, by: most }));
}

/** The plots of a history; `spout` is whether it is one, and `undefined` for a whole topology. */
export function plots(document, { path, query, spout }) {
  const chosen = RANGES[query.range] ? query.range : "5m";
  const choice = h("nav", { class: "choice", "aria-label": "How far back" }, Object.entries(RANGES).map(([name, { words }]) =>
    h("a", { href: to(path, { ...query, range: name }), "aria-current": name === chosen && "true" }, words)));
  if (!document || !document.emitted.length) {
    return section("Over time", h("div", { class: "card empty" }, "Nothing is known yet: the first figures come within seconds."), choice);
  }
  const content = all(document, spout);
  redraw = () => {
    const there = window.document.querySelector(".plots");
    if (there) morph(there, all(document, spout));
  };
  const since = `Kept since ${moment(document.since_ms)}, ${lasting(Math.max(0, Date.now() - document.since_ms))} ago, by the nimbus that leads.`;
  return section("Over time", [content, h("p", { class: "muted" }, since)], choice);
}
