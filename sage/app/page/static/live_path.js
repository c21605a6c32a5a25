// The path of a world's episode: places on a plane, or channels over its steps, and the return so far.
import { drawn, isNumber, make, number } from "./live_format.js";

const WIDE = 300, HIGH = 200, LOW = 42, EDGE = 4;

export function pathOf({ world, path }) {
  if (!path?.episodes.length) return [];
  const channels = path.channels.map((name, at) => ({ name, range: path.ranges[at], values: ({ values }) => values[at] }));
  const total = { name: "return", range: path.ranges.at(-1), values: ({ returns }) => returns };
  const lines = path.plane.length ? [total] : [...channels, total];
  const [first, last] = stepsOf(path.episodes);
  const note = `${path.episodes.length > 1 ? "The episode before is faint. " : ""}${path.plane.length ? "Dashed lines are at 0. " : ""}${path.source ? `Of ${path.source}${path.unit ? `, in ${path.unit}` : ""}; s` : "S"}teps ${first} to ${last}.`;
  return [make("figure", { class: "path" },
    ...(path.plane.length ? planeOf(world, path, channels) : []),
    ...lines.map((line) => make("div", { class: "trace" }, make("span", { text: line.name }), traceOf(world, path, line), make("span", { text: number(line.values(path.episodes[0]).findLast(isNumber)) }))),
    make("figcaption", { class: "note", text: note }))];
}

function stepsOf(episodes) {
  const steps = episodes.flatMap((episode) => [episode.steps[0], episode.steps.at(-1)]);
  return [Math.min(...steps), Math.max(...steps)];
}

// Both episodes, the older one first, so that the one in hand is on top. place: (episode, index) -> [x, y], or null where it is not known.
// radius: of a dot at the newest place.
function linesOf(episodes, place, radius = 0) {
  return [...episodes.keys()].reverse().flatMap((at) => {
    const points = episodes[at].steps.map((_, index) => place(episodes[at], index)).filter(Boolean);
    const kind = at ? "before" : "now", end = points.at(-1);
    return !end ? [] : [drawn("polyline", { class: kind, points: points.map((point) => point.map((value) => value.toFixed(1)).join()).join(" ") }), ...(at || !radius ? [] : [drawn("circle", { cx: end[0], cy: end[1], r: radius })])];
  });
}

function traceOf(world, { episodes }, { name, range: [low, high], values }) {
  const [first, last] = stepsOf(episodes), span = high - low || 1;
  const x = (step) => EDGE + ((step - first) * (WIDE - 2 * EDGE)) / Math.max(1, last - first);
  const y = (value) => LOW - EDGE - ((value - low) * (LOW - 2 * EDGE)) / span;
  const svg = drawn("svg", { viewBox: `0 0 ${WIDE} ${LOW}`, preserveAspectRatio: "none", role: "img", "aria-label": `${name} of ${world} over the steps of the episode` });
  if (low < 0 && high > 0) svg.append(drawn("line", { x1: 0, x2: WIDE, y1: y(0), y2: y(0) }));
  svg.append(...linesOf(episodes, (episode, at) => { const value = values(episode)[at]; return isNumber(value) ? [x(episode.steps[at]), y(value)] : null; }));
  return svg;
}

// One scale for both directions. The dashed lines are at 0.
function planeOf(world, { episodes, plane: [right, up] }, [across, upward]) {
  const [[left, most], [low, high]] = [across.range, upward.range];
  const scale = Math.min((WIDE - 4 * EDGE) / (most - left || 1e-9), (HIGH - 4 * EDGE) / (high - low || 1e-9));
  const x = (value) => WIDE / 2 + right * scale * (value - (left + most) / 2), y = (value) => HIGH / 2 - up * scale * (value - (low + high) / 2);
  const svg = drawn("svg", { class: "plane", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `Path of ${world} on the plane of ${across.name} and ${upward.name}` });
  if (x(0) > 0 && x(0) < WIDE) svg.append(drawn("line", { x1: x(0), x2: x(0), y1: 0, y2: HIGH }));
  if (y(0) > 0 && y(0) < HIGH) svg.append(drawn("line", { x1: 0, x2: WIDE, y1: y(0), y2: y(0) }));
  svg.append(...linesOf(episodes, (episode, at) => { const [one, other] = [across.values(episode)[at], upward.values(episode)[at]]; return isNumber(one) && isNumber(other) ? [x(one), y(other)] : null; }, 4));
  const axis = (arrow, { name, range }) => `${arrow} ${name} ${number(range[0])} to ${number(range[1])}`;
  return [svg, make("p", { class: "axes", text: `${axis(right > 0 ? "→" : "←", across)}, ${axis(up > 0 ? "↑" : "↓", upward)}` })];
}
