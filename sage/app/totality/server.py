"""`sage totality serve`: the service on a socket, until a signal ends it.

Invariant: the socket is bound before the store is opened, so that a port in use is reported at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    from sage.app.http.guard import Access
    from sage.app.totality.routes import Served

#: Of a snapshot that is restored.
MAX_RESTORE_BYTES = 128 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalityOptions:
    """store: folder of the store; None: in memory only.  needs_token: False on a loopback address only.

    allowed_hosts: names in Host beside the loopback's and `host` itself.  port 0: a free port.
    has_examples: two schemes and a canvas are written into an empty store.
    """

    store: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    allowed_hosts: Sequence[str] = ()
    needs_token: bool = True
    has_examples: bool = False
    max_schemes: int = 50_000
    max_canvases: int = 10_000
    half_life_secs: float = 3600.0
    state_dir: Path | None = None


def serve_totality(options: TotalityOptions) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. UserError where it cannot start."""
    import typer

    from sage.app.http.server import bind, build_server, need_web
    from sage.app.terminal.logs import log_to_stderr

    need_web("totality serve")
    log_to_stderr()
    from sage.app.totality.routes import create_app

    with bind(options.host, options.port) as listening:
        address = listening.getsockname()
        is_loopback = ipaddress.ip_address(address[0]).is_loopback
        if not options.needs_token and not is_loopback:
            raise UserError(
                "totality serve: --no-token needs a loopback address: leave out --host or --no-token"
            )
        access, shown_token = _access(options)
        served = open_served(options)
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        typer.echo(f"sage: http://{shown}:{address[1]}  {shown_token}", err=True)
        if not is_loopback:
            typer.echo(
                "sage: this address is not 127.0.0.1: the token is sent without TLS: use a TLS proxy",
                err=True,
            )
        build_server(create_app(served, access)).run(sockets=[listening])


def open_served(options: TotalityOptions) -> Served:
    """The store with the installed operations. UserError where it cannot be opened."""
    from sage.app.terminal.errors import user_errors
    from sage.app.totality.examples import write_examples
    from sage.app.totality.routes import Served
    from sage.mailbox.clock import RealClock
    from sage.related_work.totality.operations import built_in
    from sage.related_work.totality.persistence import TotalityFolder
    from sage.related_work.totality.state import StoreLimits
    from sage.related_work.totality.store import TotalityStore
    from sage.related_work.totality.wall_time import WallClock

    clock = WallClock(RealClock())
    with user_errors("totality serve"):
        limits = StoreLimits(
            max_schemes=options.max_schemes,
            max_canvases=options.max_canvases,
            half_life_s=options.half_life_secs,
        )
        operations = built_in()
        operations.register_installed()
        if options.store is None:
            store = TotalityStore(clock.now_ns, operations=operations, limits=limits)
            served = Served(store=store, clock=clock)
        else:
            folder = TotalityFolder(options.store, clock.now_ns, operations=operations, limits=limits)
            _report(folder.notices)
            served = Served(store=folder.store, clock=clock, folder=folder)
        if options.has_examples:
            write_examples(served.store, clock.now_ns())
    return served


def _report(notices: Sequence[str]) -> None:
    import structlog

    for notice in notices:
        structlog.get_logger("sage.app").error("totality store", notice=notice)


def _access(options: TotalityOptions) -> tuple[Access, str]:
    """(access, what the first line of output says about the token)."""
    from sage.app.config.state_dir import default_state_dir, open_state_dir
    from sage.app.http.guard import Access
    from sage.app.http.server import ServeOptions, allowed_hosts
    from sage.app.http.token import TOKEN_NAME, open_token
    from sage.app.totality.routes import OPEN_PATHS, RESTORE_PATH

    token, shown = None, "no token"
    if options.needs_token:
        folder = open_state_dir(options.state_dir or default_state_dir())
        token, shown = open_token(folder), f"token: {folder / TOKEN_NAME}"
    access = Access(
        token=token,
        hosts=allowed_hosts(ServeOptions(host=options.host, allowed_hosts=options.allowed_hosts)),
        open_paths=OPEN_PATHS,
        larger_bodies={RESTORE_PATH: MAX_RESTORE_BYTES},
    )
    return access, shown
