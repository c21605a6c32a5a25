// The server's routes. The token comes once in the address (#token=...), is removed from it, and stays in this tab.
const KEY = "sage-token";
const AGAIN_MS = 3000, NO_TOKEN = 401;

export function keepToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname + location.search);
}
export const hasToken = () => Boolean(sessionStorage.getItem(KEY));
export const setToken = (token) => sessionStorage.setItem(KEY, token.trim());

const ownToken = () => (hasToken() ? { authorization: `Bearer ${sessionStorage.getItem(KEY)}` } : {});

export async function read(path) {
  return settled(await fetch(path, { headers: { accept: "application/json", ...ownToken() } }));
}
export async function command(verb) {
  const headers = { "content-type": "application/json", ...ownToken() };
  const secs = verb === "estop" ? 10 : 90;
  const response = await fetch(`/api/control/${verb}`, { method: "POST", headers, body: "{}", signal: AbortSignal.timeout(1000 * secs) }).catch((error) => {
    throw new Error(error.name === "TimeoutError" ? `no reply within ${secs} s` : "no connection to the session");
  });
  if (response.status === NO_TOKEN) sessionStorage.removeItem(KEY);
  return settled(response);
}
// The newest picture of a source; null where the one with the tag `known` is still the newest, and where there is none.
export async function readPicture(source, known) {
  const headers = { ...(known ? { "if-none-match": known } : {}), ...ownToken() };
  const response = await fetch(`/api/picture?name=${encodeURIComponent(source)}`, { headers, cache: "no-store" }).catch(() => null);
  if (response?.status !== 200) return null;
  const file = await response.blob();
  const address = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(file);
  });
  return { tag: response.headers.get("etag"), address };
}
async function settled(response) {
  const body = await response.json();
  if (!response.ok) throw new Error(body.error?.message ?? `status ${response.status}`);
  return body;
}
// Does not return: it connects again after each break. An EventSource cannot send the token, which another machine needs, and does not connect again after a reply
// with another status, of a session that starts or has too many connections.
export async function follow(onFrame, onBreak, askToken) {
  for (;;) {
    const status = await stream(onFrame);
    onBreak();
    if (status === NO_TOKEN) {
      sessionStorage.removeItem(KEY);
      if (await askToken()) continue;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
// The status of a reply without frames, 0 at the end of the connection.
async function stream(onFrame) {
  const response = await fetch("/api/live", { headers: { accept: "text/event-stream", ...ownToken() } }).catch(() => null);
  if (!response?.ok) return response?.status ?? 0;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = ""; ;) {
    const { value, done } = await reader.read().catch(() => ({ done: true }));
    if (done) return 0;
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) if (event.startsWith("data: ")) show(onFrame, event.slice("data: ".length));
  }
}
function show(onFrame, text) {
  try {
    onFrame(JSON.parse(text));
  } catch (error) {
    reportError(error);
  }
}
