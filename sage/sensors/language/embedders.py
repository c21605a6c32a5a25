"""Embedding models for texts that run here: `wordllama`, with weights, and `hashing`, without any.

- wordllama (PyPI; extra `language`): averaged word vectors of a language model, 64 to 256 numbers; the
  weights are in its wheel and nothing is downloaded.
- hashing: feature hashing of words and of groups of three letters (Weinberger et al. 2009). Texts are close
  where they share words or parts of words; it has no notion of meaning.

Neither represents a negation well: "the lamp is on" and "the lamp is not on" are close.
"""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from sage.errors import InputError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.language.function import FunctionEmbedder
from sage.sensors.language.model import Embedder

_WORDS = re.compile(r"\w+")
SHORT_WORD, SHORT_WEIGHT = 3, 0.2
WORDLLAMA_SIZES = (64, 128, 256)


def embedder_of(name: str, size: int) -> Embedder:
    """By its name in a configuration: "hashing", "wordllama" or "module:function".

    InputError for another name or size; SensorUnavailable where its package is missing.
    """
    if name == "hashing":
        return HashingEmbedder(size)
    if name == "wordllama":
        return WordllamaEmbedder(size)
    if ":" in name:
        return FunctionEmbedder(name, size)
    raise InputError(f"embedder is {name!r}: give hashing, wordllama or module:function")


class HashingEmbedder:
    """Signed counts of words and of their letter groups (together as much as the word), of unit length.

    Words of up to SHORT_WORD letters, most of which carry no content, count SHORT_WEIGHT.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def space(self) -> str:
        return f"hashing {self._size}"

    @property
    def size(self) -> int:
        return self._size

    def embed(self, text: str, deadline_secs: float) -> np.ndarray:
        vector = np.zeros(self._size, dtype=np.float32)
        for word in _WORDS.findall(text.lower()):
            weight = 1.0 if len(word) > SHORT_WORD or word.isdecimal() else SHORT_WEIGHT
            groups = [f"{word}$"[at : at + 3] for at in range(max(len(word) - 1, 1))]
            self._add(vector, f" {word}", weight)
            for group in groups:
                self._add(vector, group, weight / len(groups))
        length = math.sqrt(float((vector**2).sum()))
        return vector / length if length > 0 else vector

    def _add(self, vector: np.ndarray, feature: str, weight: float) -> None:
        drawn = crc32(feature.encode())
        vector[drawn % self._size] += weight if drawn & 0x80000000 else -weight


class WordllamaEmbedder:
    """The word vectors of the package `wordllama`, from the files in its wheel."""

    def __init__(self, size: int) -> None:
        if size not in WORDLLAMA_SIZES:
            raise InputError(f"embedding_size is {size}: wordllama has {WORDLLAMA_SIZES}")
        self._size = size
        self._model = _load_wordllama(size)

    @property
    def space(self) -> str:
        return f"wordllama {self._size}"

    @property
    def size(self) -> int:
        return self._size

    def embed(self, text: str, deadline_secs: float) -> np.ndarray:
        vector: np.ndarray = self._model.embed([text])[0]
        return vector.astype(np.float32)


@functools.cache
def _load_wordllama(size: int) -> Any:
    """Several sensors share one model; its arrays are read only."""
    try:
        import wordllama
    except ImportError:
        raise SensorUnavailable(
            "embedder wordllama: the package is missing: pip install wordllama, or embedder: hashing"
        ) from None
    try:
        # The package looks for its tokenizer in a cache folder; its own has the same layout.
        return wordllama.WordLlama.load(
            cache_dir=Path(wordllama.__file__).parent,
            trunc_dim=None if size == max(WORDLLAMA_SIZES) else size,
            disable_download=True,
        )
    except (OSError, ValueError) as error:
        raise SensorUnavailable(
            f"embedder wordllama: its weights cannot be loaded: {error}: pip install --force-reinstall"
            " wordllama"
        ) from None
