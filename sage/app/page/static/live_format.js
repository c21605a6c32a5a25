// Figures as text, and elements: nothing here uses innerHTML, so text of a source stays text.
export const DASH = "–";
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function number(value, digits = 2) {
  if (!isNumber(value)) return DASH;
  const magnitude = Math.abs(value);
  if (magnitude >= 1e6) return size(value);
  if (magnitude >= 1000) return Math.round(value).toLocaleString("en");
  const text = value.toFixed(magnitude >= 100 ? 0 : magnitude >= 10 ? Math.min(digits, 1) : digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
// Of an axis: at most seven characters.
export function size(value) {
  const each = Math.abs(value);
  if (each >= 1e12 || (each && each < 1e-3)) return (+value.toPrecision(2)).toExponential();
  const [unit, letter] = each >= 1e9 ? [1e9, "G"] : each >= 1e6 ? [1e6, "M"] : each >= 1e4 ? [1e3, "k"] : [1, ""];
  return `${+(value / unit).toPrecision(letter ? 3 : 4)}${letter}`;
}
export const count = (value) => (isNumber(value) ? value.toLocaleString("en") : DASH);
export const percent = (value, digits = 0) => (isNumber(value) ? `${(100 * value).toFixed(digits)}%` : DASH);
export const signedPercent = (value) => (isNumber(value) ? `${value >= 0 ? "+" : "−"}${Math.abs(100 * value).toFixed(1)}%` : DASH);
export const signed = (value) => (isNumber(value) ? `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}` : DASH);

export function age(millis) {
  if (!isNumber(millis)) return DASH;
  if (millis < 1000) return `${Math.round(millis)} ms`;
  return millis < 60000 ? `${(millis / 1000).toFixed(1)} s` : clock(millis / 1000);
}
export function clock(secs) {
  if (!isNumber(secs)) return DASH;
  const whole = Math.floor(secs), two = (value) => String(value).padStart(2, "0");
  const days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24, minutes = Math.floor(whole / 60) % 60;
  if (days) return `${days} d ${two(hours)}:${two(minutes)}`;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
export function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
export const find = (id) => document.getElementById(id);
