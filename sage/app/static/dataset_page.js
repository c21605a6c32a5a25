// The served viewer: data sets below the folders that `sage serve --data` names.
import { ask, withToken } from "./api.js";
import { showDatasets } from "./dataset.js";

const fault = document.getElementById("page-fault");
const source = {
  list: async () => (await ask("/v1/datasets")).datasets,
  examples: (name, asked) => ask(`/v1/datasets/examples?${new URLSearchParams({ name, ...asked })}`),
};

await withToken(() => showDatasets(document.getElementById("datasets"), source), (error) => {
  fault.textContent = error.message;
  fault.hidden = false;
});
