// The live page: frames from the stream, history from the store, commands and keys.
import { problemsOf, setAlert } from "./live_alert.js";
import { command, follow, hasToken, keepToken, read, setToken } from "./live_api.js";
import { clock, count, find, make, number, put } from "./live_format.js";
import { forgetHand, showHand } from "./live_hand.js";
import { budgetMillis, forgetParts, showEffectors, showEvents, showLoop, showMemories, showMemory, showNights, showSleep, showSources, showWork } from "./live_parts.js";
import { forgetPictures, showPictures } from "./live_pictures.js";
import { LinePlot, markNights } from "./live_plots.js";

const HISTORY_SECS = 10;
// A night that ended is in the store, and no longer hidden by a shared reply, after this time.
const SETTLED_SECS = 2.5;
const CURVE = { low: 0, high: 100, show: (value) => `${value.toFixed(0)}%` };
const CURVE_NOTE = find("curve-note").textContent;
const plots = {
  curve: new LinePlot("curve", CURVE),
  tick: new LinePlot("tick", { low: 0, show: (value) => `${number(value, 1)} ms` }),
  surprise: new LinePlot("surprise", { isLog: true, low: 0.01, high: 1000, level: 1, show: (value) => number(value) }),
  activity: new LinePlot("activity", { low: 0, show: (value) => number(value) }),
  coherence: new LinePlot("coherence", { high: 1, show: (value) => number(value) }),
};
const COHERENCE = [["coherence", "coherence", 0], ["agreement", "agreement", 2], ["agreement_null", "agreement by chance", -1], ["correctness", "correctness", 1]];
const ACTIVITY = [["h_change", "H", 0], ["l_change", "L", 1]];
let frame = null, isRead = false, knownSleeps = -1, historyProblem = "";

function onFrame(next) {
  if (frame && next.status.session !== frame.status.session) beginSession();
  frame = next;
  const { status } = frame;
  put(find("name"), status.name ?? "SAGE");
  put(find("session"), status.session ?? "");
  showState(status.is_paused ? "paused" : status.state);
  put(find("clock"), clock(status.run_secs));
  put(find("tick"), count(status.tick));
  put(find("rate"), `${number(status.tick_hz, 1)} Hz`);
  showNotices(status);
  showActions(status);
  showEvents(frame.events);
  if (!frame.sources) return;
  showLoop(status);
  showWork(frame.work);
  showSources(frame.sources);
  showMemory(frame);
  showMemories(frame.memories);
  showSleep(status, frame.sleep);
  showEffectors(status, frame.actions);
  find("glance").classList.toggle("alone", !frame.puzzles.length && !frame.worlds.length);
  showPictures(frame.sources, frame.worlds);
  showHand(frame.puzzles, frame.worlds);
  plots.tick.options.level = budgetMillis(status);
  plots.tick.add(status.run_secs, { total: status.tick_ms, model: status.model_ms });
  plots.coherence.add(status.run_secs, frame.coherence);
  plots.surprise.add(status.run_secs, frame.coherence);
  plots.activity.add(status.run_secs, frame.activity);
  if (!isRead) readHistory();
  else if (frame.sleep.num !== knownSleeps) setTimeout(readHistory, SETTLED_SECS * 1000);
  isRead = true;
  knownSleeps = frame.sleep.num;
}

// The page stays open while a session ends and another begins at its address.
function beginSession() {
  forgetParts();
  forgetHand();
  forgetPictures();
  markNights([]);
  Object.assign(plots.curve.options, CURVE);
  put(find("curve-note"), CURVE_NOTE);
  for (const plot of Object.values(plots)) plot.setData([], []);
  isRead = false;
}

function showState(state) {
  const element = find("state");
  put(element, state);
  element.dataset.state = state;
  document.title = `${state}: ${frame?.status.name ?? "SAGE"}`;
}

function showNotices(status) {
  const late = status.secs_since_tick > Math.max(3, 0.003 * (budgetMillis(status) || 0)) && !status.is_paused;
  const tick = late ? `No tick has ended for ${Math.round(status.secs_since_tick)} s.` : "";
  const text = [tick, ...status.notices.filter((each) => !each.startsWith("paused")), historyProblem].filter(Boolean).join("\n");
  find("about").hidden = !text;
  put(find("about"), text);
}

async function readHistory() {
  if (document.hidden) return;
  try {
    const names = ["total_ns", "model_ns", "surprise", ...[...COHERENCE, ...ACTIVITY].map(([key]) => key)].join();
    const [series, levels, nights] = await Promise.all([read(`/api/series?names=${names}&points=400`), read("/api/levels?points=300"), read("/api/nights")]);
    const millis = (values) => values.map((value) => (value === null ? null : value / 1e6));
    plots.tick.setData(series.times, [
      { key: "total", label: "whole tick", tone: 0, values: millis(series.series.total_ns) },
      { key: "model", label: "model", tone: 1, dashed: true, values: millis(series.series.model_ns) },
    ]);
    const lines = (columns) => columns.map(([key, label, tone]) => ({ key, label, tone, dashed: tone < 0, values: series.series[key] }));
    plots.coherence.setData([...series.times], lines(COHERENCE));
    plots.activity.setData([...series.times], lines(ACTIVITY));
    plots.surprise.setData([...series.times], lines([["surprise", "surprise", 0]]));
    showCurve(levels);
    showNights(nights.nights);
    markNights(nights.nights.filter((night) => night.outcome !== "skipped").map((night) => ({ secs: secsOf(series, night.end_tick || night.tick), outcome: night.outcome })));
    historyProblem = "";
  } catch (error) {
    historyProblem = `The history cannot be read: ${error.message}`;
  }
  if (frame) showNotices(frame.status);
}

function showCurve(found) {
  if (!found.levels.length && found.worlds.length) {
    put(find("curve-note"), "Median return of the last 20 episodes of each world. Lines mark nights.");
    Object.assign(plots.curve.options, { low: null, high: null, show: (value) => number(value) });
    plots.curve.setData(found.times, found.worlds.map((world, tone) => ({ key: world.world, label: world.world, tone, values: world.return })));
    return;
  }
  const isSingle = new Set(found.levels.map((level) => level.stream)).size < 2;
  const lines = found.levels.filter((level) => level.num_answers).map((level, tone) => ({
    key: `${level.stream}/${level.name}`, label: isSingle ? level.name : `${level.stream}: ${level.name}`, tone, values: level.share.map((share) => (share === null ? null : 100 * share)),
  }));
  plots.curve.setData(found.times, lines);
}

// The time of a tick, by the stored points around it.
function secsOf({ ticks, times }, tick) {
  const after = ticks.findIndex((each) => each >= tick);
  if (after <= 0) return times[after < 0 ? times.length - 1 : 0] ?? 0;
  const share = (tick - ticks[after - 1]) / (ticks[after] - ticks[after - 1]);
  return times[after - 1] + share * (times[after] - times[after - 1]);
}

const ASKS = { arm: ["Let effectors act again?", "Check the machine first. They act as soon as the policy allows it."] };
const LABELS = { pause: "Pause", resume: "Resume", sleep: "Sleep", wake: "Wake", snapshot: "Snapshot", arm: "Arm", estop: "E-stop" };

function offered(status) {
  const isHeld = Object.keys(status.held).length > 0, isAsleep = status.state === "dream";
  const wanted = { pause: !status.is_paused, resume: status.is_paused, sleep: !isAsleep, wake: isAsleep, snapshot: true, arm: isHeld, estop: true };
  return Object.keys(LABELS).filter((verb) => wanted[verb] && (status.commands ?? []).includes(verb));
}
function showActions(status) {
  const verbs = offered(status), host = find("actions");
  if (host.dataset.verbs === verbs.join()) return;
  const focused = document.activeElement?.dataset?.verb;
  host.dataset.verbs = verbs.join();
  host.replaceChildren(...verbs.map((verb) => make("button", { type: "button", "data-verb": verb, class: verb === "estop" ? "danger" : verb === "arm" ? "strong" : "", text: LABELS[verb], onclick: () => run(verb) })));
  if (focused) (host.querySelector(`[data-verb="${focused}"]`) ?? host.firstElementChild)?.focus();
}

async function run(verb) {
  if (!hasToken() && !(await askToken())) return;
  if (ASKS[verb] && !(await ask(...ASKS[verb]))) return;
  const button = find("actions").querySelector(`[data-verb="${verb}"]`);
  if (button) button.disabled = true;
  try {
    const problems = problemsOf(await command(verb));
    setAlert(verb, problems && `${LABELS[verb]}: ${problems}`);
  } catch (error) {
    setAlert(verb, `${LABELS[verb]}: ${error.message}${verb === "estop" ? ": cut the power of what moves" : ""}`);
  } finally {
    if (button) button.disabled = false;
  }
}

function ask(title, text, withInput = false) {
  const dialog = find("ask"), input = find("ask-input");
  if (dialog.open) return "";
  put(find("h-ask"), title);
  put(find("ask-text"), text);
  put(find("ask-yes"), withInput ? "Use it" : "Yes");
  input.hidden = !withInput;
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? input.value || "yes" : ""), { once: true }));
}
async function askToken() {
  const given = await ask("The token is needed", "Open the address that sage run printed, or give the token here: it is in http.token of the state directory.", true);
  if (given && given !== "yes") setToken(given);
  return hasToken();
}

const SECTIONS = ["life", "loop", "senses", "mind", "sleep", "effectors", "events"];
const KEYS = [["1 to 7", "go to a section"], ["p", "pause or resume"], ["s", "start or end a night"], ["Shift + E", "stop every effector"], ["?", "this list"]];
find("key-list").append(...KEYS.flatMap(([key, about]) => [make("dt", {}, make("kbd", { text: key })), make("dd", { text: about })]));
document.addEventListener("keydown", (event) => {
  // A key that is held down is one command: its repetitions would pause and resume in turn.
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input:not([type=range])")) return;
  // A stop is never in the way of a dialog. Caps Lock makes the letter small.
  const isStop = event.shiftKey && event.key.toLowerCase() === "e" || event.key === "E";
  if (!isStop && document.querySelector("dialog[open]")) return;
  const verbs = frame ? offered(frame.status) : [], either = (...names) => names.find((name) => verbs.includes(name));
  const verb = { p: either("pause", "resume"), s: either("sleep", "wake") }[event.key] ?? (isStop ? either("estop") : undefined);
  if (event.key === "?") find("keys").showModal();
  else if (SECTIONS[event.key - 1]) {
    const heading = find(`h-${SECTIONS[event.key - 1]}`);
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    heading.closest("section").scrollIntoView();
  } else if (verb) run(verb);
  else return;
  event.preventDefault();
});

// The bar grows with its notices: a section that a key goes to begins below it.
const bar = document.querySelector(".bar");
new ResizeObserver(() => { document.documentElement.style.scrollPaddingTop = `${bar.offsetHeight + 12}px`; }).observe(bar);

keepToken();
follow(onFrame, () => showState("no connection"), askToken);
setInterval(readHistory, HISTORY_SECS * 1000);
document.addEventListener("visibilitychange", readHistory);
