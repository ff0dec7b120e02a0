// What several pages show: pills, commands, findings, facts, bars, tables.

import { h, s } from "./dom.js";
import { count, lasting, moment, percent } from "./format.js";

/** A link to a page: `link(["t", name], "text")`. */
export const to = (parts, query = {}) => {
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = asked.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return `#/${parts.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
};
export const link = (parts, text, query) => h("a", { href: to(parts, query) }, text);

const TONES = {
  active: "good", alive: "good", running: "good", leads: "good", ok: "good", finished: "good",
  inactive: "warn", rebalancing: "warn", away: "warn", silent: "warn", killed: "warn", stopping: "warn",
  fetching: "warn", starting: "warn", assigned: "warn", warning: "warn", "held back": "warn",
  quarantined: "bad", lost: "bad", "backing-off": "bad", critical: "bad",
};
const SIGNS = { good: "✓", warn: "!", bad: "✕" };

/** A status: a word with a sign, coloured. */
export function pill(word, tone = TONES[word]) {
  return h("span", { class: "pill", "data-tone": tone },
    tone && h("b", { "aria-hidden": "true" }, SIGNS[tone]), word);
}

/** The command that says or does the same. */
export function command(...lines) {
  const one = (line) => {
    const copy = async (event) => {
      const button = event.currentTarget;
      const words = await navigator.clipboard?.writeText(line).then(() => "Copied", () => "Not allowed");
      button.textContent = words ?? "Not allowed";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    };
    return [h("code", {}, line),
      h("button", { type: "button", onclick: copy, "aria-label": `Copy ${line}` }, "Copy")];
  };
  return h("div", { class: "command" }, h("span", {}, "In a shell"), lines.map(one));
}

/** A section with its heading; `right` stands at the end of the line. */
export function section(title, content, right) {
  const id = `s-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { class: "section", "aria-labelledby": id },
    h("div", { class: "bar" }, h("h2", { id }, title), right && h("div", { class: "right" }, right)), content);
}

/** Figures in a row: `[name, value, remark]`. */
export function facts(list) {
  const one = ([name, value, remark]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value, remark && h("small", {}, " ", remark)));
  return h("dl", { class: "facts card" }, list.filter(Boolean).map(one));
}

/** A sentence whose `names` stand in backticks. */
export const sentence = (text) => text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));

const evidenceOf = ([name, value]) =>
  h("span", {}, `${name.replaceAll("_", " ")} `, h("b", {}, Number.isInteger(value) ? count(value) : value));

function finding(it, here) {
  const at = [];
  if (it.topology && it.topology !== here) at.push(link(["t", it.topology], it.topology));
  if (it.topology && it.component) at.push(link(["t", it.topology, "c", it.component], it.component));
  if (it.topology && it.worker !== undefined) at.push(link(["t", it.topology, "workers"], `worker ${it.worker}`));
  if (it.task !== undefined) at.push(h("span", {}, `task ${it.task}`));
  if (it.supervisor) at.push(h("span", {}, `supervisor ${it.supervisor}`));
  return h("li", { "data-severity": it.severity, "data-key": keyOf(it) },
    h("span", {}, pill(it.severity, { critical: "bad", warning: "warn" }[it.severity])),
    h("p", { class: "what" }, sentence(it.text)),
    it.next && h("p", { class: "next" }, h("b", {}, "Next:"), sentence(it.next)),
    h("p", { class: "evidence" }, at, Object.entries(it.evidence ?? {}).map(evidenceOf)));
}

export const keyOf = (it) =>
  [it.code, it.topology, it.component, it.task, it.worker, it.supervisor].map((part) => part ?? "").join("|");

/** What is wrong, first what causes it. */
export function findings(list, here, well = "Nothing is wrong.") {
  const tick = s("svg", { viewBox: "0 0 16 16", width: 18, height: 18, "aria-hidden": "true" },
    s("path", { d: "M3 8.5l3.2 3.2L13 5", fill: "none", stroke: "currentColor", "stroke-width": 2 }));
  const content = list.length
    ? h("ol", { class: "findings card" }, list.map((it) => finding(it, here)))
    : h("div", { class: "well card" }, tick, h("p", {}, well));
  return section("What is wrong first", content);
}

const PARTS = [["busy", "busy"], ["back_pressured", "pressed"], ["throttled", "throttled"], ["idle", "idle"]];

/** In words: `busy 80 %, idle 20 %`. */
export const timeWords = (time) =>
  time
    ? PARTS.filter(([name]) => time[name] >= 5)
      .map(([name]) => `${name.replace("_", "-")} ${percent(time[name] / 1000)}`).join(", ")
    : "not known yet";

/** Where the time goes, as a bar. */
export function timeBar(time) {
  const bits = time ? PARTS.map(([name, kind]) => h("i", { class: kind, style: { width: `${time[name] / 10}%` } })) : [];
  return h("span", { class: "time", role: "img", "aria-label": timeWords(time), title: timeWords(time) }, bits);
}

export const timeLegend = () =>
  h("p", { class: "legend" }, PARTS.map(([name, kind]) => h("span", {}, h("i", { class: kind }), name.replace("_", "-"))));

/** What a component mostly does: a word for it, and the part of its time. */
export function stateOf(time) {
  if (!time) return { state: "unknown", word: "no data yet", share: null };
  if (time.back_pressured >= 500) return { state: "pressed", word: "back-pressured", share: time.back_pressured / 1000 };
  if (time.busy >= 800) return { state: "busy", word: "busy", share: time.busy / 1000 };
  if (time.throttled >= 500) return { state: "throttled", word: "throttled", share: time.throttled / 1000 };
  if (time.busy >= 50) return { state: "working", word: "busy", share: time.busy / 1000 };
  return { state: "idle", word: "idle", share: time.idle / 1000 };
}

/** A share of 1 as a bar with its words. */
export function meter(share, words = percent(share)) {
  const width = `${Math.min(1, Math.max(0, share ?? 0)) * 100}%`;
  return h("span", { class: "with" },
    h("span", { class: "meter", "data-full": share >= 0.8, "aria-hidden": "true" }, h("i", { style: { width } })),
    h("span", {}, words));
}

/** How uneven: a bar with a mark at 1, which is even. */
export function skewBar(skew, most) {
  const end = Math.max(2, most);
  const words = skew === null ? "–" : `${skew.toFixed(2)}×`;
  const bar = h("span", {
    class: "skew", "data-hot": skew >= 2, "aria-hidden": "true", style: { "--even": `${100 / end}%` },
  }, h("i", { style: { width: `${((skew ?? 0) / end) * 100}%` } }));
  return h("span", { class: "with" }, bar, h("span", {}, words));
}

/** When, with how long ago in its title. */
export const when = (ms) =>
  h("time", { datetime: new Date(ms).toISOString(), title: `${lasting(Math.max(0, Date.now() - ms))} ago` }, moment(ms));

/** A table. A column is `{ head, cell, num, wrap, sort }`; `sort` is `{ href, now }`. */
export function table({ caption, columns, rows, key, empty, tall }) {
  if (!rows.length) return h("div", { class: "card empty" }, empty);
  const kind = ({ num, wrap }) => (num ? "num" : wrap ? "wrap" : undefined);
  const head = (column) =>
    h("th", { scope: "col", class: column.num && "num", "aria-sort": column.sort?.now },
      column.sort ? h("a", { class: "sort", href: column.sort.href }, column.head) : column.head);
  const row = (it) => h("tr", { "data-key": key?.(it) }, columns.map((column, at) =>
    h(at ? "td" : "th", { scope: at ? undefined : "row", class: kind(column) }, column.cell(it))));
  return h("div", { class: tall ? "card scroll tall" : "card scroll", tabindex: 0, role: "group", "aria-label": `${caption}, table` },
    h("table", {}, h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map(head))), h("tbody", {}, rows.map(row))));
}

/** Something went wrong: what, why, what to do. */
export function problem(error) {
  return h("div", { class: "card pad problem", role: "alert" }, h("h2", {}, error.what ?? "This page failed"),
    h("p", {}, error.why ?? String(error)), error.fix && h("p", { class: "muted" }, error.fix));
}

/** Pages of a long list. */
export function pager({ offset, limit, total, href }) {
  if (total <= limit) return null;
  const step = (label, at, on) => on ? h("a", { href: href(at) }, label) : h("span", { class: "muted" }, label);
  return h("nav", { class: "legend", "aria-label": "Pages" },
    step("← Previous", Math.max(0, offset - limit), offset > 0),
    h("span", {}, `${count(offset + 1)}–${count(Math.min(total, offset + limit))} of ${count(total)}`),
    step("Next →", offset + limit, offset + limit < total));
}
