// Commands that failed, each until the reader dismisses it or a later call of the same command succeeds.
import { find, make } from "./live_format.js";

const lines = new Map();

// text "": the command succeeded.
export function setAlert(verb, text) {
  if (text) lines.set(verb, text);
  else lines.delete(verb);
  const host = find("notice");
  host.hidden = !lines.size;
  host.classList.toggle("bad", lines.size > 0);
  host.querySelector("div").replaceChildren(...[...lines.values()].map((line) => make("p", { text: line })));
}

// What a command that was carried out could not do: effectors that E-stop did not stop, a hold that is not on the disk.
export function problemsOf(result) {
  const stuck = Object.entries(result.failed ?? {}).map(([name, reason]) => `${name}: ${reason}: cut its power`);
  return [...stuck, result.problem].filter(Boolean).join("; ");
}

find("notice").querySelector("button").addEventListener("click", () => {
  for (const verb of [...lines.keys()]) setAlert(verb, "");
});
