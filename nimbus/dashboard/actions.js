// Changes, asked for as the command line asks: what it does, and for what cannot be undone the name.

import { newKey, post } from "./api.js";
import { h } from "./dom.js";

/** Shows that something was done, for a while. */
function toast(text) {
  const shown = h("div", { class: "toast", role: "status" }, text);
  document.body.append(shown);
  setTimeout(() => shown.remove(), 6000);
}

/**
 * Opens a dialog and sends what it says. `body` makes the document, or throws what is wrong with it;
 * `shell` is the command that does the same; `name` has to be typed if `typed`.
 */
export function dialog({ title, text, fields = [], path, body = () => ({}), verb, typed, shell, done }) {
  const opener = document.activeElement;
  // One key for as long as the dialog is open: sent twice, it is done once.
  let key = newKey();
  const said = h("div", { role: "alert" });
  const send = h("button", { type: "submit", class: typed ? "danger primary" : "primary", disabled: Boolean(typed) }, verb);
  const name = typed && h("input", { id: "typed", autocomplete: "off", spellcheck: "false", oninput: (event) => { send.disabled = event.target.value !== typed; } });
  const box = h("dialog", { "aria-labelledby": "dialog-title" });
  const submit = async (event) => {
    event.preventDefault();
    if (typed && name.value !== typed) return;
    send.disabled = true;
    said.replaceChildren();
    try {
      await post(path, body(), key);
      box.close();
      toast(done);
    } catch (error) {
      const other = error.status === 404 || error.status === 405
        ? "This nimbus takes no such change over HTTP; use the command below." : error.fix;
      said.replaceChildren(h("p", {}, h("b", {}, error.what ?? "That cannot be sent")), h("p", {}, error.why ?? error.message), h("p", { class: "muted" }, other));
      // It answered: what is sent next is another change.
      if (error.status) key = newKey();
      send.disabled = false;
    }
  };
  box.append(h("form", { method: "dialog", onsubmit: submit },
    h("h2", { id: "dialog-title" }, title), h("p", {}, text), fields,
    typed && h("label", { for: "typed" }, h("span", {}, "Type ", h("b", {}, typed), " to confirm"), name),
    said, h("p", { class: "muted" }, "In a shell: ", h("code", {}, shell)),
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => box.close() }, "Cancel"), send)));
  box.addEventListener("close", () => {
    box.remove();
    opener?.focus();
  });
  document.body.append(box);
  box.showModal();
  (name ?? box.querySelector("input") ?? send).focus();
}

function simple(topology, verb, title, text) {
  const { name } = topology;
  dialog({ title: `${title} ${name}?`, text, verb: title, path: ["topologies", name, verb], shell: `squall ${verb} ${name}`, done: `${name}: asked to ${verb}.` });
}

function rebalance(topology) {
  const { name } = topology;
  const number = (id, value, max) => h("input", { id, type: "number", min: 1, max, step: 1, value: String(value), required: true });
  const workers = number("r-workers", topology.workers_wanted);
  const each = topology.components.map((it, at) => ({ it, input: number(`r-${at}`, it.executors, it.tasks) }));
  const fields = h("div", { class: "grid" },
    h("label", { for: "r-workers" }, h("span", {}, "Workers")), workers,
    each.map(({ it, input }) => [h("label", { for: input.id }, h("span", {}, `Executors of ${it.name} (at most ${it.tasks})`)), input]));
  const body = () => {
    const changed = each.filter(({ it, input }) => Number(input.value) !== it.executors);
    const asked = {};
    if (Number(workers.value) !== topology.workers_wanted) asked.workers = Number(workers.value);
    if (changed.length) asked.executors = Object.fromEntries(changed.map(({ it, input }) => [it.name, Number(input.value)]));
    return asked;
  };
  dialog({
    title: `Rebalance ${name}?`, verb: "Rebalance", fields, body, path: ["topologies", name, "rebalance"],
    text: "Executors move between running workers; what does not move runs on. Nothing changed spreads it over the supervisors there are now.",
    shell: `squall rebalance ${name} --workers N -e COMPONENT=N`, done: `${name}: asked to rebalance.`,
  });
}

function kill(topology) {
  const { name } = topology;
  dialog({
    title: `Kill ${name}?`, verb: "Kill", typed: name, path: ["topologies", name, "kill"],
    text: "Its spouts stop, what is under way may finish, then nothing of it stays: no process, no log, no dead letter. This cannot be undone.",
    shell: `squall kill ${name}`, done: `${name}: asked to end.`,
  });
}

/** The buttons of a topology. */
export function actions(topology) {
  const button = (text, onclick, kind) => h("button", { type: "button", onclick, class: kind }, text);
  const { status } = topology;
  return h("div", { class: "actions" },
    status === "inactive" && button("Activate", () => simple(topology, "activate", "Activate", "Its spouts emit again.")),
    status === "active" && button("Deactivate", () => simple(topology, "deactivate", "Deactivate", "Its spouts stop; what is under way finishes.")),
    ["active", "inactive", "rebalancing"].includes(status) && button("Rebalance…", () => rebalance(topology)),
    status !== "killed" && button("Kill…", () => kill(topology), "danger"));
}
