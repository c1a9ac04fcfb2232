// Every cell as a little rectangle on one canvas; only those that changed are drawn again.

import { age, make, put, two, words } from "./format.js";
import { ABSENT, BAD, BEYOND_HIGH, BEYOND_LOW, STEPS, UNDRAWN, paints } from "./palette.js";

const NONE = 65535;
const MODES = {
  voltage: { unit: "V", cells: true, step: 10000, zero: 0, digits: 3, least: 0.02, round: 0.005 },
  deviation: { unit: "mV", cells: true, step: 10, zero: 0, digits: 0, least: 10, round: 5 },
  temperature: { unit: "°C", cells: false, step: 100, zero: -100, digits: 1, least: 2, round: 0.5 },
};

export class HeatMap {
  constructor(plant, onTrend, onFocus) {
    this.plant = plant;
    this.onFocus = onFocus;
    this.onTrend = onTrend;
    this.canvas = document.getElementById("heat");
    this.box = document.getElementById("map");
    this.tip = document.getElementById("tip");
    this.readout = document.getElementById("readout");
    this.legend = document.getElementById("legend");
    this.select = document.getElementById("focus");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.mode = "voltage";
    this.focus = null;
    this.cursor = null;
    this.hover = null;
    this.range = null;
    this.buildLegend();
    plant.clusters.forEach((cluster, k) => this.select.append(new Option(this.clusterName(cluster), k)));
    this.select.addEventListener("change", () => this.setFocus(this.select.value === "" ? null : Number(this.select.value)));
    for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => this.setMode(button.dataset.mode));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event, true));
    this.canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.leave(); });
    this.canvas.addEventListener("dblclick", () => this.trend());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.leave());
    new ResizeObserver(() => this.resize()).observe(this.box);
  }

  clusterName(cluster) {
    return (this.plant.stacks.length > 1 ? `Stack${cluster.stack} ` : "") + `Cluster${two(cluster.number)}`;
  }

  setMode(mode) {
    this.mode = mode;
    for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    this.range = null;
    this.cursor = null;
    this.leave();
    this.resize();
  }

  setFocus(cluster) {
    this.focus = cluster;
    this.select.value = cluster === null ? "" : String(cluster);
    this.cursor = null;
    this.leave();
    this.resize();
    this.onFocus(cluster);
  }

  restyle() {
    this.paint = null;
    this.buildLegend();
    this.resize();
  }

  // ---- geometry, in device pixels

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.box.clientWidth * ratio), height = Math.round(this.box.clientHeight * ratio);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.ratio = ratio;
    this.place(width, height);
    this.draw(true);
  }

  place(width, height) {
    const { plant, ratio } = this, cells = MODES[this.mode].cells;
    const count = (pack) => (cells ? pack.cells : pack.sensors);
    const start = (pack) => (cells ? pack.cell0 : plant.nCells + pack.sensor0);
    const shown = this.focus === null ? plant.clusters.map((_, k) => k) : [this.focus];
    const most = Math.max(1, ...shown.flatMap((k) => plant.clusters[k].packs.map(count)));
    const packs = Math.max(1, ...shown.map((k) => plant.clusters[k].packs.length));
    const gutter = Math.round((this.focus === null ? 26 : 4) * ratio), gap = Math.max(2, Math.round((width > 700 * ratio ? 4 : 1.5) * ratio));
    const wrap = this.focus === null ? packs : Math.max(1, Math.round(Math.sqrt(packs * width / height / 1.2)));
    const lines = this.focus === null ? shown.length : Math.ceil(packs / wrap);
    const head = this.focus === null ? 0 : Math.round(14 * ratio);
    const blockWidth = (width - gutter) / wrap - gap, blockHeight = height / lines - gap - head;
    let rows = 1, best = Infinity;
    for (let r = 1; r <= most; r += 1) {
      const c = Math.ceil(most / r), ugly = Math.abs(Math.log((blockWidth / c) / (blockHeight / r) / 1.15)) + 0.02 * (c * r - most);
      if (ugly < best) [best, rows] = [ugly, r];
    }
    const columns = Math.ceil(most / rows);
    this.blocks = [];
    this.labels = [];
    shown.forEach((k, line) => {
      const cluster = plant.clusters[k];
      if (this.focus === null) {
        this.labels.push({ text: two(cluster.number), x: 2 * ratio, y: (line + 0.5) * (height / lines), middle: true });
      }
      cluster.packs.forEach((pack, p) => {
        const x = gutter + (p % wrap) * (blockWidth + gap), y = (this.focus === null ? line : Math.floor(p / wrap)) * (blockHeight + gap + head) + head;
        if (this.focus !== null) this.labels.push({ text: `Pack${two(p + 1)}`, x, y: y - 3 * ratio });
        this.blocks.push({ cluster: k, pack: p, start: start(pack), count: count(pack), x, y, w: blockWidth / columns, h: blockHeight / rows, columns, rows });
      });
    });
    this.drawn = new Uint8Array(plant.nCells + plant.nSensors).fill(UNDRAWN);
    this.order = this.blocks.flatMap((block) => Array.from({ length: block.count }, (_, i) => [block, i]));
  }

  box4(block, i) {
    const column = i % block.columns, row = Math.floor(i / block.columns);
    const x0 = Math.round(block.x + column * block.w), x1 = Math.round(block.x + (column + 1) * block.w);
    const y0 = Math.round(block.y + row * block.h), y1 = Math.round(block.y + (row + 1) * block.h);
    const line = block.w >= 3.5 && block.h >= 3.5 ? 1 : 0;
    return [x0, y0, Math.max(1, x1 - x0 - line), Math.max(1, y1 - y0 - line)];
  }

  // ---- colours

  colours() {
    this.paint ??= { ...paints(this.context, this.ratio, this.mode === "deviation"), mode: this.mode };
    return this.paint;
  }

  buildLegend() {
    this.legend.replaceChildren();
    this.low = make("span", "low");
    this.bar = make("canvas", "", undefined, { width: 256, height: 12 });
    this.high = make("span");
    this.keys = [[BEYOND_LOW, "lower"], [BEYOND_HIGH, "higher"], [BAD, "no value"]].map(([look, text]) => {
      const key = make("canvas", "key", undefined, { width: 18, height: 14 });
      const pair = make("span", "word");
      pair.append(key, text);
      return { look, key, pair };
    });
    this.legend.append(this.low, this.bar, this.high, ...this.keys.map(({ pair }) => pair));
  }

  drawLegend() {
    const mode = MODES[this.mode], { all } = this.colours(), [low, high] = this.range ?? [0, 1];
    put(this.low, low.toFixed(mode.digits));
    put(this.high, `${high.toFixed(mode.digits)} ${mode.unit}`);
    const context = this.bar.getContext("2d");
    for (let i = 0; i < STEPS; i += 1) {
      context.fillStyle = all[i];
      context.fillRect(i * 4, 0, 4, 12);
    }
    for (const { look, key } of this.keys) {
      const pen = key.getContext("2d");
      pen.fillStyle = all[look];
      pen.fillRect(0, 0, 18, 14);
    }
  }

  // ---- values

  /** Numbers to be shown, in steps, for all elements; NaN where there is none. */
  numbers() {
    const { plant } = this, mode = MODES[this.mode], n = plant.raw.length;
    this.buffer ??= new Float32Array(n);
    const out = this.buffer;
    if (this.mode === "deviation") {
      for (const cluster of plant.clusters) {
        const first = cluster.packs[0], last = cluster.packs.at(-1);
        if (!first) continue;
        let sum = 0, used = 0;
        const end = last.cell0 + last.cells;
        for (let k = first.cell0; k < end; k += 1) {
          if (plant.raw[k] !== NONE && plant.qualities[plant.rawQuality[k]].usable) { sum += plant.raw[k]; used += 1; }
        }
        const average = used ? sum / used : NaN;
        for (let k = first.cell0; k < end; k += 1) out[k] = plant.raw[k] === NONE ? NaN : (plant.raw[k] - average) / mode.step;
      }
      return out;
    }
    const [from, to] = mode.cells ? [0, plant.nCells] : [plant.nCells, n];
    for (let k = from; k < to; k += 1) out[k] = plant.raw[k] === NONE ? NaN : plant.raw[k] / mode.step + mode.zero;
    return out;
  }

  /** Ends of the scale: all but the outermost of the cells, in round numbers, and calm. */
  findRange(values) {
    const mode = MODES[this.mode], [from, to] = mode.cells ? [0, this.plant.nCells] : [this.plant.nCells, values.length];
    const known = Float32Array.from(values.subarray(from, to).filter((v) => !Number.isNaN(v))).sort();
    if (!known.length) return this.range ?? [mode.zero, mode.zero + mode.least];
    const cut = Math.floor(known.length * 0.002);
    let low = known[cut], high = known[known.length - 1 - cut];
    if (this.mode === "deviation") {
      high = Math.max(Math.abs(low), Math.abs(high), mode.least);
      low = -high;
    }
    const middle = (low + high) / 2, half = Math.max(high - low, mode.least) / 2 * 1.1;
    low = Math.floor((middle - half) / mode.round) * mode.round;
    high = Math.ceil((middle + half) / mode.round) * mode.round;
    const old = this.range;
    if (old) {
      const span = high - low, oldSpan = old[1] - old[0];
      const inside = known[cut] >= old[0] && known[known.length - 1 - cut] <= old[1];
      if (inside && span > oldSpan * 0.5) return old;
    }
    return [low, high];
  }

  draw(everything = false) {
    if (!this.blocks || !this.plant.scan) return;
    if (this.paint && this.paint.mode !== this.mode) this.paint = null;
    const { plant, context, drawn } = this, paint = this.colours(), values = this.numbers();
    const range = this.findRange(values);
    if (!this.range || range[0] !== this.range[0] || range[1] !== this.range[1]) {
      this.range = range;
      everything = true;
    }
    if (everything) {
      context.fillStyle = paint.card;
      context.fillRect(0, 0, this.canvas.width, this.canvas.height);
      context.fillStyle = paint.text;
      context.font = `${Math.round(11 * this.ratio)}px ${paint.font}`;
      for (const label of this.labels) {
        context.textBaseline = label.middle ? "middle" : "alphabetic";
        context.fillText(label.text, label.x, label.y);
      }
      drawn.fill(UNDRAWN);
      this.drawLegend();
    }
    const [low, high] = range, scale = (STEPS - 1) / (high - low), groups = new Map();
    for (const block of this.blocks) {
      for (let i = 0; i < block.count; i += 1) {
        const k = block.start + i, look = this.look(k, values[k], low, high, scale);
        if (drawn[k] === look) continue;
        drawn[k] = look;
        let group = groups.get(look);
        if (!group) groups.set(look, (group = []));
        group.push(block, i);
      }
    }
    for (const [look, group] of groups) {
      context.fillStyle = paint.all[look];
      for (let j = 0; j < group.length; j += 2) {
        const [x, y, w, h] = this.box4(group[j], group[j + 1]);
        context.fillRect(x, y, w, h);
      }
    }
    this.mark();
    if (this.hover !== null) this.tell(this.hover, false);
  }

  look(k, value, low, high, scale) {
    const quality = this.plant.qualities[this.plant.rawQuality[k]];
    if (quality.name === "absent" || quality.name === "not_supported") return ABSENT;
    if (!quality.usable || Number.isNaN(value)) return BAD;
    if (value < low && quality.good) return BEYOND_LOW;
    if (value > high && quality.good) return BEYOND_HIGH;
    const step = Math.max(0, Math.min(STEPS - 1, Math.round((value - low) * scale)));
    return quality.good ? step : STEPS + step;
  }

  // ---- pointing

  find(k) {
    const block = this.blocks.find((b) => k >= b.start && k < b.start + b.count);
    return block ? [block, k - block.start] : null;
  }

  mark() {
    const old = this.marked;
    this.marked = this.cursor;
    if (old !== null && old !== undefined && old !== this.cursor) this.repaint(old);
    if (this.cursor === null) return;
    const at = this.find(this.cursor);
    if (!at) return;
    const [x, y, w, h] = this.box4(...at);
    this.context.strokeStyle = this.colours().focus;
    this.context.lineWidth = Math.max(2, 1.5 * this.ratio);
    this.context.strokeRect(x - 1, y - 1, w + 2, h + 2);
  }

  repaint() {
    this.marked = null;
    this.draw(true);
  }

  point(event, touch = false) {
    const bounds = this.canvas.getBoundingClientRect();
    const x = (event.clientX - bounds.left) * this.ratio, y = (event.clientY - bounds.top) * this.ratio;
    const k = this.at(x, y);
    if (k === null) {
      if (!touch) this.leave();
      return;
    }
    this.hover = k;
    this.tell(k, touch);
    this.tip.hidden = false;
    const width = this.tip.offsetWidth, left = event.clientX - bounds.left;
    this.tip.style.left = `${Math.max(0, Math.min(left + 14, bounds.width - width - 4))}px`;
    const top = event.clientY - bounds.top, below = top + 18 + this.tip.offsetHeight < bounds.height;
    this.tip.style.top = `${below ? top + 18 : Math.max(0, top - this.tip.offsetHeight - 12)}px`;
  }

  at(x, y) {
    for (const block of this.blocks ?? []) {
      const column = Math.floor((x - block.x) / block.w), row = Math.floor((y - block.y) / block.h);
      if (column < 0 || row < 0 || column >= block.columns || row >= block.rows) continue;
      const i = row * block.columns + column;
      return i < block.count ? block.start + i : null;
    }
    return null;
  }

  leave() {
    this.hover = null;
    this.tip.hidden = true;
  }

  name(k) {
    const [block, i] = this.find(k) ?? [null, 0];
    if (!block) return "";
    return `${this.clusterName(this.plant.clusters[block.cluster])} Pack${two(block.pack + 1)} ${k < this.plant.nCells ? "Cell" : "Sensor"}${two(i + 1)}`;
  }

  path(k) {
    const [block, i] = this.find(k), cell = k < this.plant.nCells;
    return `${this.plant.clusters[block.cluster].path}.Pack${two(block.pack + 1)}.${cell ? "Cell" : "Sensor"}${two(i + 1)}.${cell ? "Voltage" : "Temperature"}`;
  }

  tell(k, aloud) {
    const found = this.plant.element(k), name = this.name(k);
    if (!name) return;
    const bare = Number.isNaN(found.value) || !found.quality.usable;
    const value = bare ? "no value" : `${found.value.toFixed(found.unit === "V" ? 3 : 1)} ${found.unit}`;
    const parts = [words(found.quality), `${age(found.age)} old`];
    if (!bare && this.mode === "deviation") parts.unshift(`${this.buffer[k] >= 0 ? "+" : "−"}${Math.abs(this.buffer[k]).toFixed(1)} mV`);
    this.tip.replaceChildren(make("b", "", value), name, make("br"), parts.join(" · "));
    if (aloud || this.cursor === k) put(this.readout, `${name}: ${value}, ${parts.join(", ")}`);
  }

  key(event) {
    const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    if (event.key === "Enter" && this.cursor !== null) {
      this.hover = this.cursor;
      this.trend();
      return;
    }
    if (event.key === "Escape") {
      this.cursor = null;
      this.repaint();
      return;
    }
    const move = moves[event.key];
    if (!move || !this.blocks?.length) return;
    event.preventDefault();
    if (this.cursor === null) this.cursor = this.blocks[0].start;
    else {
      const [block, i] = this.find(this.cursor), [x, y, w, h] = this.box4(block, i);
      const reach = [w / 2 + 3 * this.ratio, h / 2 + 3 * this.ratio];
      for (let far = 1; far < 40; far += 1) {
        const k = this.at(x + w / 2 + move[0] * (reach[0] + far * block.w * 0.5), y + h / 2 + move[1] * (reach[1] + far * block.h * 0.5));
        if (k !== null && k !== this.cursor) {
          this.cursor = k;
          break;
        }
      }
    }
    this.tell(this.cursor, true);
    this.mark();
  }

  trend() {
    if (this.hover !== null) this.onTrend(this.path(this.hover));
  }
}
