// The sections below the first: loop, senses, memory, nights, effectors, events.
import { DASH, age, clock, count, drawn, find, isNumber, make, number, percent, put, signed, signedPercent } from "./live_format.js";

function tiles(id, rows) {
  const host = find(id);
  if (host.children.length !== rows.length) host.replaceChildren(...rows.map(([label]) => make("div", {}, make("dt", { text: label }), make("dd", {}, make("span"), make("small")))));
  rows.forEach(([, value, unit], at) => {
    const [span, small] = host.children[at].lastElementChild.children;
    put(span, value);
    put(small, unit && value !== DASH ? ` ${unit}` : "");
  });
}

export const budgetMillis = (status) => status.budget_ms ?? NaN;

export function showLoop(status) {
  const budget = budgetMillis(status);
  tiles("tiles-loop", [
    ["ticks a second", number(status.tick_hz, 1), ""],
    ["of the tick's time, median", percent(status.tick_ms_p50 / budget), ""],
    ["median of a tick", number(status.tick_ms_p50, 1), "ms"],
    ["99th percentile", number(status.tick_ms_p99, 1), "ms"],
    ["of it the model", number(status.model_ms, 1), "ms"],
    ["overruns", count(status.num_overruns), ""],
  ]);
}

// Segments of the tick's budget that devices had for their work, imagination for example.
export function showWork(works) {
  const note = find("work-note");
  note.hidden = !works.length;
  put(note, works.map((work) => {
    const trust = isNumber(work.trust) ? `, trust ${number(work.trust)}` : "";
    const skips = Object.entries(work.skips).sort((one, other) => other[1] - one[1]).map(([word, num]) => `${word} ${count(num)}`);
    return `${work.name}: ${count(work.num_segments)} segments, ${count(work.num_made)} results${trust}${skips.length ? `; ticks without: ${skips.join(", ")}` : ""}.`;
  }).join(" "));
}

export function showMemory(frame) {
  const { memory, learning, coherence, posture } = frame;
  tiles("tiles-memory", [
    ["experiences stored", count(memory.num_kept), `of ${count(memory.capacity)}`],
    ["seen", count(memory.num_seen), ""],
    ["practice steps", count(learning.num_practice_steps), ""],
    ["loss of practice", number(learning.loss), ""],
    ["correction in use", percent(learning.gate), ""],
    ["coherence", number(coherence.coherence), ""],
    ["surprise, 1 expected", number(coherence.surprise), ""],
    ["version of the weights", count(learning.weights_version), ""],
  ]);
  const starved = posture.starved.length ? ` Without a trusted source: ${posture.starved.join(", ")}.` : "";
  put(find("memory-note"), `Breadth of the senses ${number(posture.breadth)}, asymmetry ${number(posture.asymmetry)}.${starved}`);
}

// Each is fixed once it is stored: new ones come on top.
export function showMemories(memories) {
  const host = find("memories"), key = memories.map((each) => each.tick).join();
  if (host.dataset.ticks === key) return;
  host.dataset.ticks = key;
  host.replaceChildren(...memories.map((each) => {
    const figures = [["surprise", each.surprise], ["novelty", each.novelty]].filter(([, value]) => isNumber(value)).map(([name, value]) => `${name} ${number(value)}`);
    return make("li", {}, make("span", { class: "at", text: clock(each.secs) }), make("b", { text: each.source || "no source" }), make("span", { class: "soft", text: [`salience ${number(each.salience)}`, ...figures].join(", ") }));
  }));
}

const COLUMNS = [["weight", (source) => number(source.weight)], ["age", (source) => age(source.age_ms)], ["rate", (source) => (isNumber(source.rate_hz) ? `${source.rate_hz.toFixed(1)} Hz` : DASH)],
  ["surprise", (source) => number(source.surprise)], ["skill", (source) => signed(source.skill)], ["drops", (source) => count(source.num_dropped)], ["faults", (source) => count(source.num_faults)]];

export function showSources(sources) {
  const body = find("sources");
  const names = sources.map((source) => source.name).join("\n");
  if (body.dataset.names !== names) {
    body.dataset.names = names;
    body.replaceChildren(...sources.map((source) => make("tr", {},
      make("th", { scope: "row" }, source.name, make("span", { class: "status" }), make("span", { class: "reason" })),
      make("td", { "data-label": "trust" }, make("div", { class: "trust" }, make("meter", { min: 0, max: 1, "aria-label": `trust in ${source.name}` }), make("span"))),
      ...COLUMNS.map(([label]) => make("td", { class: "n", "data-label": label })))));
  }
  sources.forEach((source, at) => {
    const row = body.children[at], [head, trust, ...cells] = row.children, [meter, text] = trust.firstElementChild.children;
    const isRunning = source.status === "running";
    row.className = source.status === "quarantined" ? "out" : isRunning ? "" : "idle";
    put(head.children[0], isRunning ? "" : source.status);
    put(head.children[1], source.reason);
    const isJudged = source.is_judged || !isRunning;
    meter.value = isJudged ? source.trust ?? 0 : 0;
    meter.hidden = !isJudged;
    put(text, isJudged ? number(source.trust) : "not judged");
    text.className = isJudged ? "" : "soft";
    COLUMNS.forEach(([, show], index) => put(cells[index], show(source)));
  });
}

const words = (outcome) => outcome.replaceAll("_", " ");
const kindOf = (outcome) => ({ accepted: "good", failed: "bad" })[outcome] ?? "quiet";

export function showSleep(status, sleep) {
  const lead = find("sleep-lead");
  const last = sleep.last ? `${sleep.num} in all; the last was ${words(sleep.last.outcome)}: ${sleep.last.reason}` : "none yet";
  put(lead, sleep.is_asleep ? `A night is in progress. Nights: ${last}.` : `Nights: ${last}.`);
}

export function showNights(nights) {
  const table = document.querySelector("table.nights");
  table.hidden = !nights.length;
  const reach = Math.max(0.02, ...nights.flatMap((night) => [night.gain_low, night.gain_high].filter(isNumber).map(Math.abs)));
  find("nights").replaceChildren(...nights.slice(-30).reverse().map((night) => make("tr", {},
    make("td", { class: "n", "data-label": "night", text: count(night.number) }),
    make("td", { "data-label": "model", text: night.stream || "senses" }),
    make("td", { "data-label": "verdict", class: kindOf(night.outcome), text: words(night.outcome) }),
    make("td", { "data-label": "gain, 90% interval" }, interval(night, reach)),
    make("td", { class: "n", "data-label": "before", text: shareOrLoss(night, night.loss_before) }),
    make("td", { class: "n", "data-label": "after", text: shareOrLoss(night, night.loss_after) }),
    make("td", { class: "n", "data-label": "steps", text: count(night.num_steps) }),
    make("td", { text: night.reason }))));
}
const shareOrLoss = (night, loss) => (night.stream && isNumber(loss) ? percent(1 - loss) : number(loss, 3));

function interval(night, reach) {
  if (!isNumber(night.gain)) return make("span", { class: "soft", text: DASH });
  const x = (value) => 55 + (50 * Math.max(-reach, Math.min(reach, value))) / reach;
  const svg = drawn("svg", { class: `t${kindOf(night.outcome)}`, viewBox: "0 0 110 16", "aria-hidden": "true" }, drawn("line", { x1: 55, x2: 55, y1: 0, y2: 16 }));
  let text = signedPercent(night.gain);
  if (isNumber(night.gain_low)) {
    svg.append(drawn("line", { class: "span", x1: x(night.gain_low), x2: x(night.gain_high), y1: 8, y2: 8 }));
    text += ` (${signedPercent(night.gain_low)} to ${signedPercent(night.gain_high)})`;
  }
  svg.append(drawn("circle", { cx: x(night.gain), cy: 8, r: 3.5 }));
  return make("div", { class: "interval" }, svg, make("span", { text }));
}

// By the last action of each: one that the policy, a quarantine or a dry run keeps from acting may not.
function mayAct(status, actions) {
  const kinds = { "may act": 0, held: 0, "in a dry run": 0, "not asked yet": 0 };
  for (const name of status.effectors) {
    const last = actions.find((action) => action.effector === name);
    kinds[!last ? "not asked yet" : last.is_held || last.decision === "fault" ? "held" : last.is_dry ? "in a dry run" : "may act"] += 1;
  }
  return Object.entries(kinds).filter(([kind, num]) => num || kind === "may act").map(([kind, num]) => `${count(num)} ${kind}`).join(", ");
}

export function showEffectors(status, actions) {
  const held = Object.entries(status.held), faults = status.num_effector_faults ? `; ${count(status.num_effector_faults)} ${status.num_effector_faults === 1 ? "fault" : "faults"}` : "";
  const lead = !status.effectors.length ? "No effector is configured." : held.length ? `${held.length} of ${status.effectors.length} are held: ${held[0][1]}` : `${mayAct(status, actions)}${faults}.`;
  put(find("effector-lead"), lead);
  find("effector-lead").classList.toggle("bad", held.length > 0);
  const rows = actions.map((action) => [action.effector, action.is_held ? "held" : action.is_dry ? "dry run" : action.decision, [action.reason, action.limited_by.length ? `limited by ${action.limited_by.join(", ")}` : ""].filter(Boolean).join("; ")]);
  const list = find("actions-list");
  if (list.children.length !== rows.length) list.replaceChildren(...rows.map(() => make("li", {}, make("b"), make("span"), make("span", { class: "soft" }))));
  rows.forEach((row, at) => row.forEach((text, part) => put(list.children[at].children[part], text)));
}

let newest = 0;
// Another session counts its events from 1, and has figures of its own from its first tick on.
export function forgetParts() {
  newest = 0;
  for (const id of ["tiles-loop", "sources", "tiles-memory", "nights", "actions-list", "event-list", "memories"]) find(id).replaceChildren();
  for (const id of ["work-note", "memory-note", "sleep-lead", "effector-lead"]) put(find(id), "");
  delete find("sources").dataset.names;
  delete find("memories").dataset.ticks;
  find("work-note").hidden = document.querySelector("table.nights").hidden = true;
}
export function showEvents(events) {
  const list = find("event-list");
  for (const event of events) {
    if (event.number <= newest) continue;
    newest = event.number;
    list.prepend(make("li", {}, make("span", { class: "at", text: count(event.tick) }), make("b", { text: [event.kind, event.source].filter(Boolean).join(" ") }), make("span", { text: event.message })));
  }
  while (list.children.length > 200) list.lastElementChild.remove();
}
