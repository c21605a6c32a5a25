"""Settings of the kind `language`, and the parts that they name. Imports no backend.

Invariant: a config names exactly one source of the text and one of its embedding.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sage.errors import InputError
from sage.sensors.config import SensorConfig
from sage.sensors.language.http_transport import checked_url
from sage.sensors.language.prompt import PromptTemplate

Backend = Literal["function", "openai", "ollama", "transformers"]
SERVERS = ("openai", "ollama")


class LanguageConfig(SensorConfig):
    """backend: where the text comes from.  function: "module:function" of backend function; it gets the
    prompt and returns a text.  returns_at_once: the function may run on the loop's thread, and under --fast.
    url, model: of a server; `model` is the folder of backend transformers.  allow_hosts: hosts other than
    loopback that prompts may be sent to.  key_env: environment variable with the server's key.

    prompt: a template, see `sage.sensors.language.prompt`.  system: a system message for servers.
    topic: sources of one topic and one embedding space answer the same question and are compared.
    period_secs: between two questions, counted from the run's start.

    embedder: hashing, wordllama or module:function.  embedding_model: of the same server, in place of an
    embedder.  is_embedded: the function returns the embedding itself.  embedding_size: numbers in one.

    deadline_secs: of one call.  calls_a_minute, tokens_an_hour, secs_an_hour: the budget.
    max_text_bytes: of an answer, more is cut off.  max_body_bytes: of a server's reply.
    max_failures: calls without an answer, in a row, before the sensor is a fault.
    unknown_confidence: where the backend gives none.  asks_logprobs: ask an OpenAI-compatible server for
    them; their mean is the confidence.

    checker: module:function(text, prompt) -> 0..1 or None, whether the answer is right.
    lineage: names, for example of the model, that sources share which are not independent.
    """

    kind: Literal["language"] = "language"
    backend: Backend
    function: str | None = None
    returns_at_once: bool = False
    url: str | None = None
    model: str | None = Field(None, min_length=1)
    allow_hosts: tuple[str, ...] = ()
    key_env: str | None = None
    prompt: str = Field(min_length=1, max_length=16_384)
    system: str = Field("", max_length=16_384)
    topic: str = ""
    period_secs: float = Field(5.0, ge=0.05)
    embedder: str | None = None
    embedding_model: str | None = Field(None, min_length=1)
    is_embedded: bool = False
    embedding_size: int = Field(256, ge=8, le=8192)
    deadline_secs: float = Field(30.0, gt=0)
    calls_a_minute: float = Field(60.0, gt=0)
    tokens_an_hour: float = Field(200_000.0, gt=0)
    secs_an_hour: float = Field(3600.0, gt=0)
    max_new_tokens: int = Field(128, ge=1)
    max_text_bytes: int = Field(4096, ge=16, le=1 << 20)
    max_body_bytes: int = Field(1 << 20, ge=1024, le=1 << 26)
    max_failures: int = Field(5, ge=1)
    unknown_confidence: float = Field(0.5, ge=0, le=1)
    asks_logprobs: bool = False
    checker: str | None = None
    lineage: tuple[str, ...] = ()
    max_age_secs: float = Field(120.0, gt=0)

    @model_validator(mode="after")
    def _check_parts(self) -> LanguageConfig:
        PromptTemplate(self.prompt)
        if self.isolate:
            raise InputError("isolate is true, but the run's readings are in the loop's process: remove it")
        if ":" in self.topic:
            raise InputError(f"topic is {self.topic!r}: give a name without ':'")
        self._check_backend()
        given = [
            name
            for name, value in (
                ("embedder", self.embedder),
                ("embedding_model", self.embedding_model),
                ("is_embedded", self.is_embedded),
            )
            if value
        ]
        if len(given) != 1:
            raise InputError(
                f"{' and '.join(given) or 'no embedder'} given: give one of embedder (hashing, wordllama,"
                " module:function), embedding_model (of the server) or is_embedded"
            )
        if self.embedding_model and self.backend not in SERVERS:
            raise InputError(f"embedding_model is that of a server, backend is {self.backend}: give embedder")
        if self.is_embedded and self.backend != "function":
            raise InputError(f"is_embedded needs backend function, it is {self.backend}: give embedder")
        if self.max_age_secs <= self.deadline_secs:
            raise InputError(
                f"max_age_secs is {self.max_age_secs}: give more than deadline_secs, {self.deadline_secs}"
            )
        return self

    def _check_backend(self) -> None:
        needed = {"function": ("function",), "transformers": ("model",)}.get(self.backend, ("url", "model"))
        for key in needed:
            if getattr(self, key) is None:
                raise InputError(f"backend {self.backend} needs {key}: give it")
        for key in {"function", "url", "model"} - {*needed}:
            if getattr(self, key) is not None:
                raise InputError(f"backend {self.backend} has no {key}: remove it")
        if self.returns_at_once and self.backend != "function":
            raise InputError(f"returns_at_once needs backend function, it is {self.backend}: remove it")
        if self.url is not None:
            checked_url(self.url, self.allow_hosts)
