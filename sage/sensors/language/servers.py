"""Model servers: the endpoints of OpenAI-compatible servers, and those of Ollama.

OpenAI-compatible: POST /v1/chat/completions and /v1/embeddings (llama.cpp's server, vLLM, LM Studio and
others). Ollama: POST /api/chat and /api/embed. Invariant: a reply of another form is AskFailed("garbage").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.sensors.language.http_transport import HttpTransport
from sage.sensors.language.model import AskFailed, ModelReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What goes with each prompt. system: a system message, or "".  asks_logprobs: for the confidence."""

    model: str
    system: str = ""
    max_new_tokens: int = 128
    asks_logprobs: bool = False

    def messages(self, prompt: str) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": prompt}]


class OpenAIModel:
    """A LanguageModel. confidence: the geometric mean probability of the answer's tokens, where the server
    returns log probabilities.
    """

    def __init__(self, transport: HttpTransport, request: Request) -> None:
        self._transport = transport
        self._request = request

    def ask(self, prompt: str, deadline_secs: float) -> ModelReply:
        payload: dict[str, Any] = {
            "model": self._request.model,
            "messages": self._request.messages(prompt),
            "max_tokens": self._request.max_new_tokens,
            "stream": False,
        }
        if self._request.asks_logprobs:
            payload["logprobs"] = True
        reply = self._transport.post("/v1/chat/completions", payload, deadline_secs)
        choice = at(reply, "choices", 0)
        return ModelReply(
            text=_text(at(choice, "message", "content")),
            confidence=_mean_probability(choice.get("logprobs")),
            num_tokens=_count(reply.get("usage"), "total_tokens"),
        )

    def close(self) -> None:
        self._transport.close()


class OllamaModel:
    """A LanguageModel."""

    def __init__(self, transport: HttpTransport, request: Request) -> None:
        self._transport = transport
        self._request = request

    def ask(self, prompt: str, deadline_secs: float) -> ModelReply:
        payload = {
            "model": self._request.model,
            "messages": self._request.messages(prompt),
            "stream": False,
            "options": {"num_predict": self._request.max_new_tokens},
        }
        reply = self._transport.post("/api/chat", payload, deadline_secs)
        counts = [_count(reply, name) for name in ("prompt_eval_count", "eval_count")]
        return ModelReply(
            text=_text(at(reply, "message", "content")),
            num_tokens=None if None in counts else sum(count or 0 for count in counts),
        )

    def close(self) -> None:
        self._transport.close()


class ServerEmbedder:
    """An Embedder at the same server. path: of its endpoint.  place: of the vector in the reply."""

    def __init__(
        self, transport: HttpTransport, model: str, size: int, *, path: str, place: tuple[str | int, ...]
    ) -> None:
        self._transport = transport
        self._model = model
        self._size = size
        self._path = path
        self._place = place

    @property
    def space(self) -> str:
        return f"{self._model} {self._size}"

    @property
    def size(self) -> int:
        return self._size

    def embed(self, text: str, deadline_secs: float) -> np.ndarray:
        reply = self._transport.post(self._path, {"model": self._model, "input": text}, deadline_secs)
        vector = at(reply, *self._place)
        if not isinstance(vector, list) or not all(isinstance(x, (int, float)) for x in vector):
            raise AskFailed("garbage", f"{self._path}: the embedding is not a list of numbers")
        return np.array(vector, dtype=np.float32)


OPENAI_EMBEDDING = ("/v1/embeddings", ("data", 0, "embedding"))
OLLAMA_EMBEDDING = ("/api/embed", ("embeddings", 0))


def at(reply: Any, *place: str | int) -> Any:
    """The value at a place in JSON; AskFailed where there is none."""
    value = reply
    try:
        for step in place:
            value = value[step]
    except (TypeError, KeyError, IndexError):
        raise AskFailed("garbage", f"the reply has no {'.'.join(map(str, place))}") from None
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise AskFailed("garbage", f"the content is {type(value).__name__}, not a text")
    return value


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and value >= 0 else None


def _mean_probability(logprobs: Any) -> float | None:
    """exp of the mean log probability of the tokens; None where the server does not return them."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list) or not content:
        return None
    logs: list[Any] = [each.get("logprob") for each in content if isinstance(each, dict)]
    if len(logs) != len(content) or not all(isinstance(x, (int, float)) and x <= 0 for x in logs):
        return None
    return math.exp(sum(logs) / len(logs))
