"""A local model of the package transformers as a language model (extra `language`)."""

from __future__ import annotations

from typing import Any

from sage.sensors.contract import SensorUnavailable
from sage.sensors.language.model import AskFailed, ModelReply


class PipelineModel:
    """A LanguageModel around `transformers.pipeline("text-generation", path)`.

    path: a folder or a name in the local cache; nothing is downloaded.  max_new_tokens: of one answer.
    """

    def __init__(self, path: str, *, max_new_tokens: int) -> None:
        try:
            import transformers
        except ImportError:
            raise SensorUnavailable(
                "backend transformers: the package is missing: pip install transformers"
            ) from None
        self._max_new_tokens = max_new_tokens
        try:
            self._pipeline: Any = transformers.pipeline(
                "text-generation", model=path, model_kwargs={"local_files_only": True}
            )
        except (OSError, ValueError) as error:
            raise SensorUnavailable(
                f"backend transformers: {path} cannot be loaded: {error}: give a folder with a model"
            ) from None

    def ask(self, prompt: str, deadline_secs: float) -> ModelReply:
        """`max_time` ends the generation at the deadline, between two tokens."""
        returned = self._pipeline(
            prompt,
            max_new_tokens=self._max_new_tokens,
            max_time=deadline_secs,
            return_full_text=False,
            do_sample=False,
        )
        try:
            text = returned[0]["generated_text"]
        except (TypeError, KeyError, IndexError):
            raise AskFailed("garbage", "the pipeline returned no generated_text") from None
        if not isinstance(text, str):
            raise AskFailed("garbage", f"generated_text is {type(text).__name__}, not a text")
        return ModelReply(text=text, num_tokens=self._num_tokens(prompt + text))

    def close(self) -> None:
        """It has nothing to close."""

    def _num_tokens(self, text: str) -> int | None:
        tokenizer = getattr(self._pipeline, "tokenizer", None)
        return None if tokenizer is None else len(tokenizer(text)["input_ids"])
