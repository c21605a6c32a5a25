"""What the machine has: the card, the driver, the packages, the tools. Nothing here can fail but the driver
itself.
"""

from __future__ import annotations

import dataclasses
import platform
import shutil
import subprocess
import sys
from importlib import metadata

from verdict import Absent, Verdict, step_arguments

from sage.mailbox.cuda import CudaBackend, FakeDriver

PACKAGES = (
    "numpy",
    "torch",
    "triton",
    "cupy-cuda13x",
    "cupy-cuda12x",
    "numba",
    "numba-cuda",
    "cuda-core",
    "cuda-bindings",
    "pytest",
)
TOOLS = ("nvidia-smi", "nvcc", "compute-sanitizer", "ncu", "nsys")


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    verdict.facts["python"] = f"{platform.python_version()} at {sys.executable}"
    verdict.facts["packages"] = {package: _version(package) for package in PACKAGES}
    verdict.facts["tools"] = {tool: shutil.which(tool) for tool in TOOLS}

    def driver_opens() -> None:
        backend = CudaBackend(driver=FakeDriver()) if arguments.fake else CudaBackend()
        verdict.facts["device"] = dataclasses.asdict(backend.facts)

    def smi_answers() -> None:
        if shutil.which("nvidia-smi") is None:
            raise Absent("no nvidia-smi on the path")
        query = "--query-gpu=name,driver_version,memory.total,pcie.link.gen.current,mig.mode.current"
        done = subprocess.run(
            ["nvidia-smi", query, "--format=csv"], capture_output=True, text=True, check=True, timeout=20
        )
        verdict.facts["nvidia-smi"] = done.stdout.strip().splitlines()

    verdict.run("the driver opens", driver_opens)
    verdict.run("nvidia-smi answers", smi_answers)
    verdict.finish()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
