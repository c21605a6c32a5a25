"""A scripted HTTP server with the endpoints of model servers, for tests of clients. It is not a model.

It speaks the OpenAI-compatible and the Ollama endpoints and returns what its script has, failures included.
Invariants: it listens on loopback, on a free port; `close` ends every connection, so that no test waits.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from sage.errors import InputError

#: hang: no reply.  status: 500.  redirect: 302.  garbage: no JSON.  form: JSON of another form.  nan: an
#: embedding with NaN.  huge: more bytes than announced limits.  drip: one byte at a time, without an end.
#: cut: the connection ends in the body.  silent: the connection ends without a reply.
Failing = Literal["hang", "status", "redirect", "garbage", "form", "nan", "huge", "drip", "cut", "silent"]
HUGE_BYTES = 1 << 23
_DRIP_SECS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply. embedding: for the endpoints of embeddings.  logprobs: of the text's tokens, or empty.
    failing: what goes wrong in place of it.
    """

    text: str = "all is well"
    embedding: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    logprobs: tuple[float, ...] = ()
    failing: Failing | None = None


class FakeLanguageServer:
    """Serves while it is entered. script: replies in order, for chats and embeddings together; the last one
    repeats.  requests: (path, body, authorization) of every request so far. InputError for an empty script.
    """

    def __init__(self, script: Sequence[Reply] = (Reply(),)) -> None:
        if not script:
            raise InputError("script is empty: give at least one Reply")
        self.requests: list[tuple[str, dict[str, Any], str | None]] = []
        self._script = list(script)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeLanguageServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_reply(self, path: str, body: dict[str, Any], authorization: str | None) -> Reply:
        with self._lock:
            self.requests.append((path, body, authorization))
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def wait(self, secs: float | None = None) -> bool:
        """Whether the server closes, after at most `secs`."""
        return self._closing.wait(secs)


def _handler(server: FakeLanguageServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "sage-fake-language-server"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            try:
                body = json.loads(self.rfile.read(length))
            except ValueError:
                self._send(400, b"no JSON")
                return
            reply = server.next_reply(self.path, body, self.headers.get("Authorization"))
            document = _document(self.path, reply)
            if document is None:
                self._send(404, b"no such endpoint")
            elif reply.failing is None or reply.failing == "nan":
                self._send(200, json.dumps(document).encode())
            else:
                self._fail(reply.failing, json.dumps(document).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

        def _send(self, status: int, body: bytes, *, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def _fail(self, failing: Failing, body: bytes) -> None:
            if failing == "hang":
                server.wait()
            elif failing == "status":
                self._send(500, b"out of memory")
            elif failing == "redirect":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
            elif failing == "garbage":
                self._send(200, b"<html>not JSON</html>")
            elif failing == "form":
                self._send(200, b'{"answer": 42}')
            elif failing == "huge":
                self._stream(b" " * HUGE_BYTES)
            elif failing == "cut":
                self._send(200, body, length=len(body) + 100)
            elif failing == "drip":
                self._drip(body)

        def _stream(self, body: bytes) -> None:
            """Without a length: the client cannot refuse it before it reads."""
            self.send_response(200)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # the client has had enough

        def _drip(self, body: bytes) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while not server.wait(_DRIP_SECS):
                    self.wfile.write(b" ")
                    self.wfile.flush()
            except OSError:
                return

    return Handler


def _document(path: str, reply: Reply) -> dict[str, Any] | None:
    """The reply in the form of an endpoint; None for another path."""
    embedding = [float("nan"), *reply.embedding[1:]] if reply.failing == "nan" else list(reply.embedding)
    tokens = [{"token": "?", "logprob": each} for each in reply.logprobs]
    message = {"role": "assistant", "content": reply.text}
    documents: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "stop",
                    "logprobs": {"content": tokens} if tokens else None,
                }
            ],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        },
        "/v1/embeddings": {"data": [{"index": 0, "embedding": embedding}], "usage": {"total_tokens": 3}},
        "/api/chat": {"message": message, "done": True, "prompt_eval_count": 7, "eval_count": 3},
        "/api/embed": {"embeddings": [embedding], "prompt_eval_count": 3},
    }
    return documents.get(path)
