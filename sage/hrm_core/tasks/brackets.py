"""Two formal languages, byte by byte: a^n b^n, and brackets of several kinds that must close in the reverse
order.

Invariant: the tasks are causal; a label is the next byte where the grammar fixes it, IGNORED where it leaves
a choice. Cells are bytes, 0 pad. "aaabbb\\n": from the first b on all is fixed. "([{|}])\\n": after the bar
all is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys, without_ids

Grammar = Literal["anbn", "dyck"]
PAIRS = ("()", "[]", "{}", "<>")
NUM_BYTES = 256
CLOSER = {pair[0]: pair[1] for pair in PAIRS}


@dataclass(frozen=True, slots=True, kw_only=True)
class BracketsConfig:
    """grammar: anbn or dyck.  depth: the largest n, or the most brackets open at once.  pairs: kinds of
    brackets.
    length: of the part before the bar, at most (dyck)."""

    grammar: Grammar = "dyck"
    depth: int = 8
    pairs: int = 2
    length: int = 24

    def __post_init__(self) -> None:
        if self.grammar not in get_args(Grammar):
            raise InputError(f"grammar is {self.grammar!r}: give one of {', '.join(get_args(Grammar))}")
        least = 4 if self.grammar == "anbn" else 1
        if not least <= self.depth <= 1000:
            raise InputError(f"depth is {self.depth}: give {least} to 1000")
        if not 1 <= self.pairs <= len(PAIRS) or (
            not self.depth <= self.length <= 10_000 and self.grammar == "dyck"
        ):
            raise InputError(
                f"pairs is {self.pairs}, length is {self.length}: give 1 to {len(PAIRS)} pairs, a length of"
                " depth or more"
            )

    @property
    def seq_len(self) -> int:
        return 2 * self.depth if self.grammar == "anbn" else self.length + 1 + self.depth


class BracketsTask(Generated):
    """Input cell i is byte i, its label is byte i + 1."""

    def __init__(self, config: BracketsConfig | None = None) -> None:
        super().__init__()
        self.config = config or BracketsConfig()

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(name="brackets", vocab_size=NUM_BYTES, seq_len=self.config.seq_len, is_causal=True)

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        make = self._anbn if self.config.grammar == "anbn" else self._dyck
        examples = self._examples([make(rng) for _ in range(num)])
        if self.config.grammar == "anbn":
            # There is one word a depth: every fourth depth is held out.
            keys = (examples.inputs == ord("a")).sum(axis=1)
            return examples.take((keys % 4 == 3) == is_held_out)
        return examples.take(are_held_out(row_keys(examples.inputs)) == is_held_out)

    def _anbn(self, rng: np.random.Generator) -> str:
        depth = int(rng.integers(1, self.config.depth, endpoint=True))
        return "a" * depth + "b" * depth + "\n"

    def _dyck(self, rng: np.random.Generator) -> str:
        opened: list[str] = []
        word: list[str] = []
        length = int(rng.integers(1, self.config.length, endpoint=True))
        for is_closing, kind in zip(
            rng.random(length) < 0.45, rng.integers(0, self.config.pairs, size=length)
        ):
            if len(opened) == self.config.depth or (opened and is_closing):
                word.append(CLOSER[opened.pop()])
            else:
                opened.append(PAIRS[kind][0])
                word.append(opened[-1])
        return "".join(word) + "|" + "".join(CLOSER[each] for each in reversed(opened)) + "\n"

    def _examples(self, words: list[str]) -> Examples:
        length = self.config.seq_len
        inputs, labels = (
            np.zeros((len(words), length), np.int32),
            np.full((len(words), length), IGNORED, np.int32),
        )
        mark = "b" if self.config.grammar == "anbn" else "|"
        for word, cells, nexts in zip(words, inputs, labels):
            codes = np.frombuffer(word.encode(), np.uint8)
            cells[: len(codes) - 1] = codes[:-1]
            nexts[word.index(mark) : len(codes) - 1] = codes[word.index(mark) + 1 :]
        return without_ids(inputs, labels)

    def _words(self, inputs: np.ndarray) -> list[str]:
        return [bytes(row[row > 0].astype(np.uint8)).decode("latin-1") for row in inputs]

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """All that the grammar fixes is right."""
        labels = self._examples([word + "\n" for word in self._words(inputs)]).labels
        is_right: np.ndarray = ((labels == IGNORED) | (labels == answers)).all(axis=1)
        return is_right

    def baseline(self, inputs: np.ndarray) -> Baseline:
        return Baseline(name="the same byte again", answers=np.array(inputs, np.int32))

    def encode(self, text: str) -> np.ndarray:
        """A whole word of the language, without the line's end."""
        word, config = text.strip(), self.config
        if len(word) > config.seq_len:
            raise InputError(f"the word has {len(word)} bytes: give at most {config.seq_len}")
        fault = _anbn_fault(word) if config.grammar == "anbn" else _dyck_fault(word)
        if fault:
            raise InputError(f"{text!r}: {fault}")
        cells: np.ndarray = self._examples([word + "\n"]).inputs[0]
        return cells

    def decode(self, cells: np.ndarray) -> str:
        return self._words(np.asarray(cells)[None])[0]

    def render(self, cells: np.ndarray) -> str:
        return self.decode(cells).replace("\n", "\\n")


def _anbn_fault(word: str) -> str:
    half = len(word) // 2
    return "" if word and word == "a" * half + "b" * half else "give n times a, then n times b"


def _dyck_fault(word: str) -> str:
    """What is wrong with an opening part, a bar and its closing part."""
    opened: list[str] = []
    for index, symbol in enumerate(word, start=1):
        if symbol in CLOSER:
            if "|" in word[:index]:
                return f"byte {index} opens a bracket after the bar: only close them there"
            opened.append(symbol)
        elif symbol in CLOSER.values():
            if not opened or CLOSER[opened.pop()] != symbol:
                return f"byte {index} closes {symbol!r}, which is not the one open: close the last one opened"
        elif symbol != "|":
            return f"byte {index} is {symbol!r}: give brackets and one bar"
    if word.count("|") != 1:
        return f"{word.count('|')} bars: give one, before the brackets left open are closed"
    return f"{len(opened)} brackets are left open: close them after the bar" if opened else ""
