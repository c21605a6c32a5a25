"""Without numba the same puzzles come, only slower."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
