"""Log lines are on stderr, whenever structlog is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_LATE_IMPORT = """
import sys
from sage.app.terminal.streams import prepare_streams, printing_to_stderr
prepare_streams()
with printing_to_stderr():
    import structlog
from sage.app.terminal.logs import {name}
{use}
print("output")
"""


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("log_to_stderr", "log_to_stderr(); structlog.get_logger().warning('it is noted')"),
        ("only_warnings", "with only_warnings(): structlog.get_logger().warning('it is noted')"),
    ],
)
def test_lines_go_to_stderr_where_structlog_is_imported_by_a_plug_in(
    name: str, use: str, tmp_path: Path
) -> None:
    """While stdout is redirected to stderr, as it is during the import of plug-ins."""
    code = _LATE_IMPORT.format(name=name, use=use)
    with (tmp_path / "o").open("wb") as out, (tmp_path / "e").open("wb") as err:
        subprocess.run([sys.executable, "-c", code], stdout=out, stderr=err, check=True)
    assert (tmp_path / "o").read_text() == "output\n"
    assert "it is noted" in (tmp_path / "e").read_text()
