// Curves from the history, live at their end.

import uPlot from "../vendor/uPlot.js";
import { digits, make, moment, put, title } from "./format.js";

const COLOURS = ["--accent", "--bad", "--ok", "--warn"];
const MOST = 4, POINTS = 1200, REFRESH_MS = 600000;
const SPANS = [["15 min", 900], ["1 h", 3600], ["6 h", 21600], ["24 h", 86400], ["7 d", 604800]];

function colour(name) {
  const probe = make("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const out = getComputedStyle(probe).color;
  probe.remove();
  return out;
}

/** One chart: values of at most two units over a time that ends now. */
export class Chart {
  constructor(plant, box, paths, seconds, caption, remove = null) {
    Object.assign(this, { plant, box, paths, seconds, caption, remove, data: null, problem: "", until: null, onSelect: null });
    this.generation = 0;
    box.setAttribute("role", box.tabIndex === 0 ? "application" : "img");
    this.say();
    new ResizeObserver(() => this.fit()).observe(box);
  }

  async load() {
    const mine = (this.generation += 1), { paths, seconds } = this;
    const end = this.until ?? this.now();
    this.problem = this.plant.history ? "" : "there is no history: curves begin when this page was opened";
    const found = await Promise.all(paths.map(async (path) => {
      if (!this.plant.history) return { times: [], values: [] };
      const query = new URLSearchParams({ value: path, start: end - seconds, end, points: POINTS });
      const answer = await fetch(`api/history?${query}`).catch(() => null);
      const told = await answer?.json().catch(() => null);
      if (answer?.ok) return told;
      this.problem = told?.error ?? "the server does not answer";
      return { times: [], values: [] };
    }));
    if (mine !== this.generation) return;
    this.loaded = performance.now();
    this.say();
    const tables = found.map((series) => [series.times, series.values]);
    this.data = tables.length ? uPlot.join(tables.map((t) => (t[0].length ? t : [[end], [null]]))) : [[end]];
    this.build();
  }

  now() {
    return (this.plant.scan?.time ?? Date.now()) / 1000;
  }

  build() {
    this.chart?.destroy();
    this.chart = null;
    const { plant, paths } = this, units = [...new Set(paths.map((path) => plant.get(path)?.unit ?? ""))];
    const text = colour("--dim"), line = colour("--line"), font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const axis = (unit, side) => {
      const path = paths.find((p) => (plant.get(p)?.unit ?? "") === unit) ?? "", most = digits(path, unit);
      return {
        scale: unit || "y", side, stroke: text, font, size: 52, grid: { show: side === 3, stroke: line, width: 1 }, ticks: { show: false },
        values: (_, splits, __, ___, step) => splits.map((v) => v.toFixed(Math.max(0, Math.min(most + 1, Math.ceil(-Math.log10(step)))))),
        space: this.height() < 150 ? 18 : 28,
      };
    };
    const scales = { x: { time: true, range: () => { const end = this.until ?? this.data[0].at(-1) ?? this.now(); return [end - this.seconds, end]; } } };
    for (const unit of units) scales[unit || "y"] = { range: (_, low, high) => padded(low, high, unit) };
    const options = {
      width: this.box.clientWidth, height: this.height(), legend: { show: false }, scales,
      cursor: { drag: { x: Boolean(this.onSelect), y: false, setScale: false }, points: { size: 6 } },
      hooks: { setCursor: [(chart) => this.say(chart.cursor.idx)], setSelect: [(chart) => this.selected(chart)] },
      padding: [8, units.length > 1 ? 0 : 12, 0, 0],
      axes: [{ size: 26, space: 80, stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, values: clockLabels }, ...units.slice(0, 2).map((unit, i) => axis(unit, i === 0 ? 3 : 1))],
      series: [{}, ...paths.map((path, i) => ({
        scale: (plant.get(path)?.unit ?? "") || "y", stroke: colour(COLOURS[i % MOST]), width: 1.5, spanGaps: false, points: { show: false },
      }))],
    };
    if (options.width > 0) this.chart = new uPlot(options, this.data, this.box);
    this.fit();
  }

  /** A stretch that was drawn with the mouse. */
  selected(chart) {
    const { left, width } = chart.select;
    if (width < 4 || !this.onSelect) return;
    const [from, to] = [left, left + width].map((x) => chart.posToVal(x, "x"));
    chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.onSelect(from, to);
  }

  /** Move the cursor by some samples; what it says then. */
  step(by) {
    const { chart, data } = this, n = data?.[0].length ?? 0;
    if (!chart || !n) return "";
    const from = chart.scales.x.min, first = data[0].findIndex((t) => t >= from), at = chart.cursor.idx ?? n;
    const idx = Math.max(first, Math.min(n - 1, at + by));
    chart.setCursor({ left: chart.valToPos(data[0][idx], "x"), top: 1 });
    this.say(idx);
    return [moment(data[0][idx] * 1000), ...this.paths.map((path, i) => `${title(path, this.plant.stacks.length)} ${this.caption.children[i].children[2].textContent}`)].join(", ");
  }

  height() {
    return Math.max(60, this.box.clientHeight);
  }

  /** Names and values: those under the cursor, else the newest. */
  say(at = null) {
    const items = this.caption.children;
    while (items.length > this.paths.length + 1) items[0].remove();
    while (items.length < this.paths.length + 1) this.caption.prepend(this.item());
    this.paths.forEach((path, i) => {
      const [swatch, name, value, away] = items[i].children, found = this.plant.get(path);
      swatch.style.background = `var(${COLOURS[i % MOST]})`;
      away?.setAttribute("aria-label", `Remove ${path}`);
      if (away) away.hidden = false;
      put(name, title(path, this.plant.stacks.length));
      const shown = at === null || at === undefined ? found?.value : this.data?.[i + 1]?.[at];
      put(value, shown === null || shown === undefined || Number.isNaN(shown) ? "–" : `${shown.toFixed(digits(path, found?.unit))} ${found?.unit ?? ""}`);
    });
    this.box.setAttribute("aria-label", `Curves of ${this.paths.map((path) => title(path, this.plant.stacks.length)).join(" and ") || "nothing"}`);
    const [swatch, when, , away] = items[this.paths.length].children, time = this.data?.[0]?.[at ?? -1];
    swatch.style.background = "none";
    put(when, time ? moment(time * 1000) : "");
    if (away) away.hidden = true;
  }

  item() {
    const out = make(this.remove ? "li" : "span", "curve");
    out.append(make("span", "swatch"), make("span"), make("b"));
    if (this.remove) {
      const away = make("button", "", "✕", { type: "button" });
      away.addEventListener("click", () => this.remove([...this.caption.children].indexOf(out)));
      out.append(away);
    }
    return out;
  }

  fit() {
    if (!this.box.clientWidth || !this.data) return;
    if (!this.chart) this.build();
    else if (this.chart.width !== this.box.clientWidth || this.chart.height !== this.height()) this.chart.setSize({ width: this.box.clientWidth, height: this.height() });
  }

  /** The values of this scan, at the end. */
  extend() {
    if (!this.data || !this.plant.scan || this.until !== null) return;
    const now = this.plant.scan.time / 1000, times = this.data[0];
    if (times.length && now <= times.at(-1)) return;
    if (performance.now() - this.loaded > REFRESH_MS) {
      this.loaded = performance.now();
      this.load();
      return;
    }
    times.push(now);
    this.paths.forEach((path, i) => {
      const found = this.plant.get(path);
      this.data[i + 1].push(found && found.quality.usable && !Number.isNaN(found.value) ? found.value : null);
    });
    let old = 0;
    while (times[old] < now - this.seconds - 60) old += 1;
    if (old) for (const column of this.data) column.splice(0, old);
    if (this.chart) this.chart.setData(this.data);
    if (!this.chart?.cursor.event) this.say(this.chart?.cursor.idx);
  }
}

function clockLabels(_, splits) {
  const long = splits.length > 1 && splits.at(-1) - splits[0] > 86400;
  return splits.map((s) => {
    const at = new Date(s * 1000), two = (n) => String(n).padStart(2, "0");
    const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
    if (splits.some((v) => v % 60)) return `${clock}:${two(at.getSeconds())}`;
    return long ? `${at.getDate()}.${at.getMonth() + 1}. ${clock}` : clock;
  });
}

function padded(low, high, unit) {
  if (low === null || low === undefined) return [0, 1];
  const least = { V: 0.01, "°C": 1, "%": 2, kW: 10, A: 10 }[unit] ?? 1;
  const middle = (low + high) / 2, half = Math.max((high - low) * 1.1, least) / 2;
  return [middle - half, middle + half];
}

/** The view in which anything can be looked at. */
export class Trends {
  constructor(plant) {
    this.plant = plant;
    this.chart = new Chart(plant, document.getElementById("trend-main"), ["BMS.StateOfCharge", "BMS.Power"], 900, document.getElementById("chosen"), (i) => {
      this.chart.paths = this.chart.paths.filter((_, k) => k !== i);
      this.load();
    });
    this.span = 900;
    this.chart.onSelect = (from, to) => this.show(to, Math.max(to - from, 5));
    document.getElementById("trend-main").addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -1e9, End: 1e9 }[event.key];
      if (!by) return;
      event.preventDefault();
      document.getElementById("said").textContent = this.chart.step(by);
    });
    const move = (share) => this.show((this.chart.until ?? this.chart.now()) + share * this.chart.seconds, this.chart.seconds);
    document.getElementById("trend-earlier").addEventListener("click", () => move(-0.5));
    document.getElementById("trend-later").addEventListener("click", () => move(0.5));
    document.getElementById("trend-live").addEventListener("click", () => this.show(null, this.span));
    const names = document.getElementById("value-names");
    names.append(...plant.paths.map((path) => new Option(title(path, plant.stacks.length), path)));
    document.getElementById("add-value").addEventListener("submit", (event) => {
      event.preventDefault();
      const input = document.getElementById("value-name"), path = input.value.trim();
      if (!plant.get(path)) this.complain(`there is no value ${path || "without a name"}`);
      else {
        this.add(path);
        input.value = "";
      }
    });
    for (const [text, seconds] of SPANS) {
      const button = make("button", "", text, { type: "button", "aria-pressed": String(seconds === 900) });
      button.addEventListener("click", () => {
        for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
        this.span = seconds;
        this.show(this.chart.until, seconds);
      });
      document.getElementById("spans").append(button);
    }
  }

  /** A stretch of time that ends then, or (null, and what is not over yet) now. */
  show(until, seconds) {
    const live = until === null || until >= this.chart.now();
    Object.assign(this.chart, { until: live ? null : until, seconds });
    document.getElementById("trend-live").setAttribute("aria-pressed", String(live));
    document.getElementById("trend-later").disabled = live;
    this.load();
  }

  /** Show a value beside those that share a scale with it, or alone. */
  open(path) {
    if (!this.chart.paths.includes(path)) this.chart.paths = [path];
    this.load();
  }

  add(path) {
    const { paths } = this.chart;
    if (paths.includes(path)) return;
    const units = new Set([...paths, path].map((p) => this.plant.get(p)?.unit));
    if (paths.length >= MOST) this.complain(`at most ${MOST} values at a time`);
    else if (units.size > 2) this.complain("at most two units at a time");
    else {
      this.chart.paths = [...paths, path];
      this.load();
    }
  }

  async load() {
    await this.chart.load();
    this.complain(this.chart.problem);
  }

  complain(text) {
    document.getElementById("trend-problem").textContent = text;
  }
}
