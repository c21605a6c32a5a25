// Requests to this server. The token comes in the address's fragment, which is not sent, or from the form; it stays
// in this tab.
const KEY = "sage-token";

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname + location.search);
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The reply as an object. onLine: a function of each object of a reply in lines.  signal: cancels the request.
export async function ask(path, body, { onLine, signal } = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  const options = { headers, method: body === undefined ? "GET" : "POST", signal };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw new Refused(0, "Cancelled");
    throw new Refused(0, "The server does not answer: start it again with `sage serve`");
  }
  if (reply.ok && onLine) return readLines(reply, onLine);
  const plain = await reply.json().catch(() => null);
  if (!reply.ok || plain === null) throw new Refused(reply.status, plain?.error?.message ?? `The server replied with ${reply.status}`);
  return plain;
}

async function readLines(reply, onLine) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return null;
    const lines = (held + value).split("\n");
    held = lines.pop();
    for (const line of lines) onLine(JSON.parse(line));
  }
}

// Runs `start`; without a valid token the form with the id "token" is shown until there is one.
export async function withToken(start, showFault) {
  const form = document.getElementById("token");
  async function attempt() {
    try {
      await start();
      form.hidden = true;
      document.getElementById("main").hidden = false;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        form.hidden = false;
        document.getElementById("main").hidden = true;
        form.elements.token.focus();
      } else {
        document.getElementById("main").hidden = false;
        showFault(error);
      }
    }
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, form.elements.token.value.trim());
    attempt();
  });
  // A link with a token, opened while the page is open, changes the fragment alone.
  addEventListener("hashchange", () => location.reload());
  await attempt();
}
