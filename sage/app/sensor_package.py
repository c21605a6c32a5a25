"""The start of a sensor of one's own: what `sage sensors new` writes.

Invariant: the package that is written installs, is found by its entry point, and passes the conformance kit as it stands.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from sage.app.errors import UserError
from sage.app.registry import plugins

_TEMPLATES = Path(__file__).parent / "templates" / "sensor"


def write_package(name: str, into: Path) -> Path:
    """Write `into/sage-sensor-NAME` and return it; nothing that exists is overwritten."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"sensors new {name}: give a lower-case word, e.g. wind or left_wheel")
    if name in plugins("sensors"):
        raise UserError(f"sensors new {name}: there is a kind of that name ({plugins('sensors')[name].origin}): choose another")
    folder = into / f"sage-sensor-{name.replace('_', '-')}"
    if folder.exists():
        raise UserError(f"{folder}: exists already: choose another name, or move it away")
    words = {"name": name, "title": "".join(part.capitalize() for part in name.split("_")), "folder": folder.name}
    try:
        for template in sorted(path for path in _TEMPLATES.rglob("*.in")):
            target = folder / Template(str(template.relative_to(_TEMPLATES).with_suffix(""))).substitute(words)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(template.read_text()).substitute(words))
    except OSError as error:
        raise UserError(f"{folder}: {(error.strerror or str(error)).lower()}: give a place that can be written to") from error
    return folder
