// The segments of a puzzle's plain try: a slider, the answer so far, the activity of both states, and the search.
import { drawBoard, html, shownPart, svg } from "./board.js";
import { drawChart } from "./chart.js";
import { drawTree } from "./tree.js";

const percent = (value) => (value === null ? "not finite" : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)}%`);

// found: the reply of /v1/solve with steps.
export function showSteps(place, found) {
  const { steps } = found, { board, puzzle, segments } = steps;
  const final = found.is_verified ? steps.answer : null;
  const isBySearch = steps.tree !== null && steps.tree.path.length > 0;
  const last = segments.length + (isBySearch ? 1 : 0);
  const part = shownPart(board, puzzle, ...segments.map((each) => each.cells));
  const picture = html("div");
  const slider = html("input", { type: "range", min: 0, max: last, step: 1, value: 0, "aria-label": "Segment" });
  const told = html("output");
  const back = html("button", { type: "button", "aria-label": "Previous segment" }, "‹");
  const forward = html("button", { type: "button", "aria-label": "Next segment" }, "›");
  const play = html("button", { type: "button" }, "Play");
  let timer = 0;

  const activity = drawChart({
    lines: [{ tone: "h", values: segments.map((each) => each.H_change) }, { tone: "l", values: segments.map((each) => each.L_change) }],
    format: (value) => value.toFixed(value < 1 ? 2 : 1), label: "Change of the states H and L in each segment", onPick: (index) => go(index + 1),
  });
  const confidence = drawChart({
    lines: [{ tone: "q", values: segments.map((each) => each.confidence) }], top: 1,
    format: (value) => `${Math.round(100 * value)}%`, label: "Confidence of the halt head after each segment", onPick: (index) => go(index + 1),
  });

  function draw() {
    const at = Number(slider.value);
    activity.mark(at - 1);
    confidence.mark(at - 1);
    back.disabled = at === 0;
    forward.disabled = at === last;
    if (at === 0) {
      picture.replaceChildren(drawBoard(board, puzzle, { puzzle, part, label: "The puzzle" }));
      told.value = `The puzzle, before the first of ${segments.length} segments`;
    } else if (at > segments.length) {
      picture.replaceChildren(drawBoard(board, steps.answer, { puzzle, part, label: "The answer of the search" }));
      told.value = `The answer of the search, after ${steps.tree.path.length - 1} choices`;
    } else {
      const segment = segments[at - 1], before = at > 1 ? segments[at - 2].cells : null;
      const numChanged = before ? segment.cells.filter((cell, index) => cell !== before[index] && isOpen(index)).length : 0;
      picture.replaceChildren(drawBoard(board, segment.cells, { puzzle, part, before, final, certainty: segment.certainty, label: `The answer after segment ${at}` }));
      const changes = before ? `, ${numChanged} ${numChanged === 1 ? "cell" : "cells"} changed` : "";
      told.value = `Segment ${at} of ${steps.num_segments}${changes}; confidence ${percent(segment.confidence)}`;
    }
  }

  const isOpen = (index) => board.kind === "arc" || puzzle[index] === board.unknown;

  function go(at) {
    slider.value = String(Math.min(last, Math.max(0, at)));
    draw();
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }

  slider.addEventListener("input", () => { stop(); draw(); });
  back.addEventListener("click", () => { stop(); go(Number(slider.value) - 1); });
  forward.addEventListener("click", () => { stop(); go(Number(slider.value) + 1); });
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (Number(slider.value) === last) go(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      if (!slider.isConnected || Number(slider.value) === last) stop();
      else go(Number(slider.value) + 1);
    }, 450);
  });

  place.replaceChildren(html("div", { class: "stack" },
    verdict(found),
    picture,
    html("div", { class: "stepper" }, back, forward, slider, play, told),
    legend(board, Boolean(final)),
    html("div", { class: "charts" },
      html("figure", {}, html("figcaption", {}, html("b", {}, "Activity: "), "change of a state in each segment, relative to its size. ", keyOf("h", "H"), " ", keyOf("l", "L")), activity.element),
      html("figure", {}, html("figcaption", {}, html("b", {}, "Confidence: "), "probability that the answer is exact, by the halt head, after each segment."), confidence.element)),
  ));
  go(1);
  slider.focus({ preventScroll: true });
  return steps.tree ? drawTree(steps) : null;
}

const keyOf = (tone, name) => html("span", { class: "nowrap" }, html("span", { class: `key ${tone}` }), name);

const OUTCOMES = {
  solved: "Solved: the rules accept the answer", halted: "Not checked: the halt head ended it", budget: "Not solved within the budget: this answer breaks the rules",
  abstained: "No answer: none followed the rules", no_solution: "No solution: the search followed every choice that the rules allow", diverged: "The model's output was not finite",
};

function verdict(found) {
  const how = found.is_verified && found.search && found.search.guesses.length ? `, by search with ${found.search.guesses.length} choices` : "";
  const calls = found.search ? `; ${found.search.calls} model calls of at most ${found.search.budget}` : "";
  const segments = `${found.num_segments_spent} ${found.num_segments_spent === 1 ? "segment" : "segments"}`;
  return html("p", { class: found.is_verified ? "verdict good" : "verdict", role: "status" }, `${OUTCOMES[found.outcome] ?? found.outcome}${how}. ${segments}${calls}; confidence ${percent(found.confidence)}; model ${found.model}.`);
}

function legend(board, hasFinal) {
  const cell = (...children) => svg("svg", { viewBox: "0 0 40 40", class: "board" }, svg("rect", { class: "paper", width: 40, height: 40 }), ...children);
  const text = (kind, symbol) => svg("text", { class: kind, x: 20, y: 21, "font-size": 26 }, symbol);
  const entries = [];
  if (board.kind === "sudoku") entries.push([cell(text("given", "7")), "given"], [cell(svg("rect", { class: "shade", width: 40, height: 40, "fill-opacity": 0.34 }), text("guess", "7")), "answer; the darker, the more certain"]);
  if (board.kind === "maze") entries.push([cell(svg("circle", { class: "path", cx: 20, cy: 20, r: 12 })), "path; the fainter, the less certain"]);
  if (board.kind === "arc") entries.push([cell(svg("rect", { class: "arc-1", width: 40, height: 40, "fill-opacity": 0.5 })), "the fainter, the less certain"]);
  entries.push([cell(svg("path", { class: "changed", d: "M18 1h21v21z" })), "changed in this segment"]);
  if (hasFinal && board.kind === "sudoku") entries.push([cell(text("off", "7")), "differs from the final answer"]);
  if (hasFinal && board.kind === "maze") entries.push([cell(svg("circle", { class: "path off", cx: 20, cy: 20, r: 12 })), "differs from the final answer"]);
  return html("ul", { class: "legend" }, ...entries.map(([picture, words]) => html("li", {}, picture, words)));
}
