// A small line chart of values by segment. A click chooses a segment.
import { svg } from "./board.js";

const WIDTH = 420, HEIGHT = 132, LEFT = 34, BOTTOM = 22, TOP = 8;

// lines: [{ tone, values }], null for a value that is not finite.  top: of the axis, by default the largest value.
export function drawChart({ lines, top, format, label, onPick }) {
  const num = Math.max(...lines.map((line) => line.values.length));
  const finite = lines.flatMap((line) => line.values.filter((value) => value !== null));
  const most = top ?? Math.max(1e-9, ...finite) * 1.08;
  const x = (index) => (num === 1 ? (LEFT + WIDTH) / 2 : LEFT + 8 + ((WIDTH - LEFT - 16) * index) / (num - 1));
  const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / most;
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const share of [0, 0.5, 1]) {
    const value = most * share;
    chart.append(svg("path", { class: "axis", d: `M${LEFT} ${y(value)}H${WIDTH}` }));
    chart.append(svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)));
  }
  for (const index of new Set([0, Math.floor((num - 1) / 2), num - 1])) {
    chart.append(svg("text", { x: x(index), y: HEIGHT - 5, "text-anchor": "middle" }, String(index + 1)));
  }
  for (const { tone, values } of lines) {
    let path = "";
    values.forEach((value, index) => {
      if (value === null) return;
      path += `${path && values[index - 1] !== null ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      if (num <= 40) chart.append(svg("circle", { class: `dot ${tone}`, cx: x(index), cy: y(value), r: 3 }));
    });
    chart.append(svg("path", { class: tone, d: path }));
  }
  const now = svg("path", { class: "now", d: "" });
  chart.append(now);
  chart.addEventListener("click", (event) => {
    const box = chart.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    const index = num === 1 ? 0 : Math.round(((at - LEFT - 8) / (WIDTH - LEFT - 16)) * (num - 1));
    onPick(Math.min(num - 1, Math.max(0, index)));
  });
  return {
    element: chart,
    mark(index) { now.setAttribute("d", index >= 0 && index < num ? `M${x(index)} ${TOP}V${HEIGHT - BOTTOM}` : ""); },
  };
}
