"""configs/totality.yaml beside `sage totality serve`, as docs/totality.md has it, and without the service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra web is not installed")

from sage.app.cli.main import invoke
from sage.related_work.totality.client import TotalityClient
from sage.related_work.totality.read_query import ReadQuery


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_loop_reads_and_writes_a_service_and_goes_on_without_it(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "sage", "totality", "serve", "--no-token", "--examples", "--port", "0"]
    command += ["--state-dir", str(tmp_path / "service")]
    run = ["run", str(repository / "configs" / "totality.yaml"), "--ticks", "30", "--no-live"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        try:
            assert service.stderr is not None
            url = service.stderr.readline().split()[1]
            run += ["--set", f"sensors.imagination.url={url}", "--set", f"effectors.notes.url={url}"]
            assert invoke([*run, "--state-dir", str(tmp_path / "with")]) == 0
            with TotalityClient(url, timeout_secs=60.0) as client:
                found = client.read(ReadQuery(scope="schemes")).schemes
        finally:
            service.kill()
    assert any(scheme.label == "episode" for scheme in found)
    row = _row(capsys.readouterr().out, "imagination")
    assert int(row[1]) > 0  # readings
    assert invoke([*run, "--state-dir", str(tmp_path / "without")]) == 0
    assert int(_row(capsys.readouterr().out, "imagination")[1]) == 0


def _row(out: str, source: str) -> list[str]:
    """The cells of a source in the summary's last table."""
    return [line.split() for line in out.splitlines() if line.startswith(f"{source} ")][-1]
