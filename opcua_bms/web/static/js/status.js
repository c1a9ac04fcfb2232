// Why something is not well, and what mends it.

import { age, make, put } from "./format.js";

const LEVELS = { online: "ok", missed: "warning", connecting: "warning", offline: "bad" };
const ORDER = { bad: 0, warning: 1, ok: 2 };

export class Status {
  constructor(plant) {
    this.plant = plant;
    this.list = document.getElementById("findings");
    this.body = document.getElementById("devices").tBodies[0];
    this.count = document.getElementById("status-count");
    this.rows = [];
  }

  async load() {
    const answer = await fetch("api/status").catch(() => null);
    if (!answer?.ok) return;
    const found = await answer.json();
    found.sort((a, b) => ORDER[a.level] - ORDER[b.level]);
    const unwell = found.filter((f) => f.level !== "ok");
    this.count.hidden = !unwell.length;
    put(this.count, String(unwell.length));
    this.count.dataset.level = unwell.some((f) => f.level === "bad") ? "bad" : "warning";
    this.list.replaceChildren(...found.map((finding) => {
      const item = make("li");
      item.append(make("span", "state", finding.part, { "data-level": finding.level }), make("span", "", finding.text));
      if (finding.fix) item.append(make("span", "fix", finding.fix));
      return item;
    }));
  }

  draw() {
    const { devices } = this.plant;
    while (this.rows.length < devices.length) {
      const tr = make("tr");
      for (let i = 0; i < 9; i += 1) tr.append(make("td", i >= 2 && i <= 7 ? "n" : ""));
      tr.children[1].append(make("span", "state"));
      this.body.append(tr);
      this.rows.push(tr);
    }
    devices.forEach((device, i) => {
      const [name, state, old, p50, p95, requests, timeouts, exceptions, error] = this.rows[i].children;
      put(name, device.name);
      put(state.firstChild, device.frozen ? `${device.state}, frozen` : device.state);
      state.firstChild.dataset.level = device.frozen ? "bad" : LEVELS[device.state];
      put(old, age(device.age_s));
      put(p50, `${device.p50_ms.toFixed(1)} ms`);
      put(p95, `${device.p95_ms.toFixed(1)} ms`);
      put(requests, String(device.requests));
      put(timeouts, String(device.timeouts));
      put(exceptions, String(device.exceptions));
      put(error, device.error);
    });
  }
}
