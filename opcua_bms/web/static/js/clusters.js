// The clusters as a table, the widest spread on top; rows change places only now and then.

import { age, make, put, two } from "./format.js";
import { show, valueButton } from "./overview.js";

const REORDER_MS = 5000;
const COLUMNS = [
  { key: "name", title: "Cluster" },
  { key: "state", title: "State" },
  { key: "age", title: "Age", n: true },
  { key: "CellVoltageSpread", title: "Δ cells, mV", n: true },
  { key: "MaxCellVoltage", title: "Max cell, V", n: true },
  { key: "MinCellVoltage", title: "Min cell, V", n: true },
  { key: "Voltage", title: "Voltage, V", n: true },
  { key: "Current", title: "Current, A", n: true },
  { key: "StateOfCharge", title: "SOC, %", n: true },
  { key: "MaxCellTemperature", title: "Max, °C", n: true },
  { key: "alarms", title: "Alarms", n: true },
];
const LEVELS = { online: "ok", missed: "warning", connecting: "warning", offline: "bad", absent: "none" };

export class ClusterTable {
  constructor(plant, onValue, onCluster) {
    this.plant = plant;
    this.sort = { key: "CellVoltageSpread", down: true };
    this.ordered = -REORDER_MS;
    const table = document.getElementById("clusters");
    this.body = table.tBodies[0];
    const head = make("tr");
    this.heads = COLUMNS.map((column) => {
      const th = make("th", column.n ? "n" : "", undefined, { scope: "col" });
      const button = make("button", "sort", column.title, { type: "button" });
      button.append(make("span", "arrow", "", { "aria-hidden": "true" }));
      button.addEventListener("click", () => this.setSort(column.key));
      th.append(button);
      head.append(th);
      return th;
    });
    table.tHead.append(head);
    this.rows = plant.clusters.map((cluster, k) => {
      const tr = make("tr", "", undefined, { "data-cluster": cluster.path });
      const cells = {};
      for (const column of COLUMNS) {
        const td = make(column.key === "name" ? "th" : "td", column.n ? "n" : "");
        cells[column.key] = td;
        tr.append(td);
      }
      cells.name.scope = "row";
      const name = make("button", "value", (plant.stacks.length > 1 ? `Stack${cluster.stack} ` : "") + `Cluster${two(cluster.number)}`, { type: "button", title: "Show its cells and statistics" });
      name.addEventListener("click", () => onCluster(k));
      cells.name.append(name);
      cells.state.append(make("span", "state"));
      for (const column of COLUMNS) {
        if (/^[A-Z]/.test(column.key)) cells[column.key].append(valueButton(`${cluster.path}.${column.key}`, onValue));
      }
      this.body.append(tr);
      return { cluster, k, tr, cells };
    });
    this.showSort();
  }

  setSort(key) {
    this.sort = { key, down: this.sort.key === key ? !this.sort.down : key !== "name" };
    this.showSort();
    this.order();
  }

  showSort() {
    COLUMNS.forEach((column, i) => {
      const mine = column.key === this.sort.key;
      if (mine) this.heads[i].setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else this.heads[i].removeAttribute("aria-sort");
      this.heads[i].querySelector(".arrow").textContent = mine ? (this.sort.down ? "▾" : "▴") : "";
    });
  }

  /** Communication state of a cluster: that of its own device, else what the quality of its voltage says. */
  state(k) {
    const { plant } = this, cluster = plant.clusters[k];
    const quality = plant.get(`${cluster.path}.Voltage`)?.quality.name;
    if (!cluster.installed || quality === "absent") return "absent";
    const own = plant.devices.find((device) => device.clusters.includes(k)) ?? plant.devices.find((device) => !device.clusters.length);
    return own?.state ?? "connecting";
  }

  draw() {
    const { plant } = this, counts = new Map();
    for (const alarm of plant.alarms.values()) {
      if (!alarm.active) continue;
      const source = plant.clusters.find((c) => alarm.source === c.path || alarm.source.startsWith(`${c.path}.`));
      if (source) counts.set(source.path, (counts.get(source.path) ?? 0) + 1);
    }
    for (const row of this.rows) {
      const { cluster, cells } = row;
      row.state = this.state(row.k);
      const label = cells.state.firstChild;
      put(label, row.state);
      label.dataset.level = LEVELS[row.state];
      row.age = plant.get(`${cluster.path}.Age`)?.value ?? NaN;
      put(cells.age, age(row.age));
      row.alarms = counts.get(cluster.path) ?? 0;
      put(cells.alarms, row.alarms ? String(row.alarms) : "");
      for (const column of COLUMNS) {
        if (/^[A-Z]/.test(column.key)) show(cells[column.key].firstChild, `${cluster.path}.${column.key}`, plant);
      }
    }
    const busy = this.body.matches(":hover") || this.body.contains(document.activeElement);
    if (!busy && performance.now() - this.ordered > REORDER_MS) this.order();
  }

  order() {
    this.ordered = performance.now();
    const { key, down } = this.sort, sign = down ? -1 : 1;
    const value = (row) => {
      if (key === "name") return row.k;
      if (key === "state") return ["online", "absent", "connecting", "missed", "offline"].indexOf(row.state);
      if (key === "age" || key === "alarms") return row[key];
      const found = this.plant.get(`${row.cluster.path}.${key}`);
      if (!found?.quality.usable) return row.state === "absent" ? NaN : sign * -Infinity; // trouble stays on top
      return found.value;
    };
    const sorted = [...this.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.k - b.k;
      return x === y ? a.k - b.k : sign * (x - y);
    });
    sorted.forEach((row, i) => {
      if (this.body.children[i] !== row.tr) this.body.insertBefore(row.tr, this.body.children[i]);
    });
  }
}
