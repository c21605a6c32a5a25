"""The two commands, as far as they can be tried without making an environment: what they would install, on
which machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def _dry_run(
    repository: Path, tmp_path: Path, smi: str | None = None, *, config: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """`scripts/run --dry-run` from another folder, with a fake nvidia-smi that prints `smi` (None: one that
    fails).
    """
    fake = tmp_path / "nvidia-smi"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{smi}\nEND\n" if smi is not None else "#!/bin/sh\nexit 9\n")
    fake.chmod(0o755)
    return subprocess.run(
        [str(repository / "scripts" / "run"), "--dry-run", *([config] if config else []), "--seconds", "5"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **environ},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )


def test_without_a_gpu_no_cuda_can_be_downloaded(repository: Path, tmp_path: Path) -> None:
    said = _dry_run(repository, tmp_path).stdout
    assert "machine: cpu" in said
    assert "pip install torch==2.13.0+cpu" in said
    assert "[fast,sensors,web]" in said
    assert "run: sage run configs/default.yaml --page --seconds 5" in said


@pytest.mark.parametrize("config", ["robot", "configs/robot.yaml"])
def test_a_configuration_gets_its_extra_and_is_run(repository: Path, tmp_path: Path, config: str) -> None:
    said = _dry_run(repository, tmp_path, config=config).stdout
    assert "[fast,sensors,web,robot]" in said
    assert f"run: sage run {config} --page --seconds 5" in said


def test_a_cuda_13_driver_gets_the_cuda_torch_and_the_extra(repository: Path, tmp_path: Path) -> None:
    said = _dry_run(
        repository, tmp_path, "| NVIDIA-SMI 580.65  Driver Version: 580.65  CUDA Version: 13.0 |"
    ).stdout
    assert "machine: cuda13" in said
    assert "pip install torch==2.13.0\n" in said
    assert "[fast,sensors,web,cuda]" in said


def test_an_older_driver_gets_the_cuda_12_build(repository: Path, tmp_path: Path) -> None:
    said = _dry_run(
        repository, tmp_path, "| NVIDIA-SMI 550.54  Driver Version: 550.54  CUDA Version: 12.4 |"
    ).stdout
    assert "pip install torch==2.13.0+cu126" in said
    assert "[fast,sensors,web,cuda12]" in said


def test_a_driver_that_names_no_cuda_version_is_taken_for_a_new_one(repository: Path, tmp_path: Path) -> None:
    assert "machine: cuda13" in _dry_run(repository, tmp_path, "GPU 0").stdout


def test_a_jetson_is_told_where_its_torch_comes_from(repository: Path, tmp_path: Path) -> None:
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36")
    said = _dry_run(repository, tmp_path, SAGE_TEGRA_RELEASE=str(release)).stdout
    assert "machine: jetson" in said
    assert "JetPack" in said
    assert "pip install torch" not in said


@pytest.mark.parametrize("script", ["run", "test"])
def test_a_python_that_is_too_old_is_named_with_the_remedy(
    script: str, repository: Path, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [str(repository / "scripts" / script)],
        env={**os.environ, "SAGE_PYTHON": "/bin/false", "SAGE_VENV": str(tmp_path / "venv")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr == (
        f"{script}: no Python 3.10 to 3.13 found: install one, or name it: SAGE_PYTHON=/path/to/python3 "
        f"{repository / 'scripts' / script}\n"
    )


@pytest.mark.parametrize("script", ["scripts/run", "scripts/test", ".ci/run"])
def test_a_script_is_executable_and_its_shell_reads_it(script: str, repository: Path) -> None:
    assert os.access(repository / script, os.X_OK)
    subprocess.run(["bash", "-n", str(repository / script)], check=True)
