"""Whether inner loops run compiled (numba) or as Python and numpy calls: asked once, logged with the reason.

Below the floors: mailboxes and models both use it, and do not know each other.
Invariant: both ways give the same results to rounding, and a test says so; nothing but speed depends on the
answer.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import threading
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import structlog
from platformdirs import user_cache_dir

log = structlog.get_logger("sage")
_cache_lock = threading.Lock()


@cache
def has_compiler() -> bool:
    """True where numba can be imported."""
    try:
        import numba
    except ImportError as error:
        _say("inner loops run interpreted: install the extra fast to have them compiled", reason=str(error))
        return False
    _say("inner loops run compiled", numba=numba.__version__)
    return True


def _say(what: str, **facts: str) -> None:
    """To the application's log. A library's user who has none is left in peace: unconfigured, it would go to
    stdout.
    """
    if structlog.is_configured():
        log.info(what, **facts)


def kernel(function: Any, *, releases_gil: bool = False) -> Any:
    """`function` compiled when it is first called, and kept on disk until a file changes that it is made
    of.

    releases_gil: other threads run during a call, for long calls on arrays that no other thread uses.
    """
    return _compiled(function, sys._getframe(1).f_globals["__name__"], {"nogil": releases_gil})


def bound(function: Any, signature: tuple[Any, ...]) -> Any:
    """`function`, made by `kernel`, compiled now for one signature of numba types, as a plain C function.

    A call takes about 0.1 us less than through numba's dispatcher, which looks at the type of each argument:
    here they must be convertible to those types. Raises OverflowError for an integer that is too large.
    """
    function.compile(signature)
    compiled = function.overloads[signature].entry_point
    _bound.append(function)  # it owns the machine code
    return compiled


_bound: list[Any] = []


def fast_kernel(function: Any) -> Any:
    """As `kernel`; sums may be taken in another order, so that they use vector instructions."""
    options = {"fastmath": {"reassoc", "nsz", "contract"}}
    return _compiled(function, sys._getframe(1).f_globals["__name__"], options)


def _compiled(function: Any, caller: str, options: dict[str, Any]) -> Any:
    import numba

    jit = partial(_kept, options={"error_model": "numpy", **options})
    if numba.config.CACHE_DIR:  # type: ignore[attr-defined]  # NUMBA_CACHE_DIR is set: it decides
        return jit(function)
    with (
        _cache_lock,
        suppress(OSError, RuntimeError),
    ):  # no home, or none to write to: numba finds another place, or compiles at each start
        digest = source_digest(frozenset({function.__module__, caller}))
        folder = Path(user_cache_dir("sage")) / "kernels" / digest
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _say_first()
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]  # read when a function is decorated
        try:
            return jit(function)
        finally:
            numba.config.CACHE_DIR = ""  # type: ignore[attr-defined]
    return jit(function)


def _kept(function: Any, options: dict[str, Any]) -> Any:
    """Kept on disk where numba finds a place for it."""
    import numba

    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # numba's, where no folder can be written
        if "cannot cache" not in str(error):
            raise
        _say_not_kept()
        return numba.njit(**options)(function)


@cache
def _say_first() -> None:
    """Where a kernel was not compiled before. A step of robust fusion takes 35 s of a processor's time."""
    _say("inner loops are compiled, which can take minutes, and kept for the next start")


@cache
def _say_not_kept() -> None:
    _say("inner loops are compiled at each start: no folder can keep them", remedy="set NUMBA_CACHE_DIR")


@cache
def source_digest(modules: frozenset[str]) -> str:
    """Of these modules of ours and all of ours that they import, directly or not. numba looks at a kernel's
    own file alone, and would keep constants that changed elsewhere."""
    pending, paths = sorted(modules), {}
    while pending:
        name = pending.pop()
        path = _path_of(name)
        if path is not None and name not in paths:
            paths[name] = path
            pending += _imports_of(path)
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(paths):
        digest.update(paths[name].read_bytes())
    return digest.hexdigest()


def _path_of(name: str) -> Path | None:
    """The file of one of our modules; None for anything else."""
    package = Path(__file__).parent
    if name != package.name and not name.startswith(f"{package.name}."):
        return None
    path = package.parent.joinpath(*name.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


def _imports_of(path: Path) -> list[str]:
    """Of what a module names in imports, wherever in it: each may be a module, or something in one."""
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
