"""The compiled steps of a ring contain the memory orders that the source states."""

import re
import subprocess
import sys

import pytest

from sage.mailbox.shared.memory.engine_choice import why_plain

CODE = r"""
import re
import llvmlite.binding as llvm
import numba
from sage.mailbox.shared.ring import engine, pop, push
engine.compiled_engine()
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
for step in (push.push, pop.pop):
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


@pytest.mark.slow
@pytest.mark.skipif(bool(why_plain()), reason="numba is not installed: pip install 'sage-runtime[fast]'")
def test_aarch64_code_contains_the_memory_orders():
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
