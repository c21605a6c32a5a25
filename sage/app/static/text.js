// The form for text: a prompt, and its continuation as it is generated.
import { ask } from "./api.js";
import { html } from "./board.js";

export function textForm(models) {
  const model = html("select", {}, ...models.map((each) => html("option", { value: each.name }, each.name)));
  const prompt = html("textarea", { id: "prompt", rows: 3, spellcheck: "false" });
  const temperature = html("input", { type: "number", min: 0, max: 100, step: 0.1, value: 0 });
  const seed = html("input", { type: "number", min: 0, step: 1, value: 0 });
  const length = html("input", { type: "number", min: 2, step: 1, value: models[0].max_length });
  const start = html("button", { class: "main", type: "submit" }, "Generate");
  const shown = html("pre", { class: "text", "aria-live": "polite", hidden: true });
  const told = html("p", { class: "note", role: "status" });
  const fault = html("p", { class: "fault", role: "alert", hidden: true });
  const form = html("form", { class: "stack" },
    html("div", { class: "row" }, html("label", {}, "Model ", model)),
    html("label", { for: "prompt" }, "Prompt"), prompt,
    html("div", { class: "row" }, html("label", {}, "Tokens, prompt included ", length), html("label", {}, "Temperature (0: the likeliest token) ", temperature), html("label", {}, "Random seed ", seed)),
    html("div", { class: "row" }, start), fault, shown, told);
  model.addEventListener("change", () => { length.value = String(models.find((each) => each.name === model.value).max_length); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    fault.hidden = true;
    const asked = { model: model.value, prompt: prompt.value, temperature: Number(temperature.value), seed: Number(seed.value), max_length: Number(length.value), stream: true };
    try {
      const onLine = (step) => {
        shown.hidden = false;
        shown.replaceChildren(html("b", {}, step.prompt), step.text);
        told.textContent = `${step.num_new} tokens`;
      };
      await ask("/v1/generate", asked, { onLine });
    } catch (error) {
      fault.textContent = error.message;
      fault.hidden = false;
    } finally {
      start.disabled = false;
    }
  });
  return form;
}
