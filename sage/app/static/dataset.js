// The viewer of data sets: in the served page, and in the file of `sage data view`.
import { drawBoard, html, shownPart } from "./board.js";

const PAGE = 12;
const count = (number) => number.toLocaleString("en");

// source: { list(): descriptions, examples(name, { side, start, num, identifier, group }): a page }.
export async function showDatasets(place, source) {
  const all = await source.list();
  if (!all.length) {
    place.replaceChildren(html("p", { class: "note" }, "No data set. Build one with ", html("code", {}, "sage data build"), ", and name its folder: ", html("code", {}, "sage serve --data DIR"), "."));
    return;
  }
  const name = html("select", { "aria-label": "Data set" }, ...all.map((each) => html("option", { value: each.name }, each.name)));
  const about = html("ul", { class: "facts" });
  const sides = html("div", { class: "tabs", role: "group", "aria-label": "Side" });
  const identifier = html("input", { type: "text", placeholder: "part of its name", autocomplete: "off", spellcheck: "false" });
  const group = html("input", { type: "number", min: 0, step: 1 });
  const identifierLabel = html("label", {}, "Identifier ", identifier);
  const groupLabel = html("label", {}, "Group ", group);
  const back = html("button", { type: "button" }, "Before");
  const forward = html("button", { type: "button" }, "Next");
  const range = html("span", { class: "note", role: "status" });
  const first = html("input", { type: "number", min: 1, step: 1, "aria-label": "First example" });
  const grid = html("div", { class: "examples" });
  const fault = html("p", { class: "fault", role: "alert", hidden: true });
  let dataset = all[0], side = "train", start = 0, numAsked = 0;

  function fact(value, words) { return html("li", {}, html("b", {}, value), ` ${words}`); }

  function choose(found) {
    dataset = found;
    start = 0;
    side = "train";
    identifier.value = group.value = "";
    fault.hidden = !dataset.error;
    fault.textContent = dataset.error ?? "";
    for (const each of [about, sides, identifierLabel, groupLabel, grid, pager]) each.hidden = Boolean(dataset.error);
    if (dataset.error) return;
    identifierLabel.hidden = dataset.num_identifiers <= 1;
    show();
  }

  async function show() {
    const facts = dataset.sides[side];
    const isIdentified = dataset.num_identifiers > 1;
    about.replaceChildren(
      fact(count(facts.num_examples), "examples"), fact(count(facts.num_groups), "groups: puzzles in all their forms"), fact(count(facts.num_puzzles), "puzzles, forms counted"),
      fact(count(dataset.num_cells), `cells of ${count(dataset.num_symbols)} symbols`), ...(isIdentified ? [fact(count(dataset.num_identifiers), "identifiers")] : []),
      ...(facts.num_shown < facts.num_examples ? [fact(count(facts.num_shown), "of them in this file")] : []));
    sides.replaceChildren(...Object.keys(dataset.sides).map((each) => {
      const button = html("button", { type: "button", "aria-pressed": String(each === side) }, each);
      button.addEventListener("click", () => { side = each; start = 0; show(); });
      return button;
    }));
    const asked = { side, start, num: PAGE };
    if (identifier.value) asked.identifier = identifier.value;
    if (group.value !== "") asked.group = group.value;
    numAsked += 1;
    const mine = numAsked;
    let page;
    try {
      page = await source.examples(dataset.name, asked);
      fault.hidden = true;
    } catch (error) {
      fault.textContent = error.message;
      fault.hidden = false;
      return;
    }
    if (mine !== numAsked) return;
    grid.replaceChildren(...page.examples.map((each) => drawExample(dataset.board, each)));
    const last = page.start + page.examples.length;
    range.textContent = page.examples.length ? `${count(page.start + 1)} to ${count(last)} of ${count(page.num_found)}` : "No example";
    first.value = String(start + 1);
    first.max = String(Math.max(1, page.num_found));
    back.disabled = start === 0;
    forward.disabled = last >= page.num_found;
  }

  const pager = html("div", { class: "row" }, back, forward, html("label", {}, "From ", first), range);
  name.addEventListener("change", () => choose(all.find((each) => each.name === name.value)));
  for (const input of [identifier, group]) input.addEventListener("input", () => { start = 0; show(); });
  first.addEventListener("change", () => { start = Math.max(0, Math.round(Number(first.value)) - 1 || 0); show(); });
  back.addEventListener("click", () => { start = Math.max(0, start - PAGE); show(); });
  forward.addEventListener("click", () => { start += PAGE; show(); });
  place.replaceChildren(html("div", { class: "stack" },
    all.length > 1 ? html("div", { class: "row" }, html("label", {}, "Data set ", name)) : "", about,
    html("div", { class: "row" }, sides, groupLabel, identifierLabel), pager, fault, grid));
  choose(dataset);
}

function drawExample(board, example) {
  const part = board.kind === "arc" ? null : shownPart(board);
  const options = (cells) => ({ part: part ?? shownPart(board, cells) });
  const answer = board.kind === "arc" || board.unknown < 0 ? options(example.label) : { ...options(example.label), puzzle: example.input };
  const named = example.identifier === "<blank>" ? "" : example.identifier;
  return html("article", { class: "example" },
    html("header", {}, html("b", {}, named || `Example ${count(example.index + 1)}`), html("span", {}, `${named ? `example ${count(example.index + 1)}, ` : ""}group ${count(example.group)}, form ${example.form} of ${count(example.num_forms)}`)),
    html("div", { class: "two" },
      html("figure", {}, drawBoard(board, example.input, { ...options(example.input), label: "Input" }), html("figcaption", {}, "input")),
      html("figure", {}, drawBoard(board, shownLabel(board, example), { ...answer, label: "Answer" }), html("figcaption", {}, "answer"))));
}

// A label of 0 does not count: the cell of the input is shown. In ARC 0 is outside the grid.
function shownLabel(board, example) {
  return board.kind === "arc" ? example.label : example.label.map((cell, index) => (cell === 0 ? example.input[index] : cell));
}
