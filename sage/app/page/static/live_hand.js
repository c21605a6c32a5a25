// The puzzle in hand as its answer forms, and the worlds that the loop acts in.
import { drawn, find, make, number, percent, count } from "./live_format.js";
import { pathOf } from "./live_path.js";
import { picturesOf } from "./live_pictures.js";

let pinned = null;  // the step that the reader chose, null for the newest
let shownKey = "";
const EMPTY = find("hand").cloneNode(true);

// Another session has puzzles of its own, or none.
export function forgetHand() {
  pinned = null;
  shownKey = "";
  find("hand").replaceChildren(...EMPTY.cloneNode(true).childNodes);
}

export function showHand(streams, worlds) {
  const stream = streams?.find((each) => each.current) ?? streams?.[0];
  if (!stream && worlds?.length) {
    find("hand").replaceChildren(make("h3", { text: "In hand: an episode" }), ...episodes(worlds));
    return;
  }
  if (!stream?.current) return;
  const puzzle = stream.current, key = `${stream.stream}/${puzzle.number}`;
  if (key !== shownKey) { pinned = null; shownKey = key; }
  const last = puzzle.steps.length - 1, at = pinned === null ? last : Math.min(pinned, last);
  const host = find("hand"), slider = host.querySelector("input");
  const output = make("output", { text: `answer ${at + 1} of ${last + 1}` });
  const input = slider ?? make("input", { type: "range", min: 0, "aria-label": "Step of the answer", oninput: (event) => { pinned = Number(event.target.value) >= Number(event.target.max) ? null : Number(event.target.value); } });
  input.max = String(last);
  input.value = String(at);
  const title = make("h3", { text: `In hand: ${puzzle.level || stream.stream}` });
  const note = make("p", { class: "note", text: `Puzzle ${count(puzzle.number)}, read at tick ${count(puzzle.steps[0]?.tick)}. Bold cells are given, shaded ones have just changed.` });
  const parts = [title, note, board(puzzle, at), slider ? slider.parentElement : make("div", { class: "stepper" }, input)];
  input.parentElement.querySelector("output")?.remove();
  input.parentElement.append(output);
  if (stream.ended.length) parts.push(make("ul", { class: "chips", "aria-label": "The puzzles before" }, ...stream.ended.map((each) => make("li", { class: each.verdict, text: `${each.number} ${each.verdict || "no result yet"}` }))));
  parts.push(levels(stream), ...episodes(worlds));
  replaceAround(host, parts);
}

// The slider stays in the document, so that it keeps the focus.
function replaceAround(host, parts) {
  const kept = parts.find((part) => part.parentElement === host);
  if (!kept) { host.replaceChildren(...parts); return; }
  for (const child of [...host.children]) if (child !== kept) child.remove();
  const at = parts.indexOf(kept);
  kept.before(...parts.slice(0, at));
  kept.after(...parts.slice(at + 1));
}

function levels(stream) {
  const cells = stream.levels.flatMap((level) => [
    make("span", { text: level.name }), make("span", { text: percent(level.recent) }), make("span", { class: "soft", text: `${count(level.num_answered)} answers` }),
  ]);
  return make("div", { class: "levels" }, ...cells);
}

function board(puzzle, at) {
  const columns = puzzle.columns, rows = Math.ceil(puzzle.cells.length / columns);
  const answer = puzzle.steps[at]?.answer ?? puzzle.cells, before = puzzle.steps[at - 1]?.answer ?? puzzle.cells;
  const svg = drawn("svg", { class: "grid", viewBox: `-0.03 -0.03 ${columns + 0.06} ${rows + 0.06}`, role: "img", "aria-label": `Answer ${at + 1} of puzzle ${puzzle.number}` });
  answer.forEach((cell, place) => {
    const x = place % columns, y = Math.floor(place / columns), given = puzzle.cells[place];
    const [text, kind] = symbol(cell, puzzle.level);
    const isGiven = given === cell && symbol(given, puzzle.level)[0] !== "";
    svg.append(drawn("rect", { class: `cell ${kind} ${cell !== before[place] && !kind ? "new" : ""}`, x, y, width: 1, height: 1 }));
    if (text) svg.append(drawn("text", { x: x + 0.5, y: y + 0.52, class: isGiven ? "given" : "", text }));
  });
  for (const box of boxes(puzzle, columns)) svg.append(drawn("rect", { class: "box", ...box }));
  return svg;
}

// A sudoku's cells are 1 for an empty one, then its digits.
function symbol(cell, level) {
  if (level.startsWith("sudoku")) return [cell > 1 ? String(cell - 1) : "", ""];
  if (level.startsWith("maze")) return { 1: ["", "wall"], 2: ["", ""], 3: ["S", ""], 4: ["G", ""], 5: ["", "path"] }[cell] ?? ["?", ""];
  return [String(cell), ""];
}

function boxes(puzzle, columns) {
  const size = { 4: [2, 2], 6: [3, 2], 8: [4, 2], 9: [3, 3] }[columns];
  if (!puzzle.level.startsWith("sudoku") || !size) return [];
  const [width, height] = size, found = [];
  for (let y = 0; y < columns; y += height) for (let x = 0; x < columns; x += width) found.push({ x, y, width, height });
  return found;
}

// Each world: the return so far, what its cameras show, the path of its episode, and the returns of the last ones.
function episodes(worlds) {
  if (!worlds?.length) return [];
  const note = make("p", { class: "note", text: "A dot for the return of each of the last episodes, green where it reached its goal; the line is their median." });
  return [...worlds.flatMap((world) => [
    make("div", { class: "levels" }, make("span", { text: world.world }), make("span", { text: number(world.episode_return) }), make("span", { class: "soft", text: `median ${number(world.recent_return)}, ${count(world.num_episodes)} episodes` })),
    ...picturesOf(world.world),
    ...pathOf(world),
    returnsOf(world),
  ]), note];
}

const WIDE = 300, HIGH = 76, EDGE = 8;
function returnsOf({ world, returns, successes, recent_return: median }) {
  const low = Math.min(...returns), span = Math.max(...returns) - low || 1;
  const x = (at) => EDGE + (at * (WIDE - 2 * EDGE)) / Math.max(1, returns.length - 1);
  const y = (value) => HIGH - EDGE - ((value - low) * (HIGH - 2 * EDGE)) / span;
  const picture = drawn("svg", { class: "returns", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `Returns of the last ${returns.length} episodes of ${world}` });
  if (!returns.length) return make("p", { class: "empty", text: "No episode has ended yet." });
  picture.append(drawn("line", { x1: 0, x2: WIDE, y1: y(median), y2: y(median) }));
  returns.forEach((value, at) => picture.append(drawn("circle", { class: successes[at] === 1 ? "right" : "", cx: x(at), cy: y(value), r: 3.5 })));
  return picture;
}
