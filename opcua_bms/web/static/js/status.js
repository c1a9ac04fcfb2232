// Why something is not well, and what mends it.

import { age, make, put } from "./format.js";

const LEVELS = { online: "ok", missed: "warning", connecting: "warning", offline: "bad" };
const ORDER = { bad: 0, warning: 1, ok: 2 };
const by = (id) => document.getElementById(id);

export class Status {
  constructor(plant) {
    this.plant = plant;
    this.list = by("findings");
    this.body = by("devices").tBodies[0];
    this.count = by("status-count");
    this.rows = [];
    this.chosen = null;
    by("device-close").addEventListener("click", () => this.choose(null));
  }

  async load() {
    const answer = await fetch("api/status").catch(() => null);
    if (!answer?.ok) return;
    const found = await answer.json();
    found.sort((a, b) => ORDER[a.level] - ORDER[b.level]);
    const unwell = found.filter((f) => f.level !== "ok");
    this.count.hidden = !unwell.length;
    put(this.count, String(unwell.length));
    this.count.parentElement.setAttribute("aria-label", `Status, ${unwell.length} not well`);
    this.count.dataset.level = unwell.some((f) => f.level === "bad") ? "bad" : "warning";
    this.list.replaceChildren(...found.map((finding) => {
      const item = make("li"), part = make("span", "state", finding.part, { "data-level": finding.level });
      if (finding.level !== "ok") part.append(make("span", "unseen", finding.level === "bad" ? ", bad: " : ", warning: "));
      item.append(part, make("span", "", finding.text));
      if (finding.fix) item.append(make("span", "fix", finding.fix));
      return item;
    }));
    if (this.chosen !== null) await this.loadDevice();
  }

  draw() {
    const { devices } = this.plant;
    while (this.rows.length < devices.length) {
      const tr = make("tr"), name = make("th", "", undefined, { scope: "row" }), k = this.rows.length;
      const button = make("button", "value", "", { type: "button", title: "Show all that is counted of it" });
      button.addEventListener("click", () => this.choose(this.plant.devices[k].name));
      name.append(button);
      tr.append(name);
      for (let i = 1; i < 11; i += 1) tr.append(make("td", i >= 2 && i <= 9 ? "n" : ""));
      tr.children[1].append(make("span", "state"));
      this.body.append(tr);
      this.rows.push(tr);
    }
    devices.forEach((device, i) => {
      const [name, state, old, p50, p95, requests, timeouts, exceptions, late, out, error] = this.rows[i].children;
      put(name.firstChild, device.name);
      put(state.firstChild, device.frozen ? `${device.state}, frozen` : device.state);
      state.firstChild.dataset.level = device.frozen ? "bad" : LEVELS[device.state];
      put(old, age(device.age_s));
      put(p50, `${device.p50_ms.toFixed(1)} ms`);
      put(p95, `${device.p95_ms.toFixed(1)} ms`);
      put(requests, String(device.requests));
      put(timeouts, String(device.timeouts));
      put(exceptions, String(device.exceptions));
      put(late, `${device.late_ms.toFixed(0)} ms`);
      put(out, device.quarantined ? `${device.quarantined} ranges` : "");
      put(error, device.error);
    });
  }

  async choose(name) {
    const before = this.chosen;
    this.chosen = name;
    by("device-card").hidden = name === null;
    if (name === null) {
      this.rows[this.plant.devices.findIndex((device) => device.name === before)]?.querySelector("button").focus();
      return;
    }
    await this.loadDevice();
    by("device-title").focus();
    by("device-card").scrollIntoView({ block: "nearest" });
  }

  /** Everything that is counted of the chosen device. */
  async loadDevice() {
    const answer = await fetch("api/devices").catch(() => null);
    const device = answer?.ok ? (await answer.json()).find((one) => one.name === this.chosen) : null;
    if (!device) return;
    put(by("device-title"), `Device ${device.name}`);
    const pairs = [
      ["Faults since the start", Object.entries(device.faults).map(([kind, count]) => `${kind.replaceAll("_", " ")} ×${count}`).join(", ") || "none"],
      ["Left out, because it refuses them", device.refused.map((r) => `${r.table} ${r.address}${r.count > 1 ? ` to ${r.address + r.count - 1}` : ""}`).join(", ") || "nothing"],
      ["Scans left out, because the one before took too long", String(device.overruns)],
      ...(device.clock_offset_s === null ? [] : [["Its clock", `${Math.abs(device.clock_offset_s)} s ${device.clock_offset_s < 0 ? "behind" : "ahead"}`]]),
      ...Object.entries(device.says).map(([key, value]) => [key.charAt(0).toUpperCase() + key.slice(1).replaceAll("_", " "), value === null ? "–" : String(value)]),
    ];
    by("device-facts").replaceChildren(...pairs.flatMap(([name, text]) => [make("dt", "", name), make("dd", "", text)]));
    by("device-blocks").tBodies[0].replaceChildren(...device.blocks.map((block) => {
      const tr = make("tr");
      tr.append(
        make("th", "", `${block.table} ${block.address} to ${block.address + block.count - 1}`, { scope: "row" }), make("td", "", block.group),
        make("td", "n", age(block.age_s)), make("td", "n", `${block.p50_ms.toFixed(1)} ms`), make("td", "n", `${block.p95_ms.toFixed(1)} ms`),
        ...[block.requests, block.timeouts, block.exceptions].map((n) => make("td", "n", String(n))),
      );
      return tr;
    }));
  }
}
