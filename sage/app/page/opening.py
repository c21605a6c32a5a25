"""`sage run --page`: the page of a session, from its options to its address.

Invariant: a page that cannot be opened is one line on stderr, and the session goes on without it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import typer

from sage.app.control.server import ControlServer
from sage.app.http.opening import open_page
from sage.app.http.server import need_web
from sage.app.http.token import TOKEN_NAME, open_token
from sage.app.page.address import HOST
from sage.app.page.feed import SessionFeed
from sage.app.store.metrics_store import MetricsStore
from sage.app.terminal.errors import UserError

#: A page of the state directory that leads a browser to the address, so that the token is in no command line.
LINK_NAME = "page.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """port: the first that is tried; 0: a free one.  opens_browser: opens the page in one.  host,
    allowed_hosts: as of `PageServer`.
    """

    port: int
    opens_browser: bool = False
    host: str = HOST
    allowed_hosts: tuple[str, ...] = ()


@contextmanager
def opened_page(
    options: PageOptions | None,
    feed: SessionFeed,
    store: MetricsStore,
    session: str,
    control: ControlServer,
    state_dir: Path,
) -> Iterator[str]:
    """The address while it is served, as it is printed; "" where there is none. options None: no page."""
    if options is None:
        yield ""
        return
    try:
        need_web("page")
        from sage.app.page.endpoints import Endpoints
        from sage.app.page.history import History
        from sage.app.page.server import PageServer
        from sage.app.page.solving import PuzzleRoutes, solving_paths

        token = open_token(state_dir)
        history = History(store, session)
        endpoints = Endpoints(feed, history, lambda: control.verbs, more_paths=solving_paths())
        server = PageServer(
            endpoints,
            token,
            wanted=options.port,
            puzzles=PuzzleRoutes(),
            host=options.host,
            allowed_hosts=options.allowed_hosts,
        )
    except UserError as error:
        typer.echo(f"sage: no page: {error}", err=True)
        yield ""
        return
    with server:
        address = f"{server.address}#token={quote(token, safe='')}"
        if options.opens_browser:
            _open_browser(server.address, token, state_dir)
        # With the token on a terminal only: a log file may be read by others.
        shown = address if sys.stderr.isatty() else f"{server.address}  token: {state_dir / TOKEN_NAME}"
        typer.echo(f"sage: page: {shown}", err=True)
        if not server.is_local:
            typer.echo(
                f"sage: page: other machines reach it at {options.host}, without TLS: use a TLS proxy or an"
                " SSH tunnel",
                err=True,
            )
        yield shown


def _open_browser(address: str, token: str, state_dir: Path) -> None:
    try:
        is_open = open_page(state_dir.resolve(), address, token, name=LINK_NAME)
    except OSError as error:
        typer.echo(
            f"sage: --open: {state_dir / LINK_NAME}: {error.strerror}: open the address below", err=True
        )
        return
    if not is_open:
        typer.echo("sage: --open: no browser was found: open the address below", err=True)
