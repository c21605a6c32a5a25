// The newest picture of each source that has them: of a world's camera beside its episode, of others below the sources.
import { readPicture } from "./live_api.js";
import { find, make, put } from "./live_format.js";

const SMALL = 160;  // pixels of a picture that is drawn larger than it is, with its pixels seen
const shown = new Map();  // by the name of the source

export function forgetPictures() {
  shown.clear();
  find("pictures").replaceChildren();
}

export function showPictures(sources, worlds) {
  const pictured = sources.filter((source) => source.picture);
  for (const source of pictured) {
    const picture = shown.get(source.name) ?? begin(source, worlds);
    put(picture.note, source.status === "running" ? source.picture.join(" × ") : source.status);
    if (!document.hidden) refresh(source.name, picture);
  }
}

export const picturesOf = (world) => [...shown.values()].filter((picture) => picture.world === world).map((picture) => picture.figure);

function begin({ name, picture: [width, height] }, worlds) {
  const image = make("img", { alt: `Newest picture of ${name}`, width, height, hidden: true, class: Math.max(width, height) < SMALL ? "small" : "" });
  const note = make("span", { class: "soft" });
  const figure = make("figure", { class: "picture" }, image, make("figcaption", {}, make("b", { text: name }), note));
  // The longest name is that of the world itself, where one world's name begins with another's.
  const owners = worlds.filter(({ world }) => name.startsWith(`${world}.`)).sort((one, other) => other.world.length - one.world.length);
  const begun = { figure, image, note, world: owners[0]?.world, tag: null, isAsked: false };
  if (!begun.world) find("pictures").append(figure);
  shown.set(name, begun);
  return begun;
}

// One request at a time for each source.
async function refresh(source, picture) {
  if (picture.isAsked) return;
  picture.isAsked = true;
  const found = await readPicture(source, picture.tag).catch(() => null);  // the reply was cut off
  picture.isAsked = false;
  if (!found) return;
  picture.tag = found.tag;
  picture.image.src = found.address;
  picture.image.hidden = false;
}
