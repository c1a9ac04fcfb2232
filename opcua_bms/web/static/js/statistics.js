// What the cells of the cluster in view say together and over time.

import { age, make, number, put, two, words } from "./format.js";
import { show, valueButton } from "./overview.js";

const QUANTITIES = [
  { title: "Cell voltage", of: "CellVoltage", element: "Cell", low: "WeakestCellVoltage", high: "StrongestCellVoltage", lowest: "Weakest cell", highest: "Strongest cell", unusual: "Most unusual cell" },
  { title: "Temperature", of: "CellTemperature", element: "Sensor", low: "ColdestCellTemperature", high: "HottestCellTemperature", lowest: "Coldest", highest: "Hottest", unusual: "Most unusual" },
];
const FOUND = /Count$|Off$|Wires$/; // zero of them is well

const lines = ({ of, low, high, lowest, highest, unusual }) => [
  { text: lowest, name: low, since: true },
  { text: highest, name: high, since: true },
  { text: unusual, name: `Worst${of}Outlier` },
  { text: "Outliers", name: `${of}OutlierCount` },
  { text: "Fastest change", name: `Fastest${of}Change` },
  { text: "Widest pack", name: `LargestPack${of}Spread` },
  { text: "Median", name: `Median${of}` },
  { text: "Median deviation", name: `${of}MedianAbsoluteDeviation` },
  { text: "Inputs off", name: `${of}SensorsOff` },
  { text: "Open wires", name: `${of}OpenWires` },
];

export class Statistics {
  constructor(plant, onValue) {
    this.plant = plant;
    this.onValue = onValue;
    this.card = document.getElementById("statistics");
    this.cluster = null;
    this.groups = [];
  }

  /** Show a cluster of the plant; null: none. */
  choose(k) {
    this.cluster = k === null ? null : this.plant.clusters[k];
    const body = document.getElementById("statistics-body");
    this.groups = this.cluster ? QUANTITIES.map((quantity) => this.group(quantity)) : [];
    body.replaceChildren(...this.groups.map(({ box }) => box));
    if (this.cluster) {
      const stack = this.plant.stacks.length > 1 ? `Stack${this.cluster.stack} ` : "";
      put(document.getElementById("statistics-title"), `Statistics of ${stack}Cluster${two(this.cluster.number)}`);
      body.append(this.packs());
    }
    this.draw();
  }

  group(quantity) {
    const box = make("section"), list = make("dl", "figures");
    box.append(make("h3", "", quantity.title), list);
    const shown = lines(quantity).filter(({ name }) => this.plant.index.has(this.path(name))).map((line) => {
      const item = make("div"), dd = make("dd"), where = make("dd", "where");
      dd.append(valueButton(this.path(line.name), this.onValue));
      item.append(make("dt", "", line.text), dd, where);
      list.append(item);
      return { ...line, item, dd, where };
    });
    return { box, lines: shown, element: quantity.element };
  }

  packs() {
    const box = make("section"), list = make("ul", "packs");
    box.append(make("h3", "", "Highest less lowest of each pack"), list);
    this.spreads = this.cluster.packs.map((pack, p) => {
      const item = make("li"), volts = make("span", "n"), degrees = make("span", "n");
      item.append(make("span", "pack", `Pack${two(p + 1)}`), volts, degrees);
      list.append(item);
      return { pack, volts, degrees };
    });
    return box;
  }

  path(name) {
    return `${this.cluster.path}.Statistics.${name}`;
  }

  draw() {
    const { plant } = this;
    let any = false;
    for (const { box, lines, element } of this.groups) {
      let some = false;
      for (const line of lines) {
        const path = this.path(line.name), found = plant.get(path);
        line.item.hidden = found.quality.name === "not_supported";
        if (line.item.hidden) continue;
        some = true;
        show(line.dd.firstChild, path, plant);
        line.item.classList.toggle("found", FOUND.test(line.name) && found.quality.usable && found.value > 0);
        put(line.where, this.remark(line, path, found, element));
      }
      box.hidden = !some;
      any ||= some;
    }
    this.card.hidden = !any;
    if (!any) return;
    for (const { pack, volts, degrees } of this.spreads) {
      this.spread(volts, pack.cell0, pack.cells, "CellVoltageSpread");
      this.spread(degrees, plant.nCells + pack.sensor0, pack.sensors, "CellTemperatureSpread");
    }
  }

  /** Place, how long, and why a value is not good. */
  remark({ since }, path, found, element) {
    const usable = (name) => {
      const more = this.plant.get(`${path}.${name}`);
      return more?.quality.usable && !Number.isNaN(more.value) ? more.value : null;
    };
    const parts = [], pack = usable("PackIndex"), cell = usable("CellIndex"), seconds = since ? usable("Duration") : null;
    if (found.quality.usable && pack) {
      parts.push(`Pack${two(pack)}`);
      if (cell) parts.push(`${element}${two(cell)}`);
      if (seconds !== null) parts.push(`for ${lasting(seconds)}`);
    }
    if (!found.quality.good) parts.push(parts.length ? `· ${words(found.quality)}` : words(found.quality));
    return parts.join(" ");
  }

  /** Of `count` elements from `start`, by the readings that the map shows. */
  spread(element, start, count, path) {
    const { plant } = this;
    let low = Infinity, high = -Infinity, unit = "", worst = null;
    for (let k = start; k < start + count; k += 1) {
      const one = plant.element(k);
      unit = one.unit;
      if (one.quality.name === "absent" || one.quality.name === "not_supported") continue;
      if (!one.quality.good) worst ??= one.quality;
      if (!one.quality.good || Number.isNaN(one.value)) continue;
      low = Math.min(low, one.value);
      high = Math.max(high, one.value);
    }
    const none = high < low;
    const [text, shown] = number(path, none ? null : { value: high - low, unit, quality: { usable: true } });
    put(element, count ? `${text} ${none ? "" : shown}`.trim() : "");
    const kind = none ? "n q-bad" : worst ? "n q-uncertain" : "n";
    if (element.className !== kind) {
      element.className = kind;
      element.title = worst ? words(worst) : "";
    }
  }
}

const lasting = (seconds) => (seconds < 100 ? `${seconds.toFixed(0)} s` : age(seconds));
