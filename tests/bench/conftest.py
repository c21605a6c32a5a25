"""The benchmarks' own modules are scripts beside the harness, not a package: their folder is put on the path here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "implementation" / "bench"))
