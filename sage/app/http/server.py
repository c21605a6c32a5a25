"""`sage serve`: the application on a socket, until a signal ends it.

Invariant: the socket is bound before any model is loaded, so that a port in use is reported at once.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sage.app.config.names import check_model
from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    import uvicorn

    from sage.app.http.models import ServedModels
    from sage.hrm_core.text.baseline_comparison import BaselineComparison

_ANY = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """checkpoints: as for `sage solve --checkpoint`; none: all shipped models.  allowed_hosts: names in Host
    beside the loopback's and `host` itself.  port 0: a free port.
    opens_page: open the page in a browser.  data_folders: of the viewer of data sets.
    text_models: names or paths of models of text."""

    checkpoints: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = 8765
    allowed_hosts: Sequence[str] = ()
    device: str = "cpu"
    batch_size: int = 64
    state_dir: Path | None = None
    opens_page: bool = False
    data_folders: Sequence[Path] = ()
    text_models: Sequence[str] = ()


def serve(options: ServeOptions) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. UserError where it cannot start."""
    import typer

    need_web("serve")
    from sage.app.config.state_dir import default_state_dir, open_state_dir
    from sage.app.http.guard import Access
    from sage.app.http.opening import open_page
    from sage.app.http.routes import create_app
    from sage.app.http.token import TOKEN_NAME, open_token
    from sage.app.terminal.logs import log_to_stderr

    log_to_stderr()
    for name in (*options.checkpoints, *options.text_models):
        check_model(name)
    for each in options.data_folders:
        if not each.is_dir():
            raise UserError(f"serve: --data {each}: no such folder: give a folder with data sets")
    hosts = allowed_hosts(options)
    folder = open_state_dir(options.state_dir or default_state_dir())
    token = open_token(folder)
    with bind(options.host, options.port) as listening:
        address = listening.getsockname()
        access = Access(token=token, hosts=hosts)
        app = create_app(
            load_models(options),
            access,
            data_folders=options.data_folders,
            text_models=load_text_models(options),
        )
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        typer.echo(f"sage: http://{shown}:{address[1]}/  token: {folder / TOKEN_NAME}", err=True)
        if not ipaddress.ip_address(address[0]).is_loopback:
            typer.echo(
                "sage: this address is not 127.0.0.1: the token and the puzzles are sent without TLS: use a"
                " TLS proxy",
                err=True,
            )
        if options.opens_page and not open_page(folder, f"http://{shown}:{address[1]}/", token):
            typer.echo("sage: no browser found: open the address, and give the page the token", err=True)
        build_server(app).run(sockets=[listening])


def build_server(app: object, *, stop_secs: int = 5) -> uvicorn.Server:
    """uvicorn with limits on headers, concurrent requests, idle connections, slow requests and the time of a
    stop.
    """
    import uvicorn

    from sage.app.http.slow_clients import TimedProtocol

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=TimedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=256,
        backlog=256,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=stop_secs,
        h11_max_incomplete_event_size=16 << 10,
    )
    return uvicorn.Server(config)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. UserError where the address is in use or not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError) as error:
        raise UserError(
            f"serve: {host}:{port}: {error}: give an address of this machine with --host"
        ) from error
    # asyncio sets TCP_NODELAY only where the protocol is stated: without it a reply takes 40 ms more.
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise UserError(
            f"serve: {host}:{port}: {(error.strerror or str(error)).lower()}: give another --port or --host"
        ) from error
    return listening


def allowed_hosts(options: ServeOptions) -> frozenset[str]:
    """The names allowed in Host. UserError for "every address" without --allow-host."""
    from sage.app.http.guard import LOOPBACK, host_name

    named = {host_name(name) for name in options.allowed_hosts}
    if options.host in _ANY and not named:
        raise UserError(
            f"serve: --host {options.host}: give the name that clients use for this machine with --allow-host"
            " NAME"
        )
    own = set() if options.host in _ANY else {options.host.lower()}
    return frozenset(LOOPBACK | named | own)


def load_models(options: ServeOptions, *, niceness: int = 0) -> ServedModels:
    """Load all models. UserError names the one that cannot be loaded. niceness: of their threads."""
    from sage.app.http.models import ServedModels
    from sage.app.models.training.processes import chosen_device
    from sage.app.terminal.errors import user_errors
    from sage.hrm_core.solving.inference import HRMInference
    from sage.hrm_core.solving.settings import SolveSettings
    from sage.hrm_core.solving.task_card import shipped_folders

    settings = SolveSettings(halt="verifier", max_segments=64)
    device = str(chosen_device(options.device))
    with user_errors("serve"):
        inferences = (
            HRMInference(
                name,
                device=device,
                settings=settings,
                batch_size=options.batch_size,
                num_segments=math.inf,
            )
            for name in options.checkpoints or shipped_folders()
        )
        return ServedModels(inferences, niceness=niceness)


def load_text_models(options: ServeOptions) -> dict[str, BaselineComparison]:
    """By the name of their folder. UserError names the one that cannot be loaded."""
    from sage.app.models.text_models import load_text_model
    from sage.app.terminal.errors import user_errors

    found: dict[str, BaselineComparison] = {}
    for each in options.text_models:
        name = Path(each).name
        if name in found:
            raise UserError(f"serve: --text {each}: two models have the name {name}: rename a folder")
        with user_errors("serve"):
            found[name] = load_text_model(each)
    return found


def need_web(command: str) -> None:
    """UserError of this command where starlette or uvicorn is missing."""
    from importlib.util import find_spec

    for module in ("starlette", "uvicorn"):
        if find_spec(module) is None:
            raise UserError(f"{command}: {module} is not installed: pip install 'sage-runtime[web]'")
