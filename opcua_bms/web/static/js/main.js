// Starts everything, and draws what is visible once per frame.

import { Alarms } from "./alarms.js";
import { ClusterTable } from "./clusters.js";
import { clock, put } from "./format.js";
import { HeatMap } from "./heatmap.js";
import { Overview } from "./overview.js";
import { Past } from "./past.js";
import { Plant } from "./plant.js";
import { actDialog, loginDialog, session } from "./session.js";
import { Statistics } from "./statistics.js";
import { Status } from "./status.js";
import { follow } from "./stream.js";
import { Chart, Trends } from "./trends.js";

const VIEWS = ["overview", "alarms", "trends", "status"];
const STATUS_MS = 5000;
const by = (id) => document.getElementById(id);

async function start() {
  theme();
  loginDialog();
  let told = null;
  while (!told) {
    told = await fetch("api/plant").then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    if (!told) await new Promise((done) => setTimeout(done, 2000));
  }
  const plant = new Plant(told);
  document.title = plant.name;
  by("site-name").textContent = plant.name;
  by("version").textContent = `opcua-bms ${plant.version}`;

  const toTrend = (path) => {
    trends.open(path);
    location.hash = "trends";
  };
  const statistics = new Statistics(plant, toTrend);
  const heat = new HeatMap(plant, toTrend, (k) => statistics.choose(k));
  const overview = new Overview(plant, toTrend);
  const clusters = new ClusterTable(plant, toTrend, (k) => {
    heat.setFocus(k);
    by("cells-title").scrollIntoView({ block: "nearest" });
  });
  const alarms = new Alarms(plant, actDialog(plant), new Past(plant));
  const trends = new Trends(plant);
  const status = new Status(plant);
  const briefs = [
    new Chart(plant, by("trend-power"), ["BMS.Power", "BMS.StateOfCharge"], 900, by("power-caption")),
    new Chart(plant, by("trend-cells"), ["BMS.MaxCellVoltage", "BMS.MinCellVoltage"], 900, by("cells-caption")),
  ];

  let view = "overview", due = false, loaded = false, statusAt = 0;
  const draw = () => {
    due = false;
    if (!plant.scan) return;
    foot(plant);
    alarms.draw(view === "alarms");
    if (view === "overview") {
      overview.draw();
      heat.draw();
      statistics.draw();
      clusters.draw();
    }
    if (view === "status") status.draw();
    if (!loaded) {
      loaded = true;
      for (const chart of briefs) chart.load();
      trends.load();
    }
    document.body.dataset.scan = plant.scan.counter;
    if (performance.now() - statusAt > (view === "status" ? STATUS_MS : 6 * STATUS_MS) || !statusAt) {
      statusAt = performance.now();
      status.load();
    }
  };
  plant.addEventListener("frame", ({ detail }) => {
    if (detail.scan) {
      for (const chart of briefs) chart.extend();
      trends.chart.extend();
    }
    if (detail.alarms) alarms.past.news();
    if (detail.fresh.length) by("said").textContent = `${detail.fresh.length} new alarms: ${detail.fresh[0].message}`;
    if (!due) {
      due = true;
      requestAnimationFrame(draw);
    }
  });
  const turn = () => {
    const wanted = location.hash.slice(1);
    if (location.hash && !VIEWS.includes(wanted)) return; // a place on the page
    view = wanted || "overview";
    for (const name of VIEWS) by(`view-${name}`).hidden = name !== view;
    for (const link of document.querySelectorAll(".tabs a")) {
      if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    statusAt = view === "status" ? 0 : statusAt;
    window.scrollTo(0, 0);
    draw();
  };
  window.addEventListener("hashchange", turn);
  document.addEventListener("themechange", () => {
    heat.restyle();
    for (const chart of [...briefs, trends.chart]) if (chart.data) chart.build();
  });
  by("ua-url").addEventListener("click", () => navigator.clipboard?.writeText(by("ua-url").textContent));
  session.look();
  turn();
  follow(plant, (state) => link(plant, state));
}

function link(plant, state) {
  const before = by("link").dataset.state;
  if (before !== state && (state === "lost" || before === "lost")) by("said").textContent = state === "lost" ? "Connection lost" : "Connected again";
  by("link").dataset.state = state;
  document.body.classList.toggle("stale", state === "lost");
  const time = plant.scan ? clock(plant.scan.time) : "";
  put(by("link-text"), state === "live" ? `live ${time}` : `connection lost, values of ${time || "never"}`);
}

function foot(plant) {
  const { server, scan } = plant;
  put(by("ua-url"), server.url);
  put(by("ua-sessions"), String(server.sessions));
  put(by("ua-items"), String(server.items));
  put(by("scan-ms"), `${scan.ms.toFixed(0)} ms`);
  put(by("scan-period"), `${scan.period_s} s`);
}

function theme() {
  const root = document.documentElement, saved = localStorage.getItem("theme");
  if (saved) root.dataset.theme = saved;
  const tell = () => document.dispatchEvent(new Event("themechange"));
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  by("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
}

start();
