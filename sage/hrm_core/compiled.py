"""Whether the loop's inner arithmetic runs compiled (numba) or as numpy calls: asked once, logged with the reason.

A tick makes hundreds of numpy calls on a few dozen numbers each, and pays for the calls, not for the numbers.
Invariant: both ways give the same results to rounding, and a test says so; nothing but speed depends on the answer.
"""

from __future__ import annotations

from functools import cache

import structlog

log = structlog.get_logger("sage.hrm_core")


@cache
def has_compiler() -> bool:
    """True where numba can be imported."""
    try:
        import numba
    except ImportError as error:
        log.info("the loop's arithmetic runs on numpy: install the extra fast to have it compiled", reason=str(error))
        return False
    log.info("the loop's arithmetic runs compiled", numba=numba.__version__)
    return True
