"""The backend, the embedder and the checker that a configuration names."""

from __future__ import annotations

from sage.errors import InputError
from sage.sensors.language.asking import Check
from sage.sensors.language.config import LanguageConfig
from sage.sensors.language.embedders import embedder_of
from sage.sensors.language.function import FunctionModel, checker_of
from sage.sensors.language.http_transport import HttpTransport, checked_url
from sage.sensors.language.model import Embedder, LanguageModel
from sage.sensors.language.pipeline import PipelineModel
from sage.sensors.language.servers import (
    OLLAMA_EMBEDDING,
    OPENAI_EMBEDDING,
    OllamaModel,
    OpenAIModel,
    Request,
    ServerEmbedder,
)


def model_for(config: LanguageConfig) -> LanguageModel:
    """SensorUnavailable for a missing package, model or key; InputError for a function that is not there."""
    if config.backend == "function":
        return FunctionModel(_given(config.function, "function"))
    if config.backend == "transformers":
        return PipelineModel(_given(config.model, "model"), max_new_tokens=config.max_new_tokens)
    request = Request(
        model=_given(config.model, "model"),
        system=config.system,
        max_new_tokens=config.max_new_tokens,
        asks_logprobs=config.asks_logprobs,
    )
    kind = OpenAIModel if config.backend == "openai" else OllamaModel
    return kind(_transport(config), request)


def embedder_for(config: LanguageConfig) -> Embedder | None:
    """None where the function returns the embedding itself."""
    if config.is_embedded:
        return None
    if config.embedding_model is not None:
        path, place = OPENAI_EMBEDDING if config.backend == "openai" else OLLAMA_EMBEDDING
        return ServerEmbedder(
            _transport(config), config.embedding_model, config.embedding_size, path=path, place=place
        )
    return embedder_of(_given(config.embedder, "embedder"), config.embedding_size)


def check_of(config: LanguageConfig) -> Check | None:
    return None if config.checker is None else checker_of(config.checker)


def _transport(config: LanguageConfig) -> HttpTransport:
    url = checked_url(_given(config.url, "url"), config.allow_hosts)
    return HttpTransport(url, key_env=config.key_env, max_body_bytes=config.max_body_bytes)


def _given(value: str | None, key: str) -> str:
    if value is None:
        raise InputError(f"{key} is missing: give it")
    return value
