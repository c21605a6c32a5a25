"""Whether inner loops run compiled (numba) or as Python and numpy calls: asked once, logged with the reason.

Below the floors: mailboxes and models both use it, and do not know each other.
Invariant: both ways give the same results to rounding, and a test says so; nothing but speed depends on the answer.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from platformdirs import user_cache_dir

log = structlog.get_logger("sage")


@cache
def has_compiler() -> bool:
    """True where numba can be imported."""
    try:
        import numba
    except ImportError as error:
        log.info("inner loops run interpreted: install the extra fast to have them compiled", reason=str(error))
        return False
    log.info("inner loops run compiled", numba=numba.__version__)
    return True


def kernel(function: Any) -> Any:
    """`function` compiled when it is first called, and kept on disk for as long as no file of the package changes."""
    import numba

    if not numba.config.CACHE_DIR:  # type: ignore[attr-defined]  # whoever set NUMBA_CACHE_DIR decides
        folder = Path(user_cache_dir("sage")) / "kernels" / _source_digest()
        with suppress(OSError):  # no home to write to: numba finds another place, or compiles at each start
            folder.mkdir(parents=True, exist_ok=True)
            numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return numba.njit(cache=True, error_model="numpy")(function)


def _source_digest() -> str:
    """Of the whole package. numba looks at a kernel's own file alone, and would keep constants that moved elsewhere."""
    package = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
