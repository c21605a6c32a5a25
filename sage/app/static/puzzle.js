// The puzzle page: paste or draw a puzzle, solve it, step through the segments.
import { ask, withToken } from "./api.js";
import { drawBoard, Editor, html, svg } from "./board.js";
import { showSteps } from "./steps.js";
import { textForm } from "./text.js";
import { arcBoard, cellsOf, firstSize, readArcTask, textOf } from "./written.js";

const NAMES = { sudoku: "Sudoku", maze: "Maze", arc: "ARC", cells: "Other tasks", text: "Text" };
const NO_MODEL = {
  arc: "No model of ARC is served: a grid can be drawn and pasted, not solved. Train one with `sage train arc1` and serve it with `sage serve --checkpoint RUN`.",
};
const by = (id) => document.getElementById(id);

let models = [];
let textModels = [];
let kind = "sudoku";
let model = null;
let solving = null;  // what cancels the request in progress
const editor = new Editor(by("puzzle"), (cells) => {
  by("text").value = textOf(editor.board, cells);
  fail(by("fault"), null);
});

function fail(place, error) {
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

function showKinds() {
  const served = new Set(models.map((each) => each.board?.kind));
  const kinds = Object.keys(NAMES).filter((each) => each === "arc" || (each === "text" && textModels.length) || served.has(each));
  by("kinds").replaceChildren(...kinds.map((each) => {
    const tab = html("button", { type: "button", role: "tab", "aria-selected": String(each === kind), tabindex: each === kind ? "0" : "-1" }, NAMES[each]);
    tab.addEventListener("click", () => chooseKind(each));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      chooseKind(kinds[(kinds.indexOf(each) + step + kinds.length) % kinds.length]);
      by("kinds").querySelector('[aria-selected="true"]').focus();
    });
    return tab;
  }));
}

function chooseKind(chosen) {
  kind = chosen;
  showKinds();
  by("puzzles").hidden = by("tree").hidden = kind === "text";
  by("writing").hidden = kind !== "text";
  if (kind === "text") return;
  const fitting = models.filter((each) => each.board?.kind === kind);
  by("model").replaceChildren(...fitting.map((each) => html("option", { value: each.name }, each.name)));
  by("model-label").hidden = !fitting.length;
  chooseModel(fitting.find((each) => each.name === "sudoku9") ?? fitting[0] ?? null);
}

function chooseModel(chosen, board = null, text = "") {
  model = chosen;
  stopSolving();
  if (model) by("model").value = model.name;
  const parts = model ? [model.sizes ? `grids of ${model.sizes.map((side) => `${side} × ${side}`).join(" to ")}` : `${model.num_cells} cells`, `${model.num_parameters.toLocaleString("en")} weights`] : [];
  by("about").replaceChildren(...withCode(model ? `Task ${model.task}; ${parts.join(", ")}.` : NO_MODEL[kind]));
  const sizes = model?.sizes;
  by("size-label").hidden = !sizes;
  if (sizes) {
    const sides = Array.from({ length: sizes[1] - sizes[0] + 1 }, (_, index) => sizes[0] + index);
    by("size").replaceChildren(...sides.map((side) => html("option", { value: side }, `${side} × ${side}`)));
  }
  by("arc-size").hidden = kind !== "arc";
  by("pairs").hidden = true;
  for (const each of document.querySelectorAll(".searched")) each.hidden = !model?.is_searchable;
  clearAnswer();
  fail(by("fault"), null);
  const shown = board ?? emptyBoard();
  if (sizes) by("size").value = String(shown.rows);
  showPuzzle(shown, text ? cellsOf(shown, text) : null, text);
  showExamples();
}

function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? html("code", {}, part) : part));
}

function clearAnswer() {
  by("answer").replaceChildren(html("div", { class: "card" }, html("p", { class: "note" }, "Press Solve: the answer appears here, segment by segment, with the activity of the two states.")));
  by("tree").replaceChildren();
}

function emptyBoard() {
  if (kind === "arc") return arcBoard(Number(by("rows").value), Number(by("cols").value));
  const { board, sizes } = model;
  if (!sizes) return board;
  const side = Math.min(sizes[1], Math.max(sizes[0], 10));
  return { ...board, rows: side, cols: side };
}

// cells: null for an empty puzzle.
function showPuzzle(board, cells, text) {
  const isDrawn = board.kind !== "cells";
  by("puzzle").hidden = !isDrawn;
  const empty = new Array(board.rows * board.cols).fill(kind === "arc" ? 2 : Math.max(board.unknown, 0));
  editor.show(board, cells ?? empty);
  if (board.kind === "arc") [by("rows").value, by("cols").value] = [board.rows, board.cols];
  showBrushes();
  by("text").value = text || (isDrawn && cells ? textOf(board, cells) : "");
  by("text").rows = Math.min(14, Math.max(4, isDrawn ? board.rows : 6));
}

function showBrushes() {
  const { board } = editor;
  by("brushes").hidden = board.kind === "cells";
  const names = { "#": "wall", " ": "open", S: "start", G: "goal" };
  const symbols = board.symbols.map((text, symbol) => [text, symbol]).filter(([text]) => text !== "" && text !== "o");
  const brushes = symbols.map(([text, symbol]) => {
    const isPainted = editor.isPainted;
    const picture = board.kind === "arc" ? [svg("svg", { viewBox: "0 0 18 18" }, svg("rect", { class: `arc-${symbol - 2}`, width: 18, height: 18 }))] : [];
    const name = board.kind === "arc" ? text : names[text] ?? text;
    const brush = html("button", { type: "button", "aria-pressed": isPainted ? String(editor.brush === symbol) : null }, ...picture, name);
    brush.addEventListener("click", () => {
      if (!isPainted) { editor.set(editor.cursor, symbol); return; }
      editor.brush = symbol;
      showBrushes();
    });
    return brush;
  });
  if (board.kind === "sudoku") {
    const erase = html("button", { type: "button" }, "Erase");
    erase.addEventListener("click", () => editor.set(editor.cursor, board.unknown));
    brushes.push(erase);
  }
  if (editor.isPainted && !symbols.some(([, symbol]) => symbol === editor.brush)) {
    editor.brush = symbols[0][1];
    showBrushes();
    return;
  }
  by("brushes").replaceChildren(...brushes);
}

function showExamples() {
  const place = by("examples");
  place.hidden = !model;
  if (!model) return;
  const kinds = model.examples.map((name) => {
    const button = html("button", { type: "button" }, `Example: ${name}`);
    button.addEventListener("click", () => loadExample(name));
    return button;
  });
  place.replaceChildren(...kinds);
}

async function loadExample(name) {
  fail(by("fault"), null);
  const asked = model;
  by("busy").textContent = "Drawing an example …";
  try {
    const seed = Math.floor(Math.random() * 1e6);
    const found = await ask(`/v1/examples?model=${encodeURIComponent(asked.name)}&kind=${encodeURIComponent(name)}&seed=${seed}`);
    if (asked !== model) return;
    stopSolving();
    clearAnswer();
    by("text").value = found.puzzle;
    followText();
    if (kind !== "cells") by("text").value = textOf(editor.board, editor.cells);
  } catch (error) {
    if (asked === model) fail(by("fault"), error);
  } finally {
    by("busy").textContent = "";
  }
}

// The text is what is sent; the drawing follows where the page can read it.
// A fault was of the text before.
function followText() {
  fail(by("fault"), null);
  const text = by("text").value;
  if (kind === "arc") {
    const task = readArcTask(text);
    if (task) showArcTask(task);
  }
  const board = kind === "cells" ? null : boardOf(by("text").value);
  const cells = board && cellsOf(board, by("text").value);
  if (!cells) return;
  if (board.rows !== editor.board.rows || board.cols !== editor.board.cols) editor.cursor = 0;
  editor.show(board, cells);
  if (!by("size-label").hidden) by("size").value = String(board.rows);
  if (board.kind === "arc") [by("rows").value, by("cols").value] = [board.rows, board.cols];
  showBrushes();
}

// The board of a text's size: of this model, or of another of the kind, which is then chosen.
function boardOf(text) {
  const size = firstSize(kind, text);
  if (!size) return null;
  if (kind === "arc") return arcBoard(...size);
  const fits = (each) => each.sizes ? each.sizes[0] <= size[0] && size[0] <= each.sizes[1] : each.board.rows === size[0];
  if (!fits(model)) {
    const other = models.find((each) => each.board?.kind === kind && fits(each));
    if (!other) return null;
    const kept = by("text").value;
    chooseModel(other, { ...other.board, rows: size[0], cols: size[1] }, kept);
  }
  return { ...model.board, rows: size[0], cols: size[1] };
}

// Demonstrations above; the first test becomes the puzzle.
function showArcTask(task) {
  const draw = (grid) => drawBoard(arcBoard(grid.length, grid[0].length), grid.flat().map((colour) => colour + 2), { label: "ARC grid" });
  by("pairs").hidden = false;
  by("pairs").replaceChildren(...task.train.map((pair, index) => html("figure", {}, html("figcaption", {}, `Demonstration ${index + 1}`), draw(pair.input), html("span", { "aria-hidden": "true" }, "→"), draw(pair.output))));
  by("text").value = task.test[0].input.map((row) => row.join("")).join("\n");
}

// An answer that comes for another puzzle than the one on the page is not shown.
function stopSolving() {
  solving?.abort();
  solving = null;
  by("solve").disabled = !model;
  by("cancel").hidden = true;
  by("busy").textContent = "";
}

async function solve() {
  fail(by("fault"), null);
  if (!by("text").value.trim() && kind !== "cells") by("text").value = textOf(editor.board, editor.cells);
  const asked = { model: model.name, puzzle: by("text").value, steps: true, max_segments: Number(by("segments").value) };
  if (model.is_searchable) {
    asked.search = Number(by("search").value);
    if (asked.search) asked.search_seconds = Number(by("seconds").value);
  }
  by("solve").disabled = true;
  by("cancel").hidden = false;
  by("busy").textContent = "Solving …";
  clearAnswer();
  const mine = solving = new AbortController();
  try {
    const found = await ask("/v1/solve", asked, { signal: mine.signal });
    if (solving !== mine) return;
    const tree = showSteps(by("answer"), found);
    by("tree").replaceChildren(...(tree ? [html("div", { class: "gap" }), tree] : []));
    if (kind !== "cells" && kind !== "arc" && by("text").value === asked.puzzle) {
      editor.show(found.steps.board, found.steps.puzzle);
      showBrushes();
    }
    if (matchMedia("(max-width: 860px)").matches) by("answer").scrollIntoView({ block: "start" });
  } catch (error) {
    if (solving === mine) fail(by("fault"), error);
  } finally {
    if (solving === mine) stopSolving();
  }
}

function resizeArc() {
  const [rows, cols] = [by("rows"), by("cols")].map((input) => Math.min(30, Math.max(1, Math.round(Number(input.value)) || 1)));
  const board = arcBoard(rows, cols), old = editor.board;
  const cells = Array.from({ length: rows * cols }, (_, index) => {
    const row = Math.floor(index / cols), col = index % cols;
    return row < old.rows && col < old.cols ? editor.cells[row * old.cols + col] : 2;
  });
  showPuzzle(board, cells, "");
}

by("model").addEventListener("change", () => chooseModel(models.find((each) => each.name === by("model").value)));
by("size").addEventListener("change", () => {
  const side = Number(by("size").value);
  showPuzzle({ ...model.board, rows: side, cols: side }, null, "");
});
by("rows").addEventListener("change", resizeArc);
by("cols").addEventListener("change", resizeArc);
by("text").addEventListener("input", followText);
by("solve").addEventListener("click", solve);
by("cancel").addEventListener("click", () => solving?.abort());
by("clear").addEventListener("click", () => {
  fail(by("fault"), null);
  stopSolving();
  clearAnswer();
  by("pairs").hidden = true;
  showPuzzle(editor.board, null, "");
});
by("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !by("solve").disabled) solve();
});

await withToken(async () => {
  models = (await ask("/v1/models")).models;
  textModels = (await ask("/v1/text_models")).models;
  if (textModels.length) by("writing").replaceChildren(textForm(textModels));
  document.querySelector('nav a[href="/data"]').hidden = !(await ask("/v1/datasets")).datasets.length;
  const kinds = models.map((each) => each.board?.kind);
  chooseKind(["sudoku", "maze", "arc", "cells"].find((each) => kinds.includes(each)) ?? "arc");
}, (error) => fail(by("page-fault"), error));
