"""How steps are taken: chosen once, said aloud, never mixed on one ring; and what the compiler makes of the
orders.
"""

import os
import re
import subprocess
import sys

import pytest

from sage.mailbox import MailboxError, RealClock
from sage.mailbox.shared import SharedPeripheral, describe_engine
from sage.mailbox.shared.ring import engine as engines

needs_numba = pytest.mark.skipif(
    bool(engines.why_plain()), reason="numba is not installed: pip install 'sage-runtime[fast]'"
)
CODE = r"""
import re
import llvmlite.binding as llvm
import numba
from sage.mailbox.shared import engine, ring_pop, ring_push
engine.compiled_engine()
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
for step in (ring_push.push, ring_pop.pop):
    compiled = numba.njit(error_model="numpy", no_cpython_wrapper=True)(step)
    compiled.compile((numba.int64,) * step.__code__.co_argcount)
    (text,) = compiled.inspect_llvm().values()
    text = re.sub(r" #\d+|(?m:^(target datalayout|attributes).*$)", "", text)
    text = text.replace(llvm.get_default_triple(), "aarch64-linux-gnu")
    for cpu in ("cortex-a78ae", "cortex-a57"):  # Jetson Orin; a core without the atomics of v8.1
        machine = llvm.Target.from_triple("aarch64-linux-gnu").create_target_machine(cpu=cpu, opt=2)
        print(f"STEP {step.__name__} {cpu}")
        print(machine.emit_assembly(llvm.parse_assembly(text)))
"""


def test_a_forced_engine_is_what_the_ring_has_and_others_must_follow():
    ring = SharedPeripheral.create(f"test.{os.getpid()}.engine", clock=RealClock(), engine="plain")
    assert ring.engine == "plain"
    with pytest.raises(MailboxError, match="exists with engine plain, asked for numba"):
        SharedPeripheral.attach(ring.name, clock=RealClock(), engine="numba")
    assert SharedPeripheral.attach(ring.name, clock=RealClock()).engine == "plain"
    ring.unlink()
    ring.close()
    with pytest.raises(ValueError, match="engine is 'fast'"):
        engines.choose("fast")


def test_without_a_compiler_rings_are_plain_and_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(engines, "has_compiler", lambda: False)
    engines.why_plain.cache_clear()
    try:
        assert "pip install" in describe_engine()
        assert engines.choose(None) == "plain"
        with pytest.raises(MailboxError, match="not installed"):
            engines.choose("numba")
    finally:
        engines.why_plain.cache_clear()


def test_an_engine_that_counts_wrongly_is_not_used(monkeypatch):
    monkeypatch.setattr(engines, "has_compiler", lambda: True)
    monkeypatch.setattr(engines, "_two_threads_count", lambda: False)
    engines.why_plain.cache_clear()
    try:
        assert "counted wrongly" in engines.why_plain()
        assert engines.choose(None) == "plain"
    finally:
        engines.why_plain.cache_clear()


@needs_numba
def test_two_threads_without_the_interpreters_lock_count_right():
    assert engines._two_threads_count()


def test_importing_the_package_loads_neither_torch_nor_numba():
    code = (
        "import sys, sage.mailbox.shared; sys.exit(bool({'torch', 'numba', 'llvmlite'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0


@needs_numba
def test_on_aarch64_the_orders_are_in_the_code():
    found = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    steps = {
        (name, cpu): text
        for name, cpu, text in re.findall(r"STEP (\w+) (\S+)\n(.*?)(?=STEP |\Z)", found, re.DOTALL)
    }
    for (name, cpu), text in steps.items():
        acquire, swap = (r"\tldapr\t", r"\tcasal\t") if cpu == "cortex-a78ae" else (r"\tldar\t", r"\tstlxr\t")
        assert re.search(acquire, text), f"{name} on {cpu}: no load that acquires"
        assert re.search(swap, text), f"{name} on {cpu}: no swap that releases"
        fences = re.findall(r"\tdmb\t(\w+)", text)
        assert "ish" in fences, f"{name} on {cpu}: no full fence before the doorbell"
        assert len(fences) >= 2, f"{name} on {cpu}: no fence between number and payload"
    assert len(steps) == 4
