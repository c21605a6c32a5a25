"""The benchmarks' own modules are scripts beside the harness, not a package: their folder is put on the path
here, at its end, because one of them has the name of a module of the standard library (mailbox)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "implementation" / "bench"))
