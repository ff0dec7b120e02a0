// A component: how it does, what it reads and emits, and its tasks with the uneven ones in sight.

import { get } from "./api.js";
import { h } from "./dom.js";
import { count, lasting, latency, percent, rate, short } from "./format.js";
import { command, facts, findings, link, meter, pager, pill, problem, section, skewBar, stateOf, table, timeBar, timeLegend, timeWords, to } from "./parts.js";
import { history, plots } from "./plots.js";

const LIMIT = 100;

export const title = ({ component, name }) => `${component} of ${name}`;
export const crumbs = ({ name }) => [[["t", name], name]];

const offsetOf = (query) => Math.max(0, Math.floor(Number(query.offset ?? 0)) || 0);

export async function load({ name, component, query }) {
  const page = { sort: query.sort, offset: offsetOf(query), limit: LIMIT };
  const series = history(name, component, query).catch((error) => error);
  const [detail, topology] = await Promise.all([
    get(["topologies", name, "components", component], page), get(["topologies", name])]);
  return { detail: detail.body, topology: topology.body, history: await series, standby: detail.standby };
}

function workerOf(it, name) {
  const again = it.restarts > 0 && h("span", { class: "muted brief", title: it.last_exit }, `restarted ${it.restarts}×: ${it.last_exit || "unknown why"}`);
  return [link(["t", name, "workers"], `worker ${it.worker}`), again];
}

function columns(detail, { name, component, query }) {
  const most = detail.tasks.reduce((max, it) => Math.max(max, it.skew ?? 0), 0);
  const sorted = query.sort ?? "task";
  const sort = (by) => ({
    href: to(["t", name, "c", component], { ...query, sort: by, offset: undefined }),
    now: sorted === by ? (by === "task" ? "ascending" : "descending") : undefined,
  });
  const spout = detail.kind === "spout";
  const latencies = (it) => (spout ? it.complete_us : it.execute_us);
  return [
    { head: "Task", sort: sort("task"), cell: (it) => String(it.task) },
    { head: "Worker", cell: (it) => workerOf(it, name) },
    { head: "Where its time goes", sort: sort("busy"), cell: (it) => timeBar(it.time) },
    { head: "Busy", num: true, cell: (it) => (it.time ? percent(it.time.busy / 1000) : "–") },
    { head: "Capacity", num: true, cell: (it) => (it.capacity === null ? "–" : it.capacity.toFixed(2)) },
    { head: "Skew", sort: sort("skew"), cell: (it) => skewBar(it.skew, most) },
    !spout && { head: "In", sort: sort("rate"), num: true, cell: (it) => rate(it.rates_10s?.executed) },
    { head: "Out", num: true, sort: spout ? sort("rate") : undefined, cell: (it) => rate(it.rates_10s?.emitted) },
    spout && { head: "Acked", num: true, cell: (it) => rate(it.rates_10s?.acked) },
    { head: "Failed", sort: sort("failed"), num: true, cell: (it) => count(it.failed) },
    !spout && {
      head: "Queue", sort: sort("queue"),
      cell: (it) => meter(it.queue_capacity ? it.queued / it.queue_capacity : 0, `${count(it.queued)} of ${count(it.queue_capacity)}`),
    },
    { head: "Pending", num: true, cell: (it) => count(it.pending) },
    ...["p50", "p95", "p99"].map((head, at) => ({ head, num: true, cell: (it) => latency(latencies(it)?.[at]) })),
    { head: "Host", cell: (it) => it.host || it.supervisor || "–" },
    { head: "Executor", num: true, cell: (it) => String(it.executor) },
  ].filter(Boolean);
}

function tasks(detail, route) {
  const { name, component, query } = route;
  const href = (offset) => to(["t", name, "c", component], { ...query, offset: offset || undefined });
  const pages = pager({ offset: detail.offset, limit: LIMIT, total: detail.tasks_total, href });
  const words = detail.kind === "spout" ? "from emit to ack" : "in execute";
  return section("Tasks", [
    h("p", { class: "muted" }, `Skew: a task's part of the tuples times the number of tasks; 1 is even (the mark). Percentiles ${words}, since the worker started. Times of the last 10 s are of the task's executor.`),
    table({ caption: "Tasks", columns: columns(detail, route), rows: detail.tasks, key: (it) => it.task, empty: "No task is heard of yet.", tall: true }),
    h("div", { class: "bar" }, timeLegend())], pages);
}

const streams = (detail, name) => h("div", { class: "columns" },
  section("Reads", table({
    caption: "Reads", rows: detail.inputs, key: (it) => `${it.component}.${it.stream}`, empty: "A spout reads from outside.",
    columns: [
      { head: "Component", cell: (it) => link(["t", name, "c", it.component], it.component) },
      { head: "Stream", cell: (it) => it.stream }, { head: "Grouping", cell: (it) => it.grouping },
      { head: "Tuples", num: true, cell: (it) => rate(it.rate) },
    ],
  })),
  section("Emits", table({
    caption: "Emits", rows: detail.outputs, key: (it) => it.stream, empty: "It emits nothing.",
    columns: [{ head: "Stream", cell: (it) => it.stream }, { head: "Tuples", num: true, cell: (it) => rate(it.rate) }],
  })));

function counted(detail) {
  const list = [...Object.entries(detail.failing).map(([name, number]) => [`failed: ${name}`, number]), ...Object.entries(detail.counting)];
  return list.length > 0 && section("Counted, last minute", table({
    caption: "Counted", rows: list, key: ([name]) => name, empty: "",
    columns: [{ head: "What", cell: ([name]) => name }, { head: "A second", num: true, cell: ([, number]) => rate(number) }],
  }));
}

/** What its author measures. */
function own(known) {
  const figures = (of, names) => names.map((name) => `${name} ${short(of[name])}`).join(", ");
  const list = [
    ...Object.entries(known?.gauges ?? {}).map(([name, of]) => [name, "gauge, over its tasks", figures(of, ["min", "max", "sum"])]),
    ...Object.entries(known?.histograms ?? {}).map(([name, of]) => [name, `histogram of ${count(of.count)}`, figures(of, ["p50", "p95", "p99", "max"])]),
  ];
  return list.length > 0 && section("Measured by its author", table({
    caption: "Measured by its author", rows: list, key: ([name]) => name, empty: "",
    columns: [{ head: "What", cell: ([name]) => name }, { head: "Kind", cell: ([, kind]) => kind }, { head: "Figures", cell: ([, , words]) => words }],
  }));
}

const errors = (detail, name) => section("Newest errors", table({
  caption: "Newest errors", rows: detail.errors, empty: "None.",
  columns: [
    { head: "When", cell: (it) => `${lasting(it.ago_ms)} ago` }, { head: "Task", num: true, cell: (it) => String(it.task) },
    { head: "Worker", cell: (it) => link(["t", name, "workers"], `worker ${it.worker}`) },
    { head: "Reason", cell: (it) => it.reason }, { head: "What it said", wrap: true, cell: (it) => h("code", {}, it.text) },
  ],
}));

export function view({ detail, topology, history: series }, route) {
  const { name, component, query } = route;
  const { word, share } = stateOf(detail.busiest);
  const spout = detail.kind === "spout";
  const emits = topology.components.some((it) => it.name === component && it.outputs.some(({ tuple }) => tuple !== "NoOutput"));
  const found = topology.findings.filter((it) => it.component === component);
  return h("div", { class: "page" },
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, component), pill(detail.kind),
      h("span", { class: "muted" }, "busiest executor: ", word, share === null ? "" : ` ${percent(share)}`)),
    command(`squall top ${name}`, `squall tap ${name} ${component}`, `squall logs ${name} --component ${component}`),
    h("nav", { class: "legend", "aria-label": "More of this component" },
      link(["t", name, "logs"], "Logs of its workers", { component }),
      emits && link(["t", name, "tap"], "Its live tuples", { component })),
    findings(found, name, "Nothing is wrong with this component."),
    facts([
      !spout && ["In", rate(detail.rates_10s.executed), `${rate(detail.rates_1m.executed)} over 1 min`],
      ["Out", rate(detail.rates_10s.emitted), `${rate(detail.rates_1m.emitted)} over 1 min`],
      ["Acked", rate(detail.rates_10s.acked)], ["Failed", rate(detail.rates_10s.failed)],
      ["Capacity", detail.capacity === null ? "–" : detail.capacity.toFixed(2)],
      ["Executors", count(detail.executors)], ["Tasks", count(detail.tasks_total)],
      ["Time, mean", timeBar(detail.time), timeWords(detail.time)],
    ]),
    tasks(detail, route), streams(detail, name), errors(detail, name), counted(detail),
    own(topology.components.find((it) => it.name === component)),
    series instanceof Error ? problem(series) : plots(series, { path: ["t", name, "c", component], query, spout }));
}
