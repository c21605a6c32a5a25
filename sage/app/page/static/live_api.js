// The server's routes. The token comes once in the address (#token=...), is removed from it, and stays in this tab.
const KEY = "sage-token";
const AGAIN_MS = 3000;

export function keepToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname + location.search);
}
export const hasToken = () => Boolean(sessionStorage.getItem(KEY));
export const setToken = (token) => sessionStorage.setItem(KEY, token.trim());

export async function read(path) {
  return settled(await fetch(path, { headers: { accept: "application/json" } }));
}
export async function command(verb) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  const secs = verb === "estop" ? 10 : 90;
  const response = await fetch(`/api/control/${verb}`, { method: "POST", headers, body: "{}", signal: AbortSignal.timeout(1000 * secs) }).catch((error) => {
    throw new Error(error.name === "TimeoutError" ? `no reply within ${secs} s` : "no connection to the session");
  });
  if (response.status === 401) sessionStorage.removeItem(KEY);
  return settled(response);
}
async function settled(response) {
  const body = await response.json();
  if (!response.ok) throw new Error(body.error?.message ?? `status ${response.status}`);
  return body;
}
// EventSource connects again by itself after a break, but not after a reply with another status, of a session that
// starts or has too many connections.
export function follow(onFrame, onBreak) {
  const source = new EventSource("/api/live");
  source.onmessage = (message) => onFrame(JSON.parse(message.data));
  source.onerror = () => {
    onBreak();
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS, onFrame, onBreak);
  };
}
