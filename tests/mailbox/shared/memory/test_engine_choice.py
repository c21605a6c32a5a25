"""The engine is chosen once, with a reason, and two engines never share a ring."""

import os
import subprocess
import sys

import pytest

from sage.mailbox import MailboxError, RealClock
from sage.mailbox.shared import SharedPeripheral, describe_engine
from sage.mailbox.shared.memory import engine_choice

needs_numba = pytest.mark.skipif(
    bool(engine_choice.why_plain()), reason="numba is not installed: pip install 'sage-runtime[fast]'"
)


def test_a_ring_has_the_given_engine_and_refuses_handles_with_another():
    ring = SharedPeripheral.create(f"test.{os.getpid()}.engine", clock=RealClock(), engine="plain")
    assert ring.engine == "plain"
    with pytest.raises(MailboxError, match="exists with engine plain, requested numba"):
        SharedPeripheral.attach(ring.name, clock=RealClock(), engine="numba")
    assert SharedPeripheral.attach(ring.name, clock=RealClock()).engine == "plain"
    ring.unlink()
    ring.close()
    with pytest.raises(ValueError, match="engine is 'fast'"):
        engine_choice.choose("fast")


def test_without_a_compiler_rings_are_plain_and_the_reason_is_returned(monkeypatch):
    monkeypatch.setattr(engine_choice, "has_compiler", lambda: False)
    engine_choice.why_plain.cache_clear()
    try:
        assert "pip install" in describe_engine()
        assert engine_choice.choose(None) == "plain"
        with pytest.raises(MailboxError, match="not installed"):
            engine_choice.choose("numba")
    finally:
        engine_choice.why_plain.cache_clear()


def test_an_engine_that_loses_increments_is_not_used(monkeypatch):
    monkeypatch.setattr(engine_choice, "has_compiler", lambda: True)
    monkeypatch.setattr(engine_choice, "_two_threads_count", lambda: False)
    engine_choice.why_plain.cache_clear()
    try:
        assert "lost increments" in engine_choice.why_plain()
        assert engine_choice.choose(None) == "plain"
    finally:
        engine_choice.why_plain.cache_clear()


@needs_numba
def test_two_threads_without_the_interpreters_lock_count_correctly():
    assert engine_choice._two_threads_count()


def test_importing_the_package_loads_neither_torch_nor_numba():
    code = (
        "import sys, sage.mailbox.shared; sys.exit(bool({'torch', 'numba', 'llvmlite'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0
