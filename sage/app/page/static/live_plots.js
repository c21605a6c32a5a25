// Lines over time with the nights marked. Stored points, then those of the frames since.
import { DASH, clock, find, isNumber, make, size } from "./live_format.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const tone = (line) => css(line.tone < 0 ? "--soft" : `--tone-${line.tone % 8}`);
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];
const FONT = "11px system-ui, sans-serif";
const all = new Set();
let nights = [];

export function markNights(found) {
  if (JSON.stringify(found) === JSON.stringify(nights)) return;
  nights = found;
  for (const plot of all) plot.redraw();
}

function decades(u, axis, min, max) {
  const found = [];
  for (let power = Math.ceil(Math.log10(min) - 1e-9); power <= Math.log10(max) + 1e-9; power += 1) found.push(10 ** power);
  return found;
}

export class LinePlot {
  // lines: [{key, label, tone, dashed}], tone -1 for a muted one.  show: value -> text.  isLog: a logarithmic axis,
  // for values above 0, between `low` and `high`.
  constructor(name, { low = null, high = null, level = null, isLog = false, show = (value) => value.toFixed(2) }) {
    this.host = find(`plot-${name}`);
    this.legend = find(`legend-${name}`);
    this.options = { low, high, level, isLog, show };
    this.lines = [];
    this.data = [[]];
    this.u = null;
    all.add(this);
  }
  setData(times, lines) {
    const isNew = lines.map((line) => line.key).join() !== this.lines.map((line) => line.key).join();
    this.lines = lines;
    this.data = [times, ...lines.map((line) => line.values.map((value) => this.drawable(value)))];
    if (isNew || !this.u) this.build();
    else this.u.setData(this.data);
    this.showValues();
  }
  add(time, values) {
    if (!this.u || document.hidden || !(time > (this.data[0].at(-1) ?? -1))) return;
    this.data[0].push(time);
    this.lines.forEach((line, at) => this.data[at + 1].push(this.drawable(values[line.key])));
    this.u.setData(this.data);
    this.showValues();
  }
  drawable(value) { return isNumber(value) && (value > 0 || !this.options.isLog) ? value : null; }
  redraw() { if (this.u) this.u.redraw(false); }
  resize() { if (this.u && this.host.clientWidth) this.u.setSize({ width: this.host.clientWidth, height: this.host.clientHeight }); }
  build() {
    this.u?.destroy();
    this.u = null;
    this.host.replaceChildren();
    this.legend.replaceChildren();
    if (!this.lines.some((line) => line.values.some(isNumber))) {
      this.host.append(make("p", { class: "empty", text: "No values yet." }));
      return;
    }
    const { low, high, isLog } = this.options;
    // The level is part of the picture unless it would flatten the lines.
    const withLevel = (max) => (max !== null && this.options.level <= 8 * max ? Math.max(max, this.options.level) : max);
    const range = (u, min, most) => {
      if (isLog) return uPlot.rangeLog(Math.max(Math.min(min ?? 1, 0.1), low), Math.min(Math.max(most ?? 1, 10), high), 10, true);
      const max = withLevel(most);
      return [low ?? min ?? 0, high ?? (max === null ? 1 : max + 0.08 * Math.max(1e-6, max - (low ?? min)))];
    };
    this.u = new uPlot({
      width: this.host.clientWidth, height: this.host.clientHeight, legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      series: [{}, ...this.lines.map((line) => ({ stroke: () => tone(line), width: 1.6, dash: line.dashed ? [5, 4] : [], points: { show: false }, spanGaps: true }))],
      scales: { x: { time: false, range: (u, min, max) => [min ?? 0, Math.max(max ?? 1, (min ?? 0) + 1)] }, y: { range, distr: isLog ? 3 : 1 } },
      axes: [
        { stroke: () => css("--soft"), grid: { show: false }, ticks: { stroke: () => css("--line"), width: 1, size: 4 }, size: 26, gap: 3, font: FONT, space: 72, incrs: STEPS, values: (u, splits) => splits.map(clock) },
        { stroke: () => css("--soft"), grid: { stroke: () => css("--grid"), width: 1 }, ticks: { show: false }, size: 44, gap: 6, font: FONT, space: isLog ? 16 : 34, ...(isLog ? { splits: decades } : {}), values: (u, splits) => splits.map((value) => (value === null ? "" : size(value))) },
      ],
      hooks: { draw: [(u) => this.mark(u)], setCursor: [() => this.showValues()] },
    }, this.data, this.host);
    this.outputs = this.lines.map((line) => {
      const output = make("output");
      this.legend.append(make("span", {}, make("i", { class: `${line.tone < 0 ? "tquiet" : `t${line.tone % 8}`}${line.dashed ? " dashed" : ""}` }), line.label, output));
      return output;
    });
  }
  showValues() {
    if (!this.u) return;
    const at = this.u.cursor.idx;
    this.lines.forEach((line, index) => {
      const values = this.data[index + 1];
      const value = isNumber(at) ? values[at] : values.findLast(isNumber);
      this.outputs[index].textContent = isNumber(value) ? this.options.show(value) : DASH;
    });
  }
  mark(u) {
    const { ctx, bbox } = u, ratio = devicePixelRatio;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    ctx.lineWidth = ratio;
    if (isNumber(this.options.level)) {
      const y = Math.round(u.valToPos(this.options.level, "y", true)) + 0.5;
      ctx.strokeStyle = css("--soft"); ctx.setLineDash([6 * ratio, 4 * ratio]);
      ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
    }
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    for (const night of nights) {
      const x = Math.round(u.valToPos(night.secs, "x", true)) + 0.5;
      ctx.strokeStyle = ctx.fillStyle = css(night.outcome === "accepted" ? "--good" : night.outcome === "failed" ? "--bad" : "--soft");
      ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      ctx.beginPath(); ctx.arc(x, bbox.top + 4 * ratio, 3 * ratio, 0, 7); ctx.fill();
    }
    ctx.restore();
  }
}

new ResizeObserver(() => { for (const plot of all) plot.resize(); }).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const plot of all) plot.redraw(); });
