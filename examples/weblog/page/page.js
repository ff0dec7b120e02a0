// Asks for the figures once a second and draws them. All that comes from log lines is shown as text.
"use strict";

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

function cell(text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

function rows(body, cells) {
  body.replaceChildren(
    ...cells.map((of) => {
      const tr = document.createElement("tr");
      tr.append(...of);
      return tr;
    }),
  );
}

// A line over the minutes, from zero to the greatest value.
function draw(id, minutes, value, say) {
  const svg = byId(id);
  const values = minutes.map(value);
  const greatest = Math.max(...values, 1e-9);
  const step = 100 / Math.max(values.length - 1, 1);
  const points = values.map((it, at) => `${(at * step).toFixed(2)},${(100 - (96 * it) / greatest).toFixed(2)}`);
  svg.setAttribute("viewBox", "0 0 100 100");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, at] of [["x1", 0], ["x2", 100], ["y1", 100], ["y2", 100]]) line.setAttribute(name, at);
  svg.replaceChildren(line, path);
  const last = values.length > 0 ? say(values[values.length - 1]) : "nothing yet";
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label").split(":")[0]}: now ${last}`);
  let ends = svg.nextElementSibling;
  if (!ends) {
    ends = document.createElement("div");
    ends.className = "ends";
    ends.append(document.createElement("span"), document.createElement("span"), document.createElement("span"));
    svg.after(ends);
  }
  if (minutes.length > 0) {
    ends.children[0].textContent = clock(minutes[0].at_ms);
    ends.children[1].textContent = `at most ${say(greatest)}`;
    ends.children[2].textContent = clock(minutes[minutes.length - 1].at_ms);
  }
}

function show(figures) {
  const { minutes } = figures;
  // The last minute is not over.
  const full = minutes[minutes.length - 2];
  const views = minutes.reduce((sum, minute) => sum + minute.views, 0);
  byId("views").textContent = number.format(views);
  byId("sessions").textContent = number.format(figures.sessions);
  byId("invalid").textContent = number.format(figures.invalid);
  if (full) {
    byId("visitors").textContent = number.format(full.visitors);
    byId("errors").textContent = percent.format(full.errors / Math.max(full.views, 1));
  }
  draw("chart-views", minutes.slice(0, -1), (it) => it.views, (it) => number.format(Math.round(it)));
  draw("chart-errors", minutes.slice(0, -1), (it) => it.errors / Math.max(it.views, 1), (it) => percent.format(it));
  rows(byId("alerts"), figures.alerts.map((it) => [cell(clock(it.at_ms)), cell(it.what, "what"), cell(it.who), cell(it.evidence)]));
  byId("no-alerts").hidden = figures.alerts.length > 0;
  rows(byId("pages"), figures.pages.map(([page, count]) => [cell(page), cell(number.format(count), "number")]));
  rows(byId("referrers"), figures.referrers.map(([from, count]) => [cell(from), cell(number.format(count), "number")]));
}

async function ask() {
  try {
    const answer = await fetch("figures.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
    byId("state").textContent = `live, times of the log in UTC`;
  } catch (error) {
    byId("state").textContent = `no figures: ${error.message}`;
  }
  setTimeout(ask, 1000);
}

ask();
