"""`sage groot serve`: a local policy server on a socket, until a signal ends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from sage.app.groot.reach_policy import ReachPolicy
from sage.app.terminal.errors import UserError, nearest, user_errors
from sage.app.terminal.logs import log_to_stderr
from sage.gr00t_integration.dialects import dialect_named
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment
from sage.gr00t_integration.server.openpi_server import OpenpiPolicyServer
from sage.gr00t_integration.server.policies import ScriptedPolicy, ServedPolicy
from sage.gr00t_integration.server.replay import ReplayPolicy
from sage.gr00t_integration.server.service import PolicyService, ServiceOptions
from sage.gr00t_integration.server.zmq_server import ZmqPolicyServer
from sage.user_file import read_user_text

OPENPI = "openpi"
LINE, REACH = POLICIES = ("line", "reach")
#: Of configs/groot.yaml: the arm's max_speed times control_secs, in rad.
STEP_ANGLE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class GrootServeOptions:
    """dialect: of GR00T, or "openpi".  dataset: a folder to replay; None: a scripted policy.
    policy: "line" or "reach".  target: of "line".  port None: the protocol's own.
    """

    dialect: str
    embodiment: str
    dataset: Path | None = None
    policy: str = LINE
    execute_steps: int = 8
    target: str | None = None
    max_step: float = 0.02
    host: str = "127.0.0.1"
    port: int | None = None
    api_token_file: Path | None = None
    allow_kill: bool = False


def serve(options: GrootServeOptions) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, or an allowed `kill`. UserError where it cannot start."""
    log_to_stderr()
    with user_errors("groot serve"):
        embodiment = load_embodiment(options.embodiment)
        policy = _policy(options, embodiment)
        token = read_token(options.api_token_file)
        if options.dialect == OPENPI:
            _serve_openpi(options, embodiment, policy, token)
        else:
            _serve_zmq(options, embodiment, policy, token)


def read_token(path: Path | None) -> str | None:
    """The text of a file, without blanks around it. UserError for an empty one."""
    if path is None:
        return None
    token = read_user_text(path).strip()
    if not token:
        raise UserError(f"{path}: empty: write a token into it")
    return token


def _policy(options: GrootServeOptions, embodiment: Embodiment) -> ServedPolicy:
    if options.policy not in POLICIES:
        raise UserError(f"--policy {options.policy}: unknown: {nearest(options.policy, POLICIES)}")
    if options.policy == REACH:
        if options.dataset is not None or options.target is not None:
            raise UserError("--policy reach: it has no --dataset and no --target: leave them out")
        return ReachPolicy(embodiment, step_angle=STEP_ANGLE)
    if options.dataset is not None:
        if options.target is not None:
            raise UserError("--target: a replay has none: leave it or --dataset out")
        return ReplayPolicy(options.dataset, embodiment, execute_steps=options.execute_steps)
    target = None
    if options.target is not None:
        try:
            target = [float(part) for part in options.target.split(",")]
        except ValueError:
            raise UserError(f"--target {options.target}: give numbers with commas between them") from None
    return ScriptedPolicy(embodiment, target=target, max_step=options.max_step)


def _serve_openpi(
    options: GrootServeOptions, embodiment: Embodiment, policy: ServedPolicy, token: str | None
) -> None:
    if options.allow_kill:
        raise UserError("--allow-kill: openpi has no such endpoint: leave it out")
    port = 8000 if options.port is None else options.port
    with OpenpiPolicyServer(policy, embodiment, host=options.host, port=port, api_token=token) as server:
        _announce(server.address, options, policy)
        server.run()


def _serve_zmq(
    options: GrootServeOptions, embodiment: Embodiment, policy: ServedPolicy, token: str | None
) -> None:
    service = PolicyService(
        policy,
        embodiment,
        dialect_named(options.dialect),
        ServiceOptions(api_token=token, allows_kill=options.allow_kill),
    )
    port = "*" if options.port == 0 else str(options.port or 5555)
    with ZmqPolicyServer(service, f"tcp://{options.host}:{port}") as server:
        _announce(server.address, options, policy)
        server.run()


def _announce(address: str, options: GrootServeOptions, policy: ServedPolicy) -> None:
    typer.echo(
        f"sage: {address}  {options.dialect}, {options.embodiment}: {policy.about} (a test policy, not a"
        " trained model)",
        err=True,
    )
    if options.host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo(
            "sage: this address is not 127.0.0.1: images and the token are sent without TLS: use a tunnel",
            err=True,
        )
