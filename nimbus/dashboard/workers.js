// The workers of a topology: where they run, how often they were restarted, and why.

import { get } from "./api.js";
import { h } from "./dom.js";
import { bytes, count, lasting, percent } from "./format.js";
import { meter, pager, pill, section, table, to, when } from "./parts.js";
import { head } from "./topology.js";

const LIMIT = 100;

export const title = ({ name }) => `Workers of ${name}`;
export const here = "Workers";
export const crumbs = ({ name }) => [[["t", name], name]];

export async function load({ name }) {
  const { body, standby } = await get(["topologies", name]);
  return { topology: body, standby };
}

const dropped = (it) => Object.entries(it.log_dropped).map(([why, size]) => `${bytes(size)} of its log dropped (${why})`);

// What workers said last: told only while one waits to be started again, and wanted a moment later too.
const lastWords = new Map();

function why(it, topology) {
  const key = JSON.stringify([topology, it.worker]);
  if (it.last_words) lastWords.set(key, it.last_words);
  const words = it.last_exit && lastWords.get(key);
  const remarks = [...dropped(it), it.unheld, it.direct && "on its own: its supervisor is away"].filter(Boolean);
  if (!it.last_exit && !remarks.length) return h("span", { class: "muted" }, "never ended");
  return [
    it.last_exit && h("p", {}, h("b", {}, it.last_exit), it.last_exit_ms > 0 && [", at ", when(it.last_exit_ms)]),
    words && [h("p", { class: "muted" }, "Its last words:"), h("pre", { class: "words", tabindex: 0 }, words)],
    remarks.map((text) => h("p", { class: "muted" }, text)),
  ];
}

const columns = (name, topology) => [
  { head: "Worker", cell: (it) => [`${it.worker} `, h("a", { href: to(["t", name, "logs"], { worker: it.worker }), "aria-label": `Logs of worker ${it.worker}` }, "logs")] },
  { head: "State", cell: (it) => pill(it.state || "not heard of") },
  { head: "Restarts", num: true, cell: (it) => (it.restarts ? h("b", {}, count(it.restarts)) : "0") },
  { head: "Last exit, and why", wrap: true, cell: (it) => why(it, topology) },
  { head: "Supervisor", cell: (it) => `${it.supervisor}, slot ${it.slot}` },
  { head: "Process", num: true, cell: (it) => (it.pid ? String(it.pid) : "–") },
  { head: "Address", cell: (it) => it.address || "–" },
  { head: "Memory", num: true, cell: (it) => (it.rss_bytes ? bytes(it.rss_bytes) : "–") },
  {
    head: "Waits in queues",
    cell: (it) => (it.held_bytes_limit
      ? meter(it.held_bytes / it.held_bytes_limit, `${bytes(it.held_bytes)}, ${percent(it.held_bytes / it.held_bytes_limit)}`) : "–"),
  },
  { head: "Oldest waits", num: true, cell: (it) => (it.waiting_ms ? lasting(it.waiting_ms) : "–") },
  { head: "Executors", num: true, cell: (it) => count(it.executors.length) },
  { head: "Epoch", num: true, cell: (it) => it.epoch },
];

export function view({ topology }, { name, query }) {
  const offset = Math.max(0, Math.floor(Number(query.offset ?? 0)) || 0);
  // Those that have something to say first.
  const restarts = (it) => (it.state === "running" ? it.restarts : it.restarts + 1e9);
  const workers = [...topology.workers].sort((one, other) => restarts(other) - restarts(one) || one.worker - other.worker);
  const href = (at) => to(["t", name, "workers"], { offset: at || undefined });
  const turned = topology.workers.flatMap((it) => it.turned_away.map((other) => ({ ...other, by: it.worker })));
  return h("div", { class: "page" }, head(topology, "workers", [`squall describe ${name}`, `squall logs ${name}`]),
    section("Workers", table({
      caption: "Workers", columns: columns(name, topology.id), rows: workers.slice(offset, offset + LIMIT), key: (it) => it.worker,
      empty: topology.reason || "No worker is assigned.",
    }), pager({ offset, limit: LIMIT, total: workers.length, href })),
    turned.length > 0 && section("Turned away", table({
      caption: "Turned away", rows: turned, empty: "",
      columns: [
        { head: "Who", cell: (it) => it.who }, { head: "By worker", num: true, cell: (it) => String(it.by) },
        { head: "Why", cell: (it) => it.why }, { head: "Epoch", cell: (it) => it.epoch || "–" },
        { head: "Times", num: true, cell: (it) => count(it.count) },
      ],
    })));
}
