// Tuple trees of a sample: where their time goes, hop by hop, and where they fail.
//
// Workers note nothing unless somebody asks: the page looks once, for a few seconds, and again when told.

import { get } from "./api.js";
import { h } from "./dom.js";
import { count, latency } from "./format.js";
import { link, pill, section, sentence, table, to, when } from "./parts.js";
import { head } from "./topology.js";

const FOR = "3s";
const LIMIT = 20;
/** Hops of one tree that are drawn. */
const DRAWN = 60;
const TONES = { acked: "good", failed: "bad", open: "warn" };
/** Parts of a hop's time: the field, the class, the word. */
const PARTS = [["way_us", "way", "on its way"], ["wait_us", "queued", "waits"], ["execute_us", "called", "executes"], ["held_us", "kept", "held"]];

export const title = ({ name }) => `Tuple trees of ${name}`;
export const here = "Tuple trees";
export const crumbs = ({ name }) => [[["t", name], name]];

const known = { key: null, traces: null, at: 0 };

export async function load({ name, query }) {
  const topology = get(["topologies", name]);
  const key = JSON.stringify([name, query.failed, query.spout, query.turn]);
  if (known.key !== key) {
    const asked = { for: FOR, limit: LIMIT, slowest: true, failed: query.failed ? true : undefined, component: query.spout };
    const traces = get(["topologies", name, "traces"], asked).then(({ body }) => body, (error) => error);
    const [shown] = await Promise.all([traces, topology]);
    Object.assign(known, { key, traces: shown, at: Date.now() });
  }
  const { body, standby } = await topology;
  return { topology: body, traces: known.traces, at: known.at, standby };
}

const width = (hop) => PARTS.reduce((all, [field]) => all + (hop[field] ?? 0), 0);
const inWords = (hop) => PARTS.filter(([field]) => hop[field] !== null).map(([field, , word]) => `${word} ${latency(hop[field])}`).join(", ") || "not seen";

/** One hop on the line of time of its tree. */
function bar(hop, whole) {
  const part = (us) => `${Math.min(100, (us / whole) * 100)}%`;
  let at = hop.start_us;
  const bits = PARTS.map(([field, kind]) => {
    const left = at;
    at += hop[field] ?? 0;
    return hop[field] > 0 && h("i", { class: kind, style: { left: part(left), width: part(hop[field]) } });
  });
  return h("span", { class: "fall", role: "img", "aria-label": inWords(hop), title: inWords(hop) }, bits);
}

const failed = (hop) => h("span", { class: "failed" }, pill(`failed: ${hop.reason}`, "bad"), hop.text && h("code", {}, hop.text));

function what(hop, tree) {
  const states = { acked: "", unseen: "not seen", waiting: "waits", executing: "executes", held: "held", continued: "goes on below" };
  return [
    hop.state === "failed" ? failed(hop) : states[hop.state] ?? hop.state,
    tree.widest === hop.number && tree.hops.length > 1 && pill("longest", "warn"),
    hop.fused && h("span", { class: "muted" }, " in the call of its sender"),
    hop.clocks_apart_us !== null && h("span", { class: "muted" }, ` clocks differ by ${latency(hop.clocks_apart_us)} at least`),
  ];
}

function waterfall(tree, name) {
  const whole = Math.max(1, tree.took_us ?? 0, ...tree.hops.map((hop) => hop.start_us + width(hop)));
  const time = (field) => (hop) => latency(hop[field]);
  const hops = tree.hops.slice(0, DRAWN);
  const more = tree.hops.length - hops.length + tree.hops_left_out;
  return [
    table({
      caption: `Hops of tree ${tree.id}`, rows: hops, key: (hop) => hop.number, empty: "No hop of it was seen.",
      columns: [
        { head: "Hop", cell: (hop) => h("span", { class: "hop", style: { "--depth": Math.min(hop.depth, 12) } }, link(["t", name, "c", hop.component], hop.component)) },
        { head: "Task", num: true, cell: (hop) => String(hop.task) },
        { head: "Worker", cell: (hop) => (hop.worker === null ? "–" : [link(["t", name, "workers"], `worker ${hop.worker}`), h("span", { class: "muted" }, ` ${hop.host || hop.supervisor}`)]) },
        { head: "Where its time went", cell: (hop) => bar(hop, whole) },
        { head: "Way", num: true, cell: time("way_us") }, { head: "Wait", num: true, cell: time("wait_us") },
        { head: "Execute", num: true, cell: time("execute_us") }, { head: "Held", num: true, cell: time("held_us") },
        { head: "What became of it", wrap: true, cell: (hop) => what(hop, tree) },
      ],
    }),
    more > 0 && h("p", { class: "muted" }, `and ${count(more)} more hops`),
    tree.holes.length > 0 && h("ul", { class: "holes" }, tree.holes.map((hole) => h("li", {}, sentence(hole)))),
  ];
}

function one(tree, name, longest, first) {
  const widest = tree.hops[tree.widest ?? -1];
  const at = tree.hops[tree.failed_at ?? -1];
  const share = `${Math.min(100, ((tree.took_us ?? 0) / longest) * 100)}%`;
  const reason = tree.reason ? `${tree.outcome}: ${tree.reason}` : tree.outcome;
  return h("details", { class: "tree card", "data-key": tree.id, open: first },
    h("summary", {},
      pill(reason, TONES[tree.outcome]), h("b", { class: "took" }, latency(tree.took_us)),
      h("span", { class: "meter", "aria-hidden": "true" }, h("i", { style: { width: share } })),
      h("span", {}, `from ${tree.component || "a spout that was not seen"}${tree.task === null ? "" : `, task ${tree.task}`}`),
      h("span", { class: "muted" }, `${count(tree.hops.length + tree.hops_left_out)} hops`),
      at ? h("span", {}, `failed at ${at.component}`) : widest && h("span", {}, `longest at ${widest.component}`),
      h("span", { class: "muted right" }, when(tree.began_ms))),
    h("div", { class: "pad" }, waterfall(tree, name)));
}

const legend = () => h("p", { class: "legend" }, PARTS.map(([, kind, word]) => h("span", {}, h("i", { class: kind }), word)));

function chosen({ topology, name, query }) {
  const spouts = topology.components.filter((it) => it.kind === "spout").map((it) => it.name);
  const turn = String(Number(query.turn ?? 0) + 1);
  const pick = (label, more, on) => h("a", { href: to(["t", name, "traces"], { ...query, ...more, turn }), "aria-current": on && "true" }, label);
  const again = (event) => {
    event.currentTarget.textContent = "Looking…";
    location.hash = to(["t", name, "traces"], { ...query, turn });
  };
  return h("nav", { class: "legend", "aria-label": "Which trees" },
    h("button", { type: "button", onclick: again }, "Look again"),
    pick("Slowest", { failed: undefined }, !query.failed), pick("Failed only", { failed: "1" }, Boolean(query.failed)),
    spouts.length > 1 && [pick("All spouts", { spout: undefined }, !query.spout), ...spouts.map((it) => pick(it, { spout: it }, query.spout === it))]);
}

function sums(traces, at) {
  const sample = traces.one_in > 1 ? `One tree in ${count(traces.one_in)} was looked at` : "Each tree was looked at";
  const left = traces.left_out > 0 ? ` ${count(traces.left_out)} notes were left out for lack of room.` : "";
  return h("p", { class: "muted" }, `${sample}, for ${latency(traces.looked_ms * 1000)}: ${count(traces.seen)} trees seen, ${count(traces.failed)} failed.${left} Looked at `, when(at), ".");
}

function trees(traces, route) {
  if (traces instanceof Error) {
    return h("div", { class: "card pad note" }, h("p", {}, traces.what ?? String(traces), ": ", traces.why ?? ""), traces.fix && h("p", { class: "muted" }, traces.fix));
  }
  const remarks = traces.remarks.map((remark) => h("p", { class: "card pad note" }, sentence(remark)));
  const empty = route.query.failed && traces.seen > 0 ? "No tree failed while it was looked." : "No tuple tree was seen.";
  const longest = Math.max(1, ...traces.trees.map((tree) => tree.took_us ?? 0));
  const list = traces.trees.length
    ? h("div", { class: "trees" }, traces.trees.map((tree, at) => one(tree, route.name, longest, at === 0)))
    : h("div", { class: "card empty" }, empty);
  return [remarks, sums(traces, known.at), list];
}

export function view({ topology, traces }, route) {
  const { name, query } = route;
  const shell = `squall trace ${name} --slowest --for ${FOR}${query.failed ? " --failed" : ""}${query.spout ? ` --component ${query.spout}` : ""}`;
  return h("div", { class: "page" }, head(topology, "traces", [shell]),
    section(query.failed ? "Trees that failed" : "Slowest trees", [chosen({ topology, name, query }), trees(traces, route)], legend()));
}
