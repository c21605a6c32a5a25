"""The Python of docs/totality.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def test_the_operation_of_the_docs_makes_a_canvas(repository: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (repository / "docs/totality.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, "docs/totality.md", "exec", dont_inherit=True), found)
    (name,) = found["reply"].created
    (canvas,) = found["store"].snapshot().snapshot.canvases
    assert (canvas.id, canvas.provenance.ops) == (name, ("shout",))
    assert "CUP" in {each.label for each in canvas.entities}
