"""Without numba the same puzzles come, only slower."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.sudoku.kernel import fill_grids

DIGEST = """
import sys, hashlib
if {is_plain}: sys.modules["numba"] = None
import numpy as np
from sage.hrm_core.tasks.catalogue import make_task
digest = hashlib.blake2b()
small = dict(sudoku=dict(size=4), maze=dict(size=5, difficulty="easy"), sat=dict(variables=4),
    colouring=dict(vertices=5))
for name, options in small.items():
    examples = make_task(name, **options).sample(3, np.random.default_rng(0))
    digest.update(examples.inputs.tobytes() + examples.labels.tobytes())
print(digest.hexdigest())
"""


def digest(*, is_plain: bool) -> str:
    code = DIGEST.format(is_plain=is_plain)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/")
    return done.stdout.strip().splitlines()[-1]


def test_compiled_and_interpreted_loops_make_the_same_puzzles() -> None:
    pytest.importorskip("numba", reason="the extra fast is not installed")
    assert digest(is_plain=True) == digest(is_plain=False)


def test_other_threads_run_during_a_compiled_loop() -> None:
    """Puzzles are drawn ahead on a thread: a loop that held the interpreter's lock would delay the tick."""
    pytest.importorskip("numba", reason="the extra fast is not installed")
    make_task("sudoku", size=4).sample(1, np.random.default_rng(0))
    assert fill_grids._fastest is not None
    assert fill_grids._fastest.targetoptions["nogil"] is True  # type: ignore[attr-defined]
