// The viewer in a file: the examples are in the file.
import { showDatasets } from "./dataset.js";

const held = JSON.parse(document.getElementById("data").textContent);
for (const [side, facts] of Object.entries(held.dataset.sides)) facts.num_shown = held.examples[side].length;

showDatasets(document.getElementById("datasets"), {
  list: async () => [held.dataset],
  examples: async (name, { side, start, num, identifier, group }) => {
    const found = held.examples[side].filter((each) => (identifier === undefined || each.identifier.includes(identifier)) && (group === undefined || each.group === Number(group)));
    return { start, num_found: found.length, examples: found.slice(start, start + num) };
  },
});
