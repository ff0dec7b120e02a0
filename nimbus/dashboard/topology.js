// A topology: what is wrong first, its graph, its components, and what it did over time.

import { actions } from "./actions.js";
import { get } from "./api.js";
import { h } from "./dom.js";
import { count, lasting, latency, percent, rate } from "./format.js";
import { graph } from "./graph.js";
import { command, facts, findings, link, meter, pill, problem, section, table, timeBar, timeWords, to } from "./parts.js";
import { history, plots } from "./plots.js";

export const title = ({ name }) => name;
export const crumbs = () => [];

const TABS = [
  ["", "Overview"], ["workers", "Workers"], ["traces", "Tuple trees"], ["errors", "Errors"], ["letters", "Dead letters"],
  ["logs", "Logs"], ["tap", "Live tuples"], ["events", "Events"], ["config", "Configuration"],
];

/** What stands above every page of a topology. */
export function head(topology, tab, shell) {
  const counts = { workers: topology.workers.length, errors: topology.errors.length, letters: topology.dead_letters.kept };
  const one = ([name, label]) => {
    const number = counts[name];
    return h("a", { href: to(name ? ["t", topology.name, name] : ["t", topology.name]), "aria-current": name === tab && "page" },
      label, number > 0 && h("span", { class: "count" }, count(number)));
  };
  return [
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, topology.name), pill(topology.status),
      topology.reason && h("span", { class: "muted" }, topology.reason), actions(topology)),
    command(...shell),
    h("nav", { class: "tabs", "aria-label": "Pages of the topology" }, TABS.map(one)),
  ];
}

export async function load({ name, query }) {
  const wanted = get(["topologies", name]);
  const series = history(name, undefined, query).catch((error) => error);
  const { body, standby } = await wanted;
  return { topology: body, history: await series, standby };
}

const spout = (it) => it.kind === "spout";
const tuple = (it) => (spout(it) ? ["complete_p50_us", "complete_p95_us", "complete_p99_us"] : ["execute_p50_us", "execute_p95_us", "execute_p99_us"]);

const columns = (name) => [
  { head: "Component", cell: (it) => link(["t", name, "c", it.name], it.name) },
  { head: "Kind", cell: (it) => it.kind },
  { head: "Executors", num: true, cell: (it) => count(it.executors) },
  { head: "Tasks", num: true, cell: (it) => count(it.tasks) },
  { head: "Busiest executor", cell: (it) => timeBar(it.busiest) },
  { head: "Busy", num: true, cell: (it) => (it.busiest ? percent(it.busiest.busy / 1000) : "–") },
  { head: "Capacity", num: true, cell: (it) => (it.capacity === null ? "–" : it.capacity.toFixed(2)) },
  { head: "In", num: true, cell: (it) => (spout(it) ? "–" : rate(it.rates_10s.executed)) },
  { head: "Out", num: true, cell: (it) => rate(it.rates_10s.emitted) },
  { head: "Failed", num: true, cell: (it) => count(it.failed_total) },
  { head: "Queue", cell: (it) => (spout(it) ? "–" : meter(it.queue_fill)) },
  ...["p50", "p95", "p99"].map((head, at) => ({ head, num: true, cell: (it) => latency(it[tuple(it)[at]]) })),
];

function totals(topology) {
  const spouts = topology.components.filter(spout);
  const sum = (of) => topology.components.reduce((all, it) => all + of(it), 0);
  const acked = spouts.reduce((all, it) => all + it.rates_10s.acked, 0);
  const slowest = Math.max(-1, ...spouts.map((it) => it.complete_p99_us ?? -1));
  return facts([
    ["Emitted", rate(spouts.reduce((all, it) => all + it.rates_10s.emitted, 0)), "by spouts"],
    ["Acked", rate(acked)], ["Executed", rate(sum((it) => it.rates_10s.executed))],
    ["p99 to ack", latency(slowest < 0 ? null : slowest)],
    ["Pending", count(topology.totals.pending)], ["Failed", count(topology.totals.failed), "in all"],
    ["Workers", count(topology.workers.length), `of ${count(topology.workers_wanted)}`],
    ["Tasks", count(sum((it) => it.tasks))], ["Up", lasting(topology.uptime_ms)],
  ]);
}

const results = (topology) => topology.results.length > 0 && section("Results", table({
  caption: "Results", rows: topology.results.slice(0, 50), key: (it) => it.task, empty: "",
  columns: [
    { head: "Task", cell: (it) => String(it.task) }, { head: "Component", cell: (it) => it.component },
    { head: "What it left", wrap: true, cell: (it) => JSON.stringify(it.value).slice(0, 400) },
  ],
}));

export function view({ topology, history: series }, { name, query }) {
  const busiest = topology.components.filter((it) => it.busiest).map((it) => `${it.name}: ${timeWords(it.busiest)}`);
  return h("div", { class: "page" }, head(topology, "", [`squall describe ${name}`, `squall explain ${name}`, `squall top ${name}`]),
    findings(topology.findings, name, "Nothing is wrong with this topology."), totals(topology),
    section("Graph", [graph(topology), h("p", { class: "unseen" }, busiest.join("; "))]),
    section("Components", table({
      caption: "Components", columns: columns(name), rows: topology.components, key: (it) => it.name, empty: "It has none.",
    }), h("span", { class: "muted" }, "Latencies: bolts in execute, spouts from emit to ack. Rates: last 10 s.")),
    series instanceof Error ? problem(series) : plots(series, { path: ["t", name], query }), results(topology));
}
