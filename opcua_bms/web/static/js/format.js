// Numbers and times as an operator reads them.

export const two = (n) => String(n).padStart(2, "0");

export function digits(path, unit) {
  if (unit === "V") return /Cell\w*Voltage|Cell\d+\.Voltage$/.test(path) ? 3 : 1;
  if (unit === "°C/min" || path.endsWith("TemperatureMedianAbsoluteDeviation")) return 2;
  if (unit === "mV/min" || path.endsWith("Outlier")) return 1;
  if (unit === "A" || unit === "kW" || unit === "%" || unit === "°C" || unit === "s") return 1;
  if (unit === "kW·h") return 0;
  return 0;
}

/** Text and unit of a value; spreads and deviations of cell voltages in mV, scores in standard deviations. */
export function number(path, found) {
  if (!found || Number.isNaN(found.value) || !found.quality.usable) return ["–", found?.unit ?? ""];
  if (found.unit === "V" && path.endsWith("CellVoltageSpread")) return [(found.value * 1000).toFixed(0), "mV"];
  if (path.endsWith("CellVoltageMedianAbsoluteDeviation")) return [(found.value * 1000).toFixed(1), "mV"];
  return [found.value.toFixed(digits(path, found.unit)), path.endsWith("Outlier") ? "σ" : found.unit];
}

export function age(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const clock = (ms) => clockFormat.format(ms);
export const moment = (ms) => (ms ? (Date.now() - ms < 64800000 ? clockFormat : dayFormat).format(ms) : "–");

export const words = (quality) => quality.name.replaceAll("_", " ");

/** `BMS.Stack1.Cluster03.MaxCellVoltage` → `Cluster03 · Max cell voltage`. */
export function title(path, stacks) {
  const parts = path.split(".").slice(1);
  if (stacks < 2 && parts[0]?.startsWith("Stack") && parts.length > 2) parts.shift();
  const last = parts.pop() ?? "";
  const spoken = last.replace(/([a-z])([A-Z0-9])/g, "$1 $2").toLowerCase();
  const name = spoken.charAt(0).toUpperCase() + spoken.slice(1);
  return parts.length ? `${parts.join(" ")} · ${name}` : name;
}

/** Element with class, text and attributes. */
export function make(tag, className, text, attributes = {}) {
  const out = document.createElement(tag);
  if (className) out.className = className;
  if (text !== undefined) out.textContent = text;
  for (const [name, value] of Object.entries(attributes)) out.setAttribute(name, value);
  return out;
}

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
