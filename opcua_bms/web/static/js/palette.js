// Colours of the map: by value, and for cells that have none.

import { make } from "./format.js";

export const STEPS = 64;
// what a cell looks like: 0…63 good, +64 an old or doubtful value, then
export const BEYOND_LOW = 128, BEYOND_HIGH = 129, BAD = 130, ABSENT = 131, UNDRAWN = 255;
const SEQUENTIAL = ["#2b1a6b", "#2f4f93", "#2d7d92", "#35a57f", "#86c85a", "#f2e24a"];
const DIVERGING = { light: ["#2166ac", "#92c0de", "#e9ecee", "#f3b184", "#b2541a"], dark: ["#6fb1ee", "#3f6f9c", "#2c363f", "#a5693b", "#f2a765"] };

/** Fill styles by look, and the page's own colours, as the theme has them now. */
export function paints(context, ratio, diverging) {
  const style = getComputedStyle(document.documentElement);
  const probe = (name) => {
    const element = make("i");
    element.style.color = `var(${name})`;
    document.body.append(element);
    const colour = getComputedStyle(element).color;
    element.remove();
    return colour;
  };
  const card = probe("--card"), dark = luminance(card) < 0.4;
  const stops = diverging ? DIVERGING[dark ? "dark" : "light"] : SEQUENTIAL;
  const table = Array.from({ length: STEPS }, (_, i) => blend(stops, i / (STEPS - 1)));
  const faded = table.map((c) => mix(c, parse(card), 0.62));
  const all = [...table, ...faded].map(css);
  all[BEYOND_LOW] = dark ? "#c59bff" : "#6a2fd0";
  all[BEYOND_HIGH] = dark ? "#ff5f56" : "#d61f12";
  all[BAD] = hatch(context, ratio, probe("--empty"), probe("--dim"));
  all[ABSENT] = probe("--empty");
  return { all, card, text: probe("--dim"), focus: probe("--focus"), font: style.fontFamily };
}

function parse(text) {
  if (text.startsWith("#")) return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  const parts = text.match(/[\d.]+/g).map(Number);
  return text.startsWith("color(") ? parts.slice(0, 3).map((v) => v * 255) : parts.slice(0, 3);
}
const mix = (a, b, t) => a.map((v, i) => v + (b[i] - v) * t);
const css = (c) => `rgb(${c.map(Math.round).join(" ")})`;
const luminance = (text) => parse(text).reduce((sum, v, i) => sum + v * [0.0021, 0.0072, 0.0007][i] / 2.55, 0);

function blend(stops, t) {
  const at = t * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
  return mix(parse(stops[i]), parse(stops[i + 1]), at - i);
}

function hatch(context, ratio, back, line) {
  const size = Math.round(5 * Math.max(ratio, 1)), tile = make("canvas", "", undefined, { width: size, height: size });
  const pen = tile.getContext("2d");
  pen.fillStyle = back;
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = line;
  pen.lineWidth = Math.max(1, ratio);
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}
