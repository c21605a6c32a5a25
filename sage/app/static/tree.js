// The search of a puzzle as a tree: what the model read, in levels of choices, and the way to the answer.
import { drawBoard, html, svg } from "./board.js";

const STEP = 34, LEVEL = 62, LOW_LEVEL = 34, RADIUS = 13, MARGIN = 26;
// The path's height on a small screen, where its depth leaves room for it.
const LOW = 420;

// A small screen gets the root and the path to the answer, all in view, and a button for the whole search.
export function drawTree(steps) {
  const { tree } = steps, place = html("section", { class: "card stack" });
  const whole = drawn(steps, nodesOf(tree), LEVEL);
  const isNarrow = matchMedia("(max-width: 560px)").matches;
  if (!isNarrow || !tree.path.length || whole.width <= innerWidth - 70) {
    place.append(...whole.parts);
    return place;
  }
  const isPath = new Set(tree.path), level = Math.max(LOW_LEVEL, Math.min(LEVEL, LOW / tree.path.length));
  const path = drawn(steps, nodesOf(tree, (node) => isPath.has(node.id)), level);
  const button = html("button", { type: "button" });
  let isWhole = true;
  function change() {
    isWhole = !isWhole;
    button.textContent = isWhole ? "Show the path alone" : "Show the whole search";
    place.replaceChildren(...(isWhole ? whole : path).parts, button);
  }
  button.addEventListener("click", change);
  change();
  return place;
}

// With the children that `isDrawn` accepts; the others are counted.
function nodesOf(tree, isDrawn = (node) => node.outcome !== "waiting") {
  const nodes = new Map(tree.nodes.map((node) => [node.id, { ...node, children: [], numHidden: 0 }]));
  for (const node of nodes.values()) {
    if (node.parent === null) continue;
    if (isDrawn(node)) nodes.get(node.parent).children.push(node);
    else nodes.get(node.parent).numHidden += 1;
  }
  return nodes;
}

// The heading, the drawing and its legend, and the drawing's width.
function drawn(steps, nodes, level) {
  const { board, puzzle, tree } = steps;
  const shown = layOut(nodes.get(0), level);
  const isPath = new Set(tree.path);
  const width = Math.max(...shown.map((node) => node.x)) + MARGIN, height = Math.max(...shown.map((node) => node.y)) + MARGIN + 14;
  const drawing = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "tree", "aria-label": "Search" });
  const side = html("div", { class: "stack", "aria-live": "polite" });
  const elements = new Map();

  function choose(node, isFocused) {
    for (const [id, element] of elements) {
      element.setAttribute("aria-selected", String(id === node.id));
      element.setAttribute("tabindex", id === node.id ? "0" : "-1");
    }
    if (isFocused) elements.get(node.id).focus();
    const cells = partialOf(nodes, node, puzzle);
    side.replaceChildren(drawBoard(board, cells, { puzzle, label: described(board, node) }), html("p", { class: "note" }, described(board, node)));
  }

  for (const node of shown) {
    for (const child of node.children) {
      const middle = (node.y + child.y) / 2;
      drawing.append(svg("path", {
        class: isPath.has(child.id) ? "link path" : "link",
        d: `M${node.x} ${node.y}C${node.x} ${middle} ${child.x} ${middle} ${child.x} ${child.y}`,
      }));
    }
  }
  for (const node of shown) {
    const text = node.parent === null ? "" : symbolOf(board, node);
    const element = svg("g", {
      class: `node ${node.outcome}${isPath.has(node.id) ? " path" : ""}`, role: "treeitem", tabindex: "-1",
      "aria-level": node.depth + 1, "aria-label": described(board, node), transform: `translate(${node.x} ${node.y})`,
    }, svg("circle", { r: node.parent === null ? 7 : RADIUS }), svg("text", { y: 1 }, text));
    if (node.numHidden) element.append(svg("text", { class: "more", y: RADIUS + 11 }, `+${node.numHidden}`));
    element.addEventListener("pointerenter", () => choose(node, false));
    element.addEventListener("click", () => choose(node, true));
    element.addEventListener("keydown", (event) => {
      const next = neighbour(nodes, node, event.key);
      if (next === undefined) return;
      event.preventDefault();
      choose(next, true);
    });
    elements.set(node.id, element);
    drawing.append(element);
  }
  choose(nodes.get(tree.path.length ? tree.path[tree.path.length - 1] : 0), false);
  const numDrawn = tree.nodes.filter((node) => node.outcome !== "waiting").length, numUnread = tree.num_nodes - numDrawn;
  const isAll = shown.length === numDrawn;
  const parts = [
    html("h2", {}, "Search"),
    html("p", { class: "note" }, `${numDrawn} partial answers were read or closed, of ${tree.num_nodes} made; +n below a node: choices that ${isAll ? `were not followed (${numUnread} in all)` : "are not drawn"}. A circle shows the symbol that its choice adds; rank: the highest is read first.`),
    html("div", { class: "tree" }, html("div", { class: "scroll" }, drawing), side),
    html("ul", { class: "legend" }, key("node read", "read"), key("node path", "on the way to the answer"), key("node solved", "answer found here"), key("node closed", "closed: the rules allow no continuation")),
  ];
  return { parts, width };
}

function key(kind, text) {
  return html("li", { class: "tree-key" }, svg("svg", { viewBox: "-15 -15 30 30", class: "tree" }, svg("g", { class: kind }, svg("circle", { r: 12 }))), text);
}

// Leaves side by side, a parent above the middle of its children. Returns the nodes in that order.
function layOut(root, level) {
  let leaf = 0;
  const shown = [], waiting = [{ node: root, isDone: false }];
  while (waiting.length) {
    const { node, isDone } = waiting.pop();
    if (isDone) {
      const { children } = node;
      node.x = children.length ? (children[0].x + children[children.length - 1].x) / 2 : MARGIN + STEP * leaf++;
      node.y = MARGIN + level * node.depth;
      shown.push(node);
    } else {
      waiting.push({ node, isDone: true });
      for (const child of node.children.slice().reverse()) waiting.push({ node: child, isDone: false });
    }
  }
  return shown;
}

function neighbour(nodes, node, key) {
  const parent = node.parent === null ? undefined : nodes.get(node.parent);
  const beside = parent ? parent.children : [node];
  const at = beside.indexOf(node);
  return { ArrowUp: parent, ArrowDown: node.children[0], ArrowLeft: beside[at - 1], ArrowRight: beside[at + 1] }[key];
}

function partialOf(nodes, node, puzzle) {
  const cells = puzzle.slice();
  for (let each = node; each && each.parent !== null; each = nodes.get(each.parent)) cells[each.cell] = each.symbol;
  return cells;
}

const symbolOf = (board, node) => board.symbols[node.symbol] ?? String(node.symbol);

const OUTCOMES = {
  read: "the model read it; its answer breaks the rules", solved: "the model read it; its answer follows the rules",
  closed: "the rules allow no continuation", waiting: "not read",
};

function described(board, node) {
  if (node.parent === null) return `The puzzle: ${OUTCOMES[node.outcome]}.`;
  const row = Math.floor(node.cell / board.cols) + 1, col = (node.cell % board.cols) + 1;
  const rank = node.rank === null ? "" : `, rank ${node.rank.toFixed(2)}`;
  return `Row ${row} column ${col} is ${symbolOf(board, node)}: choice ${node.depth}${rank}; ${OUTCOMES[node.outcome]}.`;
}
