// The graph of a topology, drawn in layers: each component right of all that it reads.
//
// Layers by the longest way from a source, order within a layer by the mean of the neighbours
// (Sugiyama, Tagawa and Toda, 1981); long ways bend through places that are kept free for them.

import { h, s } from "./dom.js";
import { latency, percent, rate } from "./format.js";
import { stateOf, timeLegend, to } from "./parts.js";

const WIDTH = 212;
const HEIGHT = 84;
const BETWEEN = 110;
const BELOW = 26;
const SWEEPS = 6;

/** One way from a component to another: all its streams together. */
function ways(edges) {
  const found = new Map();
  for (const { from, to: reader, stream, grouping, rate: pace } of edges) {
    const key = JSON.stringify([from, reader]);
    const way = found.get(key) ?? { from, to: reader, streams: [], rate: null };
    way.streams.push(`${stream} (${grouping})`);
    if (pace !== null) way.rate = (way.rate ?? 0) + pace;
    found.set(key, way);
  }
  return [...found.values()];
}

/** Layers of names; ways that lead back to where they came from do not count. */
function layersOf(names, all) {
  const out = new Map(names.map((name) => [name, []]));
  for (const way of all) out.get(way.from)?.push(way);
  const [state, order, back] = [new Map(), [], new Set()];
  const visit = (name) => {
    state.set(name, "open");
    for (const way of out.get(name)) {
      if (!out.has(way.to)) continue;
      if (state.get(way.to) === "open") back.add(way);
      else if (!state.has(way.to)) visit(way.to);
    }
    state.set(name, "done");
    order.unshift(name);
  };
  for (const name of names) if (!state.has(name)) visit(name);
  const depth = new Map(names.map((name) => [name, 0]));
  for (const name of order) {
    for (const way of out.get(name)) {
      if (!back.has(way) && depth.has(way.to)) {
        depth.set(way.to, Math.max(depth.get(way.to), depth.get(name) + 1));
      }
    }
  }
  return depth;
}

/** Rows of each layer, with free places for ways that pass through. */
function rowsOf(names, all, depth) {
  const rows = [];
  const put = (at, node) => {
    rows[at] ??= [];
    rows[at].push(node);
    return node;
  };
  const nodes = new Map(names.map((name) => [name, put(depth.get(name), { name, near: [] })]));
  for (const way of all) {
    let [before, end] = [nodes.get(way.from), nodes.get(way.to)];
    way.bends = [];
    for (let at = depth.get(way.from) + 1; at < depth.get(way.to); at += 1) {
      const bend = put(at, { name: null, near: [before] });
      before.near.push(bend);
      way.bends.push(bend);
      before = bend;
    }
    before.near.push(end);
    end.near.push(before);
  }
  return { rows: [...rows].map((row) => row ?? []), nodes };
}

function order(rows) {
  const number = () => rows.forEach((row, x) => row.forEach((node, y) => Object.assign(node, { x, y })));
  number();
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const step = sweep % 2 === 0 ? -1 : 1;
    for (const row of step === -1 ? rows : [...rows].reverse()) {
      for (const node of row) {
        const near = node.near.filter((other) => other.x === node.x + step);
        node.mean = near.length ? near.reduce((sum, other) => sum + other.y, 0) / near.length : node.y;
      }
      row.sort((one, other) => one.mean - other.mean);
      number();
    }
  }
}

function place(rows) {
  const high = (node) => (node.name === null ? 18 : HEIGHT);
  const sum = (row) => row.reduce((all, node) => all + high(node) + BELOW, -BELOW);
  const height = Math.max(HEIGHT, ...rows.map(sum));
  rows.forEach((row, x) => {
    let top = (height - sum(row)) / 2;
    for (const node of row) {
      Object.assign(node, { left: x * (WIDTH + BETWEEN), middle: top + high(node) / 2 });
      top += high(node) + BELOW;
    }
  });
  return { width: rows.length * (WIDTH + BETWEEN) - BETWEEN, height };
}

// A layout stays while the components and their ways do.
let last = { key: "", layout: null };

function layout(names, all) {
  const key = JSON.stringify([names, all.map((way) => [way.from, way.to])]);
  if (last.key === key) return last.layout;
  const { rows, nodes } = rowsOf(names, all, layersOf(names, all));
  order(rows);
  const size = place(rows);
  const bends = new Map(all.map((way) => [JSON.stringify([way.from, way.to]), way.bends]));
  last = { key, layout: { nodes, size, bends } };
  return last.layout;
}

function edge(way, { nodes, bends, size }, most) {
  const [from, end] = [nodes.get(way.from), nodes.get(way.to)];
  const wide = way.rate ? 1.5 + 7 * Math.sqrt(way.rate / most) : 1.2;
  const head = 5 + wide * 0.8;
  const points = [[from.left + WIDTH, from.middle]];
  for (const bend of bends.get(JSON.stringify([way.from, way.to]))) {
    points.push([bend.left, bend.middle], [bend.left + WIDTH, bend.middle]);
  }
  points.push([end.left - head, end.middle]);
  let path = `M${points[0].join(" ")}`;
  const forward = end.left > from.left;
  if (forward) {
    for (let at = 1; at < points.length; at += 1) {
      const [[x1, y1], [x2, y2]] = [points[at - 1], points[at]];
      const bow = at % 2 === 1 ? (x2 - x1) / 2 : 0;
      path += bow ? `C${x1 + bow} ${y1} ${x2 - bow} ${y2} ${x2} ${y2}` : `L${x2} ${y2}`;
    }
  } else {
    const [[x1, y1], [x2, y2], low] = [points[0], points.at(-1), size.height + 24];
    path += `C${x1 + 70} ${y1} ${x1 + 70} ${low} ${(x1 + x2) / 2} ${low}S${x2 - 70} ${y2} ${x2} ${y2}`;
  }
  const [x, y] = [end.left, end.middle];
  const label = forward ? [points[1][0] / 2 + points[0][0] / 2, (points[1][1] + points[0][1]) / 2] : [(x + from.left + WIDTH) / 2, size.height + 24];
  const words = `${way.from} to ${way.to}: ${rate(way.rate)}, ${way.streams.join(", ")}`;
  return s("g", {}, s("title", {}, words),
    s("path", { class: way.rate ? "edge" : "edge quiet", d: path, "stroke-width": wide.toFixed(2) }),
    s("path", { class: "head-of", d: `M${x - head} ${y - head * 0.62}L${x - 1} ${y}L${x - head} ${y + head * 0.62}z` }),
    s("text", { class: "rate", x: label[0], y: label[1] - wide / 2 - 4 }, rate(way.rate)));
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function box(component, node, topology, found) {
  const { state, word, share } = stateOf(component.busiest);
  const spout = component.kind === "spout";
  const pace = spout ? component.rates_10s.emitted : component.rates_10s.executed;
  const p99 = spout ? component.complete_p99_us : component.execute_p99_us;
  const lines = {
    name: cut(component.name, found ? 20 : 23),
    mark: found && found.severity !== "info" && "⚠",
    kind: `${component.kind} ×${component.executors}`,
    state: share === null ? word : `${word} ${percent(share)}`,
    pace: `${rate(pace)} ${spout ? "out" : "in"}`,
    late: `p99 ${latency(p99)}`,
  };
  const top = node.middle - HEIGHT / 2;
  const at = (x, y) => ({ x: node.left + x, y: top + y });
  const bar = WIDTH - 24;
  let x = 0;
  const time = component.busiest;
  const parts = time ? [["busy", time.busy], ["pressed", time.back_pressured], ["throttled", time.throttled], ["idle", time.idle]] : [];
  const bits = parts.map(([kind, ms]) => {
    const wide = (bar * ms) / 1000;
    x += wide;
    return s("rect", { class: `t-${kind}`, ...at(12 + x - wide, 66), width: wide.toFixed(1), height: 8 });
  });
  return s("a", { href: to(["t", topology, "c", component.name]), "data-key": component.name },
    s("rect", { class: "box", "data-state": state, ...at(0, 0), width: WIDTH, height: HEIGHT, rx: spout ? 18 : 6 }),
    s("text", { class: "name", ...at(12, 22) }, lines.name),
    lines.mark && s("text", { class: "mark", ...at(WIDTH - 24, 22) }, lines.mark),
    s("text", { class: "line", ...at(12, 40) }, lines.kind),
    s("text", { class: "state", ...at(WIDTH - 12, 40) }, lines.state),
    s("text", { class: "line", ...at(12, 57) }, lines.pace),
    s("text", { class: "line", ...at(WIDTH - 12, 57), "text-anchor": "end" }, lines.late),
    bits);
}

/** The graph with its legend. */
export function graph(topology) {
  const names = topology.components.map((component) => component.name);
  const known = new Set(names);
  const all = ways(topology.edges).filter((way) => known.has(way.from) && known.has(way.to));
  const drawn = layout(names, all);
  const most = Math.max(1e-9, ...all.map((way) => way.rate ?? 0));
  const { width, height } = drawn.size;
  const low = all.some((way) => drawn.nodes.get(way.to).left <= drawn.nodes.get(way.from).left) ? 48 : 0;
  const found = (name) => topology.findings.find((it) => it.component === name);
  const picture = s("svg", {
    viewBox: `-8 -16 ${width + 16} ${height + 32 + low}`, width: width + 16, height: height + 32 + low,
    role: "group", "aria-label": `Graph of ${topology.name}: ${names.length} components`,
  }, all.map((way) => edge(way, drawn, most)),
  topology.components.map((it) => box(it, drawn.nodes.get(it.name), topology.name, found(it.name))));
  return [h("div", { class: "card graph", tabindex: 0, role: "group", "aria-label": "Graph, scrolls" }, picture), timeLegend()];
}
