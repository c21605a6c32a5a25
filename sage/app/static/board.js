// Puzzles as SVG: the same drawing in the puzzle page and in the viewer of data sets.
const NS = "http://www.w3.org/2000/svg";
const CELL = 40;

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Rows and columns that hold the colours of an ARC grid: the part of the 30 x 30 board that is drawn.
export function shownPart(board, ...grids) {
  const all = { top: 0, left: 0, rows: board.rows, cols: board.cols };
  if (board.kind !== "arc") return all;
  let top = board.rows, left = board.cols, bottom = -1, right = -1;
  for (const cells of grids) {
    if (!cells) continue;
    cells.forEach((symbol, index) => {
      if (symbol < 2) return;
      const row = Math.floor(index / board.cols), col = index % board.cols;
      top = Math.min(top, row); bottom = Math.max(bottom, row);
      left = Math.min(left, col); right = Math.max(right, col);
    });
  }
  return bottom < 0 ? all : { top, left, rows: bottom - top + 1, cols: right - left + 1 };
}

// options: puzzle (the givens), certainty (percent of each cell), before (the cells a segment earlier), final (cells
// of a verified answer), label, part.
export function drawBoard(board, cells, options = {}) {
  const part = options.part || shownPart(board, cells, options.puzzle);
  const width = part.cols * CELL, height = part.rows * CELL;
  const drawing = svg("svg", {
    class: "board", viewBox: `-2 -2 ${width + 4} ${height + 4}`, role: "img", "aria-label": options.label || board.kind,
  });
  drawing.append(svg("rect", { class: "paper", width, height }));
  for (let row = 0; row < part.rows; row += 1) {
    for (let col = 0; col < part.cols; col += 1) {
      const index = (row + part.top) * board.cols + col + part.left;
      if (index < cells.length) drawCell(drawing, board, cells, index, col * CELL, row * CELL, options);
    }
  }
  drawing.append(lines(board, part, width, height));
  return drawing;
}

function drawCell(drawing, board, cells, index, x, y, options) {
  const symbol = cells[index];
  const isGiven = !options.puzzle || (options.puzzle[index] !== board.unknown && board.kind !== "arc");
  const isChanged = Boolean(options.before) && options.before[index] !== symbol && !isGiven;
  const isOff = Boolean(options.final) && !isGiven && options.final[index] !== symbol;
  const certainty = options.certainty && !isGiven ? options.certainty[index] / 100 : null;
  const at = { x, y, width: CELL, height: CELL };
  const middle = { x: x + CELL / 2, y: y + CELL / 2 + 1 };
  if (board.kind === "maze") drawMazeCell(drawing, board, symbol, at, certainty, isOff);
  else if (board.kind === "arc") {
    if (symbol >= 2) drawing.append(svg("rect", { ...at, class: `arc-${symbol - 2}`, "fill-opacity": certainty === null ? 1 : 0.25 + 0.75 * certainty }));
  } else {
    if (certainty !== null) drawing.append(svg("rect", { ...at, class: "shade", "fill-opacity": (0.34 * certainty * certainty).toFixed(3) }));
    const text = board.symbols[symbol] ?? String(symbol);
    const kind = isOff ? "off" : isGiven ? "given" : certainty !== null && certainty < 0.5 ? "unsure" : "guess";
    const size = board.kind === "sudoku" ? 22 : text.length > 2 ? 13 : 17;
    if (text) drawing.append(svg("text", { ...middle, class: kind, "font-size": size }, text));
  }
  if (isChanged) drawing.append(svg("path", { class: "changed", d: `M${x + CELL - 11} ${y + 1}h10v10z` }));
}

function drawMazeCell(drawing, board, symbol, at, certainty, isOff) {
  const text = board.symbols[symbol] || "";
  const middle = { cx: at.x + CELL / 2, cy: at.y + CELL / 2 };
  if (text === "#") drawing.append(svg("rect", { ...at, class: "wall" }));
  else if (text === "o") {
    const opacity = certainty === null ? 1 : 0.15 + 0.85 * certainty;
    drawing.append(svg("circle", { ...middle, r: CELL * 0.29, class: isOff ? "path off" : "path", "fill-opacity": opacity.toFixed(3) }));
  } else if (text === "S" || text === "G") {
    drawing.append(svg("rect", { ...at, class: "end" }));
    drawing.append(svg("text", { x: middle.cx, y: middle.cy + 1, class: "mark", "font-size": 24 }, text));
  } else if (isOff) drawing.append(svg("circle", { ...middle, r: CELL * 0.1, class: "path off" }));
}

function lines(board, part, width, height) {
  const group = svg("g");
  const [boxRows, boxCols] = board.box;
  const isFine = board.kind === "maze" && part.cols > 20; // lines between such cells would only blur them
  for (let row = 0; row <= part.rows; row += 1) {
    const isThick = row === 0 || row === part.rows || (boxRows > 0 && row % boxRows === 0);
    if (!isThick && !isFine) group.append(svg("path", { class: "thin", d: `M0 ${row * CELL}H${width}` }));
  }
  for (let col = 0; col <= part.cols; col += 1) {
    const isThick = col === 0 || col === part.cols || (boxCols > 0 && col % boxCols === 0);
    if (!isThick && !isFine) group.append(svg("path", { class: "thin", d: `M${col * CELL} 0V${height}` }));
  }
  for (let row = 0; row <= part.rows; row += boxRows || part.rows) group.append(svg("path", { class: "thick", d: `M0 ${row * CELL}H${width}` }));
  for (let col = 0; col <= part.cols; col += boxCols || part.cols) group.append(svg("path", { class: "thick", d: `M${col * CELL} 0V${height}` }));
  return group;
}

// A board whose cells are set by keys, by clicks and, where it is painted, by dragging.
export class Editor {
  constructor(place, onChange) {
    this.place = place;
    this.onChange = onChange;
    this.cursor = 0;
    this.brush = null;
    this.board = null;
  }

  show(board, cells) {
    this.board = board;
    this.cells = cells.slice();
    this.cursor = Math.min(this.cursor, cells.length - 1);
    this.redraw();
  }

  get isPainted() { return this.board.kind === "maze" || this.board.kind === "arc"; }

  redraw() {
    const hadFocus = this.place.contains(document.activeElement) && document.activeElement !== this.place;
    const drawing = drawBoard(this.board, this.cells, { part: { top: 0, left: 0, rows: this.board.rows, cols: this.board.cols } });
    drawing.classList.add("editable");
    drawing.classList.toggle("paint", this.isPainted);
    drawing.setAttribute("role", "application");
    drawing.setAttribute("tabindex", "0");
    drawing.setAttribute("aria-label", this.described());
    const row = Math.floor(this.cursor / this.board.cols), col = this.cursor % this.board.cols;
    drawing.append(svg("rect", { class: "cursor", x: col * CELL + 1.5, y: row * CELL + 1.5, width: CELL - 3, height: CELL - 3, rx: 2 }));
    drawing.addEventListener("keydown", (event) => this.press(event));
    drawing.addEventListener("pointerdown", (event) => this.down(event));
    drawing.addEventListener("pointermove", (event) => { if (event.buttons && this.isPainted) this.paint(event); });
    this.place.replaceChildren(drawing);
    if (hadFocus) drawing.focus({ preventScroll: true });
  }

  described() {
    const row = Math.floor(this.cursor / this.board.cols), col = this.cursor % this.board.cols;
    const text = this.board.symbols[this.cells[this.cursor]].trim() || "empty";
    return `Puzzle, ${this.board.rows} by ${this.board.cols} cells. Row ${row + 1}, column ${col + 1}: ${text}. Arrow keys move, a symbol sets the cell, Backspace clears it.`;
  }

  at(event) {
    const drawing = this.place.firstElementChild, box = drawing.getBoundingClientRect();
    const unit = (this.board.cols * CELL + 4) / box.width;
    const col = Math.floor(((event.clientX - box.left) * unit - 2) / CELL);
    const row = Math.floor(((event.clientY - box.top) * unit - 2) / CELL);
    const isInside = row >= 0 && col >= 0 && row < this.board.rows && col < this.board.cols;
    return isInside ? row * this.board.cols + col : -1;
  }

  down(event) {
    const index = this.at(event);
    if (index < 0) return;
    event.preventDefault();
    this.cursor = index;
    if (this.isPainted && this.brush !== null) this.set(index, this.brush);
    else this.redraw();
    this.place.firstElementChild.focus({ preventScroll: true });
  }

  paint(event) {
    const index = this.at(event);
    if (index < 0 || this.brush === null || this.cells[index] === this.brush) return;
    this.cursor = index;
    this.set(index, this.brush);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.board.cols, ArrowDown: this.board.cols };
    if (event.key in steps) {
      const next = this.cursor + steps[event.key];
      const isSameRow = Math.floor(next / this.board.cols) === Math.floor(this.cursor / this.board.cols);
      if (next >= 0 && next < this.cells.length && (isSameRow || Math.abs(steps[event.key]) > 1)) this.cursor = next;
      event.preventDefault();
      this.redraw();
      return;
    }
    const symbol = this.symbolOf(event.key);
    if (symbol === null) return;
    event.preventDefault();
    this.set(this.cursor, symbol);
  }

  symbolOf(key) {
    if (["Backspace", "Delete", "0", ".", " "].includes(key) && !(this.board.kind === "arc" && key === "0")) return this.blank;
    const found = this.board.symbols.findIndex((text) => text !== "" && text.toUpperCase() === key.toUpperCase());
    return found < 0 ? null : found;
  }

  get blank() { return this.board.kind === "arc" ? 2 : Math.max(this.board.unknown, 0); }

  // Sets one cell. A maze has one start and one goal: the earlier one becomes open.
  set(index, symbol) {
    const text = this.board.symbols[symbol];
    if (this.board.kind === "maze" && (text === "S" || text === "G")) {
      this.cells = this.cells.map((each) => (each === symbol ? this.board.unknown : each));
    }
    this.cells[index] = symbol;
    this.redraw();
    this.onChange(this.cells);
  }
}
