// What happened to alarms: from the journal, a page at a time.

import { amount, burst, describe } from "./alarms.js";
import { make, moment, put, two } from "./format.js";

const PAGE = 100, STORY = 1000, NEWS_MS = 1500;
const WHAT = {
  raised: "raised", cleared: "cleared", level: "other limit", quality: "source silent or back", acknowledged: "acknowledged",
  confirmed: "confirmed", commented: "comment", shelved: "shelved", unshelved: "unshelved", branched: "waits for an answer",
  released: "done", out_of_service: "out of service", in_service: "in service",
};
const by = (id) => document.getElementById(id);

export class Past {
  constructor(plant) {
    this.plant = plant;
    this.pages = [null]; // `before` of each page up to the one that is shown
    this.condition = null;
    this.next = null;
    this.generation = 0;
    this.body = by("past-table").tBodies[0];
    document.querySelector("[data-show=past]").hidden = !plant.journal;
    const places = [["BMS", "the plant as a whole"], ...plant.stacks.map((path, i) => [path, `Stack${i + 1}`])];
    if (plant.stacks.length < 2) places.splice(1);
    for (const cluster of plant.clusters) places.push([cluster.path, `${plant.stacks.length > 1 ? `Stack${cluster.stack} ` : ""}Cluster${two(cluster.number)}`]);
    by("past-source").append(...places.slice(1).map(([path, text]) => new Option(text, path)));
    by("past-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.again();
    });
    for (const id of ["past-from", "past-to", "past-source", "past-severity"]) by(id).addEventListener("change", () => this.again());
    by("past-older").addEventListener("click", () => {
      this.pages.push(this.next);
      this.load();
    });
    by("past-newer").addEventListener("click", () => {
      this.pages.pop();
      this.load();
    });
    by("past-all").addEventListener("click", () => this.choose(null));
  }

  /** From the newest page on. */
  again() {
    this.pages = [null];
    this.load();
  }

  /** Something has happened: show it, where nobody is reading or pointing at something older. */
  news() {
    const region = by("past-region"), inside = region !== document.activeElement && region.contains(document.activeElement);
    const reading = inside || region.matches(":hover") || region.scrollTop > 0 || this.pages.length > 1;
    if (!region.checkVisibility() || reading || by("past-to").value) return;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.load(), NEWS_MS);
  }

  choose(alarm) {
    this.condition = alarm?.id ?? null;
    by("past-one").hidden = !alarm;
    if (alarm) put(by("past-name"), `${alarm.label || alarm.id} · ${alarm.source.replace(/^BMS\.?/, "") || "BMS"}`);
    this.again();
  }

  query(more) {
    const seconds = (id) => (by(id).value ? new Date(by(id).value).getTime() / 1000 : null);
    const wanted = {
      start: seconds("past-from"), end: seconds("past-to"), source: by("past-source").value,
      severity: Number(by("past-severity").value) || null, condition: this.condition, ...more,
    };
    return new URLSearchParams(Object.entries(wanted).filter(([, value]) => value !== null && value !== ""));
  }

  async load() {
    const mine = (this.generation += 1);
    by("past-region").setAttribute("aria-busy", "true");
    by("past-file").href = `api/alarms/past.csv?${this.query({})}`;
    const told = await this.ask(this.query({ limit: PAGE, before: this.pages.at(-1) }));
    if (mine !== this.generation) return;
    by("past-region").setAttribute("aria-busy", "false");
    put(by("past-problem"), told.error ?? "");
    const rows = told.rows ?? [];
    this.next = told.next ?? null;
    this.body.replaceChildren(...rows.map((row) => this.makeRow(row)));
    by("past-region").scrollTop = 0;
    by("past-none").hidden = rows.length > 0 || Boolean(told.error);
    const first = (this.pages.length - 1) * PAGE;
    put(by("past-page"), rows.length ? `${first + 1} to ${first + rows.length}` : "");
    by("past-newer").disabled = this.pages.length < 2;
    by("past-older").disabled = this.next === null;
    if (this.condition) await this.story(mine);
  }

  async ask(query) {
    const answer = await fetch(`api/alarms/past?${query}`).catch(() => null);
    const told = await answer?.json().catch(() => null);
    return answer?.ok ? told : { error: told?.error ?? "the server does not answer" };
  }

  makeRow(row) {
    const tr = make("tr");
    tr.dataset.what = row.what;
    tr.dataset.look = look(row);
    const name = make("button", "value sev", row.message, { type: "button", title: "Only this alarm" });
    name.addEventListener("click", () => this.choose(row));
    const message = make("td", "msg");
    message.append(name, make("small", "told", burst(row)));
    const what = make("td", "what-text");
    what.append(make("i", "", undefined, { "data-look": look(row), "aria-hidden": "true" }), WHAT[row.what] ?? row.what.replaceAll("_", " "));
    tr.append(
      make("td", "time", moment(row.time)), what, make("td", "place", row.place), message,
      make("td", "n value", amount(row.value, row.unit)), make("td", "n limit", amount(row.limit, row.unit)),
      make("td", "state-text", describe(row)), make("td", "by", [row.user, row.comment && `“${row.comment}”`].filter(Boolean).join(" ")),
    );
    return tr;
  }

  /** The states of one condition over time, as a bar. */
  async story(mine) {
    const told = await this.ask(this.query({ limit: STORY }));
    if (mine !== this.generation || told.error) return;
    const rows = told.rows.filter((row) => !row.branch).reverse(), bar = by("past-bar");
    const until = by("past-to").value ? new Date(by("past-to").value).getTime() : this.plant.scan?.time ?? Date.now();
    const first = rows[0]?.time ?? until, span = Math.max(until - first, 1);
    let active = 0, times = 0;
    bar.replaceChildren(...rows.map((row, i) => {
      const end = rows[i + 1]?.time ?? until, rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      if (row.active) active += end - row.time;
      if (row.what === "raised") times += 1;
      rect.setAttribute("x", String(((row.time - first) / span) * 1000));
      rect.setAttribute("width", String(Math.max(((end - row.time) / span) * 1000, 0.7)));
      rect.setAttribute("height", "20");
      rect.dataset.look = look(row);
      return rect;
    }));
    put(by("past-first"), rows.length ? moment(first) : "");
    put(by("past-last"), rows.length ? moment(until) : "");
    bar.setAttribute("aria-label", rows.length ? `From ${moment(first)} to ${moment(until)}: raised ${times} times, active for ${lasting(active)} in all` : "Nothing happened");
  }
}

const look = (row) => (row.active ? (row.acked ? "acked" : "active") : row.acked ? "normal" : "cleared");

function lasting(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
