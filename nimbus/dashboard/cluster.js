// The cluster: what is wrong, its topologies, machines and nimbuses, and what happened.

import { get, perhaps } from "./api.js";
import { h } from "./dom.js";
import { count, lasting } from "./format.js";
import { command, facts, findings, link, meter, pill, section, table } from "./parts.js";
import { timeline } from "./records.js";

export const title = () => "Cluster";
export const crumbs = () => [];

export async function load() {
  const wanted = ["cluster", "supervisors", "topologies"].map((name) => get([name]));
  const happened = perhaps("events", ["events"]);
  const [cluster, supervisors, topologies] = await Promise.all(wanted);
  return { cluster: cluster.body, supervisors: supervisors.body, topologies: topologies.body, events: await happened, standby: cluster.standby };
}

const topologyColumns = [
  { head: "Topology", cell: (it) => link(["t", it.name], it.name) },
  { head: "Status", cell: (it) => pill(it.status) },
  { head: "Workers", num: true, cell: (it) => count(it.workers) },
  { head: "Executors", num: true, cell: (it) => count(it.executors) },
  { head: "Tasks", num: true, cell: (it) => count(it.tasks) },
  { head: "Dead letters", num: true, cell: (it) => (it.dead_letters ? link(["t", it.name, "letters"], count(it.dead_letters)) : "0") },
  { head: "Up", num: true, cell: (it) => lasting(it.uptime_ms) },
  { head: "Why", wrap: true, cell: (it) => it.reason },
];

const supervisorColumns = [
  { head: "Supervisor", cell: (it) => it.id },
  { head: "Status", cell: (it) => [pill(it.status), it.held_back && [" ", pill("held back")]] },
  { head: "Host", cell: (it) => it.host },
  { head: "Slots used", cell: (it) => meter(it.slots ? it.slots_used / it.slots : 0, `${it.slots_used} of ${it.slots}`) },
  { head: "Last report", num: true, cell: (it) => (it.last_report_ms === null ? "none yet" : `${lasting(it.last_report_ms)} ago`) },
  { head: "Up", num: true, cell: (it) => lasting(it.up_ms) },
  { head: "Version", cell: (it) => it.version },
  { head: "Listens", cell: (it) => it.security || "–" },
];

const nimbusColumns = [
  { head: "Nimbus", cell: (it) => it.id },
  { head: "Role", cell: (it) => (it.leads ? pill("leads") : "stands by") },
  { head: "gRPC", cell: (it) => it.address },
  { head: "HTTP", cell: (it) => it.http },
  { head: "Version", cell: (it) => it.version },
  { head: "Binaries", num: true, cell: (it) => count(it.binaries) },
];

const refusals = (cluster) => Object.entries({ ...cluster.refused, ...cluster.tls_refused })
  .filter(([, number]) => number > 0).map(([name, number]) => `${name}: ${count(number)}`);

export function view({ cluster, supervisors, topologies, events }) {
  const refused = refusals(cluster);
  return h("div", { class: "page" },
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, `Cluster ${cluster.cluster}`),
      pill(cluster.store === "ok" ? "store ok" : "store in trouble", cluster.store === "ok" ? "good" : "bad")),
    command("squall list", "squall describe", "squall top", "squall events"),
    cluster.store !== "ok" && h("p", { class: "card pad problem" }, `The coordination store: ${cluster.store}`),
    findings(cluster.findings, undefined, "Nothing is wrong with the cluster or any topology."),
    facts([
      ["Topologies", count(cluster.topologies)], ["Workers", count(cluster.workers)],
      ["Slots used", count(cluster.slots_used), `of ${count(cluster.slots)}`],
      ["Supervisors", count(cluster.supervisors)], ["Nimbuses", count(cluster.nimbuses.length)],
      ["Listens", cluster.security], ["Version", cluster.version],
    ]),
    section("Topologies", table({
      caption: "Topologies", columns: topologyColumns, rows: topologies, key: (it) => it.id,
      empty: ["None yet. ", h("code", {}, "squall submit BINARY"), " gives the cluster one."],
    })),
    section("Supervisors", table({ caption: "Supervisors", columns: supervisorColumns, rows: supervisors, key: (it) => it.id, empty: "None has registered. Start `squall supervisor` on a machine." })),
    section("Nimbuses", table({ caption: "Nimbuses", columns: nimbusColumns, rows: cluster.nimbuses, key: (it) => it.id, empty: "None is registered." })),
    refused.length > 0 && section("Refused as out of date", h("p", { class: "card pad" }, refused.join(", "))),
    events.events && section("What happened", timeline(events.events.slice(0, 30))));
}
