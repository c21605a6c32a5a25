"""Words and an error text in shared memory: what one end writes, the other reads."""

from __future__ import annotations

import math
import os

import pytest

from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.segment import HEADER_BYTES
from sage.mailbox.shared.memory.status_block import (
    FIRST_WORD,
    BoolWord,
    FloatWord,
    IntWord,
    StatusBlock,
    TextWord,
)

FAILED = 2


class Example(StatusBlock):
    KIND = 1_000
    ERROR_OFFSET = 2048

    count = IntWord(FIRST_WORD + 3)
    share = FloatWord(FIRST_WORD + 4)
    is_ready = BoolWord(FIRST_WORD + 5)
    note = TextWord(FIRST_WORD + 6, offset=1536, num_bytes=8)


class Other(Example):
    KIND = 1_001


def test_the_other_end_reads_every_word_and_the_error() -> None:
    block = Example.create(f"status-{os.getpid()}")
    other = Example.attach(block.name)
    try:
        assert (other.state, other.count, other.share, other.is_ready, other.error) == (0, 0, 0.0, False, "")
        block.count, block.share, block.is_ready = -(2**63), -0.1, True
        assert (other.count, other.share, other.is_ready) == (-(2**63), -0.1, True)
        block.share = math.nan
        assert math.isnan(other.share)
        assert not other.must_stop
        other.stop()
        assert block.must_stop
        block.fail("no device", FAILED)
        assert (other.error, other.state) == ("no device", FAILED)
    finally:
        other.close()
        block.unlink()
        block.close()


def test_a_text_changes_at_the_other_end_and_a_long_one_is_cut() -> None:
    block = Example.create(f"status-text-{os.getpid()}")
    other = Example.attach(block.name)
    try:
        assert other.note == ""
        for text in ("full", "", "a longer text", "é" * 8, "ok"):
            block.note = text
            assert other.note == text.encode()[:8].decode("utf-8", "ignore")
        assert (other.count, other.error) == (0, "")
    finally:
        other.close()
        block.unlink()
        block.close()


def test_the_texts_of_a_trainer_lie_between_its_words_and_its_error() -> None:
    from sage.runtime.sleep.puzzles.process.board import Board

    block = Board.create(f"status-board-{os.getpid()}")
    try:
        block.ask_for_night(3, 5)
        block.acknowledged = 7
        block.fail("ended", 2)
        for number in range(9):
            block.problem = f"{number}" * 400
            assert block.problem == f"{number}" * 384
        assert (block.night, block.acknowledged, block.error) == ((3, 5), 7, "ended")
    finally:
        block.unlink()
        block.close()


def test_a_long_error_is_cut_and_its_last_character_may_be_lost() -> None:
    block = Example.create(f"status-long-{os.getpid()}")
    try:
        block.fail("a" + "é" * HEADER_BYTES, FAILED)
        room = HEADER_BYTES - Example.ERROR_OFFSET
        assert block.error.startswith("a" + "é" * (room // 2 - 1))
        assert len(block.error.encode("utf-8", "ignore")) <= room + 2
        block.fail("short", FAILED)
        assert block.error == "short"
    finally:
        block.unlink()
        block.close()


def test_a_block_of_another_kind_is_refused() -> None:
    block = Example.create(f"status-kind-{os.getpid()}")
    try:
        with pytest.raises(MailboxError):
            Other.attach(block.name)
    finally:
        block.unlink()
        block.close()
