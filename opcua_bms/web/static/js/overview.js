// The plant in a few numbers, and its extreme cells with their places.

import { make, number, put, two, words } from "./format.js";

const FACTS = [
  { title: "State", text: stateWords },
  { title: "State of charge", path: "BMS.StateOfCharge", note: (p) => note(p, "BMS.StateOfHealth", "health") },
  { title: "Power", path: "BMS.Power", note: direction },
  { title: "Bus voltage", path: "BMS.BusVoltage", note: breaker },
  { title: "Bus current", path: "BMS.BusCurrent", note: () => "positive: discharging" },
  { title: "Charge limit", path: "BMS.MaxChargePowerLimit", note: (p) => note(p, "BMS.ChargeableEnergy", "to take") },
  { title: "Discharge limit", path: "BMS.MaxDischargePowerLimit", note: (p) => note(p, "BMS.DischargeableEnergy", "to give") },
];
const EXTREMES = [
  ["Highest cell voltage", "BMS.MaxCellVoltage", "Cell"],
  ["Lowest cell voltage", "BMS.MinCellVoltage", "Cell"],
  ["Voltage difference", "BMS.CellVoltageSpread", ""],
  ["Highest temperature", "BMS.MaxCellTemperature", "Sensor"],
  ["Lowest temperature", "BMS.MinCellTemperature", "Sensor"],
];

export class Overview {
  constructor(plant, onValue) {
    this.plant = plant;
    this.facts = FACTS.map((fact) => {
      const box = make("div", "fact");
      const dd = make("dd", fact.text ? "text" : "");
      const small = make("small");
      box.append(make("dt", "", fact.title), dd, small);
      if (fact.path) dd.append(valueButton(fact.path, onValue));
      if (fact.path === "BMS.StateOfCharge") {
        this.meter = make("meter", "", "", { min: 0, max: 100, "aria-label": "State of charge" });
        box.insertBefore(this.meter, small);
      }
      document.getElementById("facts").append(box);
      return { ...fact, dd, small };
    });
    this.extremes = EXTREMES.map(([text, path, element]) => {
      const box = make("div", "extreme");
      const v = make("span", "v");
      v.append(valueButton(path, onValue));
      const where = make("span", "where");
      box.append(make("span", "what", text), v, where);
      document.getElementById("extremes").append(box);
      return { path, element, v, where };
    });
  }

  draw() {
    const plant = this.plant;
    for (const fact of this.facts) {
      if (fact.text) put(fact.dd, fact.text(plant));
      else show(fact.dd.firstChild, fact.path, plant);
      put(fact.small, fact.note ? fact.note(plant) : "");
    }
    const charge = plant.get("BMS.StateOfCharge");
    this.meter.value = Number.isNaN(charge?.value) ? 0 : charge.value;
    for (const { path, element, v, where } of this.extremes) {
      show(v.firstChild, path, plant);
      put(where, element ? place(plant, path, element) : average(plant));
    }
  }
}

export function valueButton(path, onValue) {
  const button = make("button", "value", "", { type: "button", "data-path": path, title: "Show a trend" });
  button.append(make("span", "num", "–"), make("span", "unit"));
  button.addEventListener("click", () => onValue(path));
  return button;
}

export function show(button, path, plant) {
  const found = plant.get(path);
  const [text, unit] = number(path, found);
  put(button.firstChild, text);
  put(button.lastChild, unit);
  const quality = found?.quality;
  const kind = !quality || !quality.usable ? "q-bad" : quality.good ? "" : "q-uncertain";
  const wanted = `value ${kind}`.trim();
  if (button.className !== wanted) {
    button.className = wanted;
    button.title = quality && !quality.good ? words(quality) : "Show a trend";
  }
}

function place(plant, path, element) {
  const at = (name) => plant.get(`${path}.${name}Index`)?.value;
  const [cluster, pack, cell] = [at("Cluster"), at("Pack"), at("Cell")];
  if (!cluster || Number.isNaN(cluster)) return "–";
  const parts = plant.stacks.length > 1 ? [`Stack${at("Stack")}`] : [];
  parts.push(`Cluster${two(cluster)}`);
  if (pack) parts.push(`Pack${two(pack)}`);
  if (cell) parts.push(`${element}${two(cell)}`);
  return parts.join(" ");
}

function average(plant) {
  const [text, unit] = number("BMS.AverageCellVoltage", plant.get("BMS.AverageCellVoltage"));
  return `average ${text} ${unit}`;
}

function note(plant, path, text) {
  const [value, unit] = number(path, plant.get(path));
  return value === "–" ? "" : `${value} ${unit} ${text}`;
}

function direction(plant) {
  const power = plant.get("BMS.Power");
  if (!power || Number.isNaN(power.value)) return "";
  return Math.abs(power.value) < 0.05 ? "idle" : power.value > 0 ? "discharging" : "charging";
}

function breaker(plant) {
  const found = plant.get("BMS.MainCircuitBreakerStatus");
  if (!found || Number.isNaN(found.value) || !found.quality.usable) return "";
  return found.value ? "main breaker closed" : "main breaker open";
}

function stateWords(plant) {
  const told = ["BMS.SystemState", "BMS.OperationStatus"].flatMap((path) => plant.bits(path) ?? []);
  if (told.length) return told.join(" · ");
  const power = direction(plant);
  return power ? power.charAt(0).toUpperCase() + power.slice(1) : plant.scan ? "Unknown" : "Waiting";
}
