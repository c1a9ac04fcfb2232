// What wants attention, and an operator's answer to it.

import { make, moment, put } from "./format.js";
import { session } from "./session.js";

const MOST_ROWS = 500, BRIEF_ROWS = 30;

export class Alarms {
  constructor(plant, ask, past) {
    this.plant = plant;
    this.ask = ask;
    this.past = past;
    this.which = "open";
    this.rows = new Map();
    this.body = document.getElementById("alarm-table").tBodies[0];
    this.brief = document.getElementById("alarm-brief");
    this.briefs = new Map();
    this.none = document.getElementById("alarm-none");
    this.count = document.getElementById("alarm-count");
    for (const button of document.querySelectorAll("[data-show]")) {
      button.addEventListener("click", () => {
        this.which = button.dataset.show;
        const past = this.which === "past";
        document.getElementById("alarm-open").hidden = past;
        document.getElementById("alarm-past").hidden = !past;
        if (past) this.past.again();
        for (const other of document.querySelectorAll("[data-show]")) other.setAttribute("aria-pressed", String(other === button));
        this.draw(true);
      });
    }
    session.addEventListener("change", () => this.draw(true));
  }

  sorted() {
    const rank = (a) => (a.active ? 2 : 0) + (a.acked ? 0 : 1);
    return [...this.plant.alarms.entries()].sort(([, a], [, b]) => rank(b) - rank(a) || b.severity - a.severity || b.time - a.time);
  }

  draw(tableShown) {
    const all = this.sorted();
    const open = all.filter(([, a]) => a.shelved === "unshelved" && !a.suppressed);
    const unanswered = open.filter(([, a]) => !a.acked).length;
    this.count.hidden = open.length === 0;
    put(this.count, String(open.length));
    this.count.dataset.level = unanswered ? "bad" : "warning";
    this.count.parentElement.setAttribute("aria-label", `Alarms, ${open.length} open, ${unanswered} not acknowledged`);
    this.drawBrief(open.slice(0, BRIEF_ROWS), open.length);
    document.getElementById("alarm-hint").hidden = session.operates || this.which === "past";
    if (!tableShown || this.which === "past") return;
    const shown = (this.which === "open" ? open : this.which === "unacked" ? open.filter(([, a]) => !a.acked) : all.filter(([, a]) => a.shelved !== "unshelved")).slice(0, MOST_ROWS);
    reconcile(this.body, this.rows, shown, () => this.makeRow(), (row, alarm) => this.fill(row, alarm));
    this.none.hidden = shown.length > 0;
    put(this.none, this.which === "open" ? "No alarms." : this.which === "unacked" ? "Everything is acknowledged." : "Nothing is shelved.");
  }

  drawBrief(rows, total) {
    reconcile(this.brief, this.briefs, rows, () => {
      const box = make("div", "brief");
      box.append(make("span", "t"), make("span", "m"), make("small"));
      return box;
    }, (box, alarm) => {
      box.dataset.state = alarm.active ? "active" : "cleared";
      put(box.firstChild, moment(alarm.since || alarm.time));
      put(box.children[1], alarm.message);
      put(box.children[2], [alarm.branch && "earlier", !alarm.acked && "not acknowledged", burst(alarm)].filter(Boolean).join(", "));
    });
    let rest = this.brief.querySelector(".none");
    if (!rest) this.brief.append((rest = make("p", "none")));
    rest.hidden = total > 0 && total <= rows.length;
    put(rest, total ? `and ${total - rows.length} more` : "No alarms.");
    this.brief.append(rest);
  }

  makeRow() {
    const tr = make("tr");
    for (const name of ["time", "place", "msg", "n value", "n limit", "state-text", "act"]) tr.append(make("td", name));
    return tr;
  }

  fill(tr, alarm) {
    const [time, place, message, value, limit, state, act] = tr.children;
    tr.dataset.state = alarm.active ? "active" : "cleared";
    tr.dataset.acked = String(alarm.acked);
    tr.dataset.id = alarm.id;
    tr.dataset.branch = alarm.branch;
    put(time, moment(alarm.since || alarm.time));
    put(place, alarm.place);
    if (!message.firstChild) message.append(make("span", "sev"), make("small", "earlier"), make("small"), make("small", "told"));
    put(message.firstChild, alarm.message);
    put(message.children[1], alarm.branch ? " earlier, before it was raised again" : "");
    put(message.children[2], alarm.comment ? ` “${alarm.comment}” ${alarm.user}` : "");
    put(message.lastChild, burst(alarm));
    put(value, amount(alarm.value, alarm.unit));
    put(limit, amount(alarm.limit, alarm.unit));
    put(state, describe(alarm));
    const wanted = session.operates ? actions(alarm) : [];
    const key = wanted.join();
    if (act.dataset.key !== key) {
      act.dataset.key = key;
      act.replaceChildren(...wanted.map((command) => {
        const button = make("button", command === "Acknowledge" ? "" : "quiet", SHORT[command] ?? command, { type: "button", "data-command": command });
        button.addEventListener("click", () => this.ask(command, this.current(tr)));
        return button;
      }));
    }
  }

  current(tr) {
    return [...this.rows].find(([, row]) => row === tr)?.[0] ?? "";
  }
}

const SHORT = { TimedShelve: "Shelve…" };

function actions(alarm) {
  const out = [];
  if (!alarm.acked) out.push("Acknowledge");
  else if (!alarm.confirmed) out.push("Confirm");
  if (alarm.branch) return out;
  if (alarm.latched && !alarm.active) out.push("Reset");
  out.push(alarm.shelved === "unshelved" ? "TimedShelve" : "Unshelve");
  return out;
}

export function describe(alarm) {
  const parts = [alarm.active ? "active" : alarm.latched ? "latched" : "cleared"];
  parts.push(alarm.acked ? (alarm.confirmed ? "acknowledged" : "to confirm") : "not acknowledged");
  if (!alarm.good) parts.push("source silent");
  if (alarm.shelved === "timed") parts.push(`shelved until ${moment(alarm.unshelve_at)}`);
  else if (alarm.shelved === "one_shot") parts.push("shelved until it clears");
  if (alarm.suppressed) parts.push("suppressed");
  return parts.join(", ");
}

/** Which of a burst it was, and how often it was told again without being mended. */
export function burst(alarm) {
  const times = alarm.repeats === 1 ? "once" : `${alarm.repeats} times`;
  return [alarm.first_out && "first in its group", alarm.repeats && `told again ${times}`].filter(Boolean).join(", ");
}

export function amount(value, unit) {
  if (value === null) return "";
  if (unit === "V") return `${value.toFixed(3)} V`;
  return `${Number(value.toFixed(2))} ${unit}`.trim();
}

/** Keep one element per key, in order, without touching those that stay. */
function reconcile(parent, known, wanted, create, fill) {
  const keys = new Set(wanted.map(([key]) => key));
  for (const [key, element] of known) {
    if (!keys.has(key)) {
      element.remove();
      known.delete(key);
    }
  }
  wanted.forEach(([key, row], i) => {
    let element = known.get(key);
    if (!element) known.set(key, (element = create()));
    fill(element, row);
    if (parent.children[i] !== element) parent.insertBefore(element, parent.children[i] ?? null);
  });
}
