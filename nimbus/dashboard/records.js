// What a topology leaves behind: errors, dead letters, events; and its configuration.

import { dialog } from "./actions.js";
import { get, perhaps } from "./api.js";
import { h } from "./dom.js";
import { bytes, count } from "./format.js";
import { facts, link, section, sentence, table, to, when } from "./parts.js";
import { head } from "./topology.js";

const crumbs = ({ name }) => [[["t", name], name]];

/** A page of a topology that needs one document more, which may not be there. */
function page({ label, tab, more, shell, content }) {
  return {
    title: ({ name }) => `${label} of ${name}`,
    here: label,
    crumbs,
    async load(route) {
      const { body, standby } = await get(["topologies", route.name]);
      return { topology: body, other: await more?.(route), standby };
    },
    view: ({ topology, other }, route) => h("div", { class: "page" },
      head(topology, tab, shell(route)), content({ topology, other, ...route })),
  };
}

const absent = (error) => h("div", { class: "card pad note" }, h("p", {}, error.what ?? String(error), ": ", error.why ?? ""),
  error.fix && h("p", { class: "muted" }, error.fix));

export const errors = page({
  label: "Errors", tab: "errors",
  shell: ({ name }) => [`squall errors ${name}`],
  content: ({ topology, name }) => section("Newest errors", table({
    caption: "Newest errors", rows: topology.errors, empty: "No component has failed.",
    key: (it) => `${it.at_ms}-${it.component}-${it.task}-${it.reason}`,
    columns: [
      { head: "When", cell: (it) => when(it.at_ms) },
      { head: "Component", cell: (it) => link(["t", name, "c", it.component], it.component) },
      { head: "Task", num: true, cell: (it) => String(it.task) },
      { head: "Worker", cell: (it) => link(["t", name, "workers"], `worker ${it.worker}`) },
      { head: "Reason", cell: (it) => it.reason },
      { head: "What it said", wrap: true, cell: (it) => h("code", {}, it.text) },
    ],
  }), h("span", { class: "muted" }, "newest first; a flood of equal ones is thinned out")),
});

/** Replays or drops some letters, or all of them. */
function settle(name, verb, id) {
  const title = verb === "replay" ? "Replay" : "Drop";
  const what = id ? `letter ${id}` : "all letters";
  dialog({
    title: `${title} ${what} of ${name}?`, verb: title, path: ["topologies", name, "dead-letters", verb],
    body: () => (id ? { ids: [id] } : { all: true }), typed: verb === "drop" && !id ? name : undefined,
    text: verb === "replay" ? "Their tuples are emitted again; a letter goes when its tuple has been processed." : "They are gone for good.",
    shell: `squall dead-letters ${name} ${verb} ${id ?? "--all"}`, done: `${name}: asked to ${verb} ${what}.`,
  });
}

const settling = (name, id, suffix = "") => h("span", { class: "form" }, ["replay", "drop"].map((verb) =>
  h("button", { type: "button", class: verb === "drop" && "danger", onclick: () => settle(name, verb, id), "aria-label": id && `${verb} ${id}` },
    `${verb === "replay" ? "Replay" : "Drop"}${suffix}`)));

const letterColumns = (name) => [
  { head: "Letter", cell: (it) => it.id },
  { head: "Component", cell: (it) => link(["t", name, "c", it.component], it.component) },
  { head: "Task", num: true, cell: (it) => String(it.task) }, { head: "Reason", cell: (it) => it.reason },
  { head: "What it said", wrap: true, cell: (it) => it.error && h("code", {}, it.error) },
  { head: "Attempts", num: true, cell: (it) => count(it.attempts) },
  { head: "Last failed", cell: (it) => when(it.last_failed_ms) },
  { head: "Tuple", wrap: true, cell: (it) => h("code", {}, it.text) },
  { head: "What to do", cell: (it) => (it.replaying ? "is being replayed" : settling(name, it.id)) },
];

export const letters = page({
  label: "Dead letters", tab: "letters",
  more: ({ name }) => perhaps("letters", ["topologies", name, "dead-letters"], { limit: 100 }),
  shell: ({ name }) => [`squall dead-letters ${name}`, `squall dead-letters ${name} replay --all`],
  content: ({ topology, other, name }) => {
    const { kept, replaying, bytes: size, refused } = topology.dead_letters;
    const by = topology.components.filter((it) => it.dead_letters > 0);
    const list = Array.isArray(other?.letters) ? other.letters : null;
    return [
      facts([["Kept", count(kept)], ["Being replayed", count(replaying)], ["Size", bytes(size)], ["Refused for want of room", count(refused)]]),
      by.length > 0 && section("By component", table({
        caption: "By component", rows: by, key: (it) => it.name, empty: "",
        columns: [{ head: "Component", cell: (it) => link(["t", name, "c", it.name], it.name) }, { head: "Dead letters", num: true, cell: (it) => count(it.dead_letters) }],
      })),
      list && section("Newest", table({ caption: "Newest", rows: list, columns: letterColumns(name), key: (it) => it.id, empty: "None: no tuple failed too often." }), list.length > 0 && settling(name, undefined, " all…")),
      !list && kept === 0 && h("div", { class: "card empty" }, "None: no tuple failed too often."),
      !list && kept > 0 && h("p", { class: "card pad note" }, "What is in them the command above shows."),
    ];
  },
});

/** What happened, as a list. */
export function timeline(list) {
  if (!list.length) return h("div", { class: "card empty" }, "Nothing has happened since this nimbus leads.");
  const one = (it) => h("li", { "data-key": it.number }, when(it.at_ms), h("b", {}, it.kind), h("span", {}, sentence(it.text)));
  return h("ol", { class: "timeline card" }, list.map(one));
}

export const events = page({
  label: "Events", tab: "events",
  more: ({ name }) => perhaps("events of topologies", ["topologies", name, "events"]),
  shell: ({ name }) => [`squall events ${name}`],
  content: ({ other }) => section("What happened", other instanceof Error ? absent(other) : timeline(other.events),
    h("span", { class: "muted" }, "newest first, 200 of them")),
});

export const config = page({
  label: "Configuration", tab: "config",
  more: ({ name }) => perhaps("config", ["topologies", name, "config"]),
  shell: ({ name }) => [`squall describe ${name} -o json`],
  content: ({ other }) => section("Configuration", other instanceof Error ? absent(other) : table({
    caption: "Configuration", rows: other.settings, key: (it) => it.name, empty: "It has none.",
    columns: [
      { head: "Setting", cell: (it) => h("code", {}, it.name) },
      { head: "Value", wrap: true, cell: (it) => h("code", {}, it.origin === "default" ? it.value : h("b", {}, it.value)) },
      { head: "Where it comes from", cell: (it) => (it.origin === "default" ? h("span", { class: "muted" }, "default") : "set when submitted") },
      { head: "Default", cell: (it) => h("code", {}, it.default ?? "–") },
      { head: "What it does", wrap: true, cell: (it) => it.meaning },
    ],
  })),
});
