// Puzzles as text in the page: enough to draw what is pasted. The server reads the text itself when it solves.
const BLANKS = ".0_*?xX";

const ARC_SYMBOLS = ["", "", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

export function arcBoard(rows, cols) {
  return { kind: "arc", rows, cols, box: [0, 0], symbols: ARC_SYMBOLS, unknown: -1 };
}

const linesOf = (text) => text.replace(/\r/g, "").replace(/^\n+|\s+$/g, "").split("\n");

// The symbols of a sudoku, '.' for a blank, without what draws and separates.
function sudokuSymbols(text) {
  const lines = linesOf(text).map((line) => line.replace(/#.*/, "")).filter((line) => !/^[-+=|\s]*$/.test(line));
  const cells = lines.join("").replace(/[|+,;\s\u2500-\u257f\[\]"']/g, "").replace(/-/g, ".").toUpperCase();
  return [...cells].map((each) => (BLANKS.includes(each) || BLANKS.toUpperCase().includes(each) ? "." : each)).join("");
}

// [rows, columns] of a text; null where the page cannot read it.
export function firstSize(kind, text) {
  if (kind === "sudoku") {
    const num = sudokuSymbols(text).length, side = Math.round(Math.sqrt(num));
    return side > 1 && side * side === num ? [side, side] : null;
  }
  const lines = linesOf(text);
  if (kind === "maze") {
    const side = lines.length;
    return side > 1 && lines.every((line) => line.length <= side) ? [side, side] : null;
  }
  const rows = lines.map((line) => line.replace(/\s/g, ""));
  const isGrid = rows.length <= 30 && rows[0].length > 0 && rows[0].length <= 30 && rows.every((row) => row.length === rows[0].length && /^\d+$/.test(row));
  return isGrid ? [rows.length, rows[0].length] : null;
}

// The cells of a text on a board; null where it does not fit.
export function cellsOf(board, text) {
  let symbols = null;
  if (board.kind === "sudoku") symbols = [...sudokuSymbols(text)].map((each) => (each === "." ? "" : each));
  else if (board.kind === "arc") symbols = [...text.replace(/\s/g, "")];
  else if (board.kind === "maze") {
    symbols = linesOf(text).flatMap((line) => [...line.padEnd(board.cols)]).map((each) => ({ ".": " ", _: " ", 0: " ", 1: "#", "█": "#", s: "S", g: "G", e: "G", E: "G", o: " " }[each] ?? each));
  }
  if (!symbols || symbols.length !== board.rows * board.cols) return null;
  const cells = symbols.map((each) => (each === "" ? board.unknown : board.symbols.indexOf(each)));
  return cells.every((cell) => cell >= 0) ? cells : null;
}

export function textOf(board, cells) {
  const symbols = cells.map((cell) => board.symbols[cell]).map((text) => (text === "" || text === " " ? "." : text));
  return Array.from({ length: board.rows }, (_, row) => symbols.slice(row * board.cols, (row + 1) * board.cols).join("")).join("\n");
}

// {train, test} of an ARC task's JSON; null where the text is not one.
export function readArcTask(text) {
  if (!text.trimStart().startsWith("{")) return null;
  try {
    const { train, test } = JSON.parse(text);
    const isGrid = (grid) => Array.isArray(grid) && grid.length > 0 && grid.length <= 30 && grid.every((row) => Array.isArray(row) && row.length === grid[0].length && row.length > 0 && row.length <= 30 && row.every((each) => Number.isInteger(each) && each >= 0 && each <= 9));
    const isTask = Array.isArray(train) && Array.isArray(test) && test.length > 0 && train.every((pair) => isGrid(pair.input) && isGrid(pair.output)) && isGrid(test[0].input);
    return isTask ? { train, test } : null;
  } catch {
    return null;
  }
}
