"""`sage daemon`: a session as a systemd service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sage.app.cli.options import (
    ConfigArgument,
    FoxgloveOption,
    PageHostOption,
    PageNamesOption,
    PageOption,
    PagePortOption,
    RecordJpegOption,
    RecordMaxBytesOption,
    RecordOption,
    RerunOption,
    SetOption,
    command_group,
)

if TYPE_CHECKING:
    from sage.app.config.sage_config import SageConfig
    from sage.app.daemon.unit import UnitSettings

app = command_group("Run a session as a systemd service: print or install its unit.")
SystemOption = Annotated[
    bool, typer.Option("--system/--user", help="A unit of the system, or of this user's service manager.")
]
AccountOption = Annotated[
    str,
    typer.Option(
        "--account",
        metavar="NAME",
        help="Account that a system unit runs as. Default: yours, also under sudo.",
    ),
]
DrainOption = Annotated[
    float, typer.Option("--drain-secs", min=0.1, max=1e9, help="Time from SIGTERM to the end of the process.")
]


@app.command("unit")
def unit(
    config: ConfigArgument = "default",
    system: SystemOption = False,
    account: AccountOption = "",
    overrides: SetOption = None,
    drain_secs: DrainOption = 60.0,
    page: PageOption = True,
    port: PagePortOption = 8642,
    host: PageHostOption = "127.0.0.1",
    allow_host: PageNamesOption = None,
    record: RecordOption = None,
    record_max_bytes: RecordMaxBytesOption = None,
    record_jpeg: RecordJpegOption = False,
    foxglove: FoxgloveOption = None,
    rerun: RerunOption = None,
) -> None:
    """Print the unit file."""
    from sage.app.daemon.unit import unit_text

    words = [
        *_page_words(page, port, host, allow_host),
        *_record_words(record, record_max_bytes, record_jpeg),
        *_viewer_words({"--foxglove": foxglove, "--rerun": rerun}),
    ]
    settings = _settings(config, system, account, overrides, drain_secs, words, record)
    typer.echo(unit_text(settings), nl=False)


@app.command("install")
def install(
    config: ConfigArgument = "default",
    system: SystemOption = False,
    account: AccountOption = "",
    overrides: SetOption = None,
    drain_secs: DrainOption = 60.0,
    page: PageOption = True,
    port: PagePortOption = 8642,
    host: PageHostOption = "127.0.0.1",
    allow_host: PageNamesOption = None,
    record: RecordOption = None,
    record_max_bytes: RecordMaxBytesOption = None,
    record_jpeg: RecordJpegOption = False,
    foxglove: FoxgloveOption = None,
    rerun: RerunOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another unit of that name.")] = False,
) -> None:
    """Write the unit file to ~/.config/systemd/user, or to /etc/systemd/system with --system."""
    from sage.app.daemon.unit import UNIT_NAME, install_unit, unit_path, unit_text

    words = [
        *_page_words(page, port, host, allow_host),
        *_record_words(record, record_max_bytes, record_jpeg),
        *_viewer_words({"--foxglove": foxglove, "--rerun": rerun}),
    ]
    settings = _settings(config, system, account, overrides, drain_secs, words, record)
    path = unit_path(settings.scope)
    is_new = install_unit(path, unit_text(settings), replaces=force)
    systemctl = "systemctl" if system else "systemctl --user"
    typer.echo(f"{'Wrote' if is_new else 'Already there:'} {path}")
    typer.echo(f"Next: {systemctl} daemon-reload; {systemctl} enable --now {UNIT_NAME}")


def _page_words(page: bool, port: int, host: str, allow_host: list[str] | None) -> list[str]:
    if not page:
        from sage.app.page.address import check_without

        check_without(port, host, allow_host or ())
        return []
    names = [word for name in allow_host or () for word in ("--allow-host", name)]
    return ["--page", "--port", str(port), "--host", host, *names]


def _record_words(record: Path | None, max_bytes: int | None, is_jpeg: bool) -> list[str]:
    """UserError for a recording's name that will not do. Its folder may not exist yet."""
    if record is None:
        from sage.app.recording.attaching import check_without

        check_without(max_bytes, is_jpeg=is_jpeg)
        return []
    from sage.app.recording.mcap_sink import check_name

    check_name(record, max_bytes)
    words = ["--record", str(record.absolute())]
    words += [] if max_bytes is None else ["--record-max-bytes", str(max_bytes)]
    return [*words, "--record-jpeg"] if is_jpeg else words


def _viewer_words(ports: Mapping[str, int | None]) -> list[str]:
    return [word for name, port in ports.items() if port is not None for word in (name, str(port))]


def _settings(
    config: str,
    system: bool,
    account: str,
    overrides: list[str] | None,
    drain_secs: float,
    more: list[str],
    record: Path | None,
) -> UnitSettings:
    """more: words of `sage run`. UserError where the configuration is not valid now."""
    from sage.app.config.names import shipped_configs
    from sage.app.config.sage_config import find_config, load_config
    from sage.app.daemon.unit import UnitSettings

    loaded = load_config(config, overrides or ())
    words = [word for override in overrides or () for word in ("--set", override)]
    found = find_config(config).absolute()
    name = found.stem if found in shipped_configs().values() else str(found)
    return UnitSettings(
        config=name,
        scope="system" if system else "user",
        arguments=(*words, *more),
        user=(account or _own_account()) if system else "",
        state_dir=_own_state_dir(loaded, is_system=system),
        record_dir="" if record is None else str(record.absolute().parent),
        drain_secs=drain_secs,
    )


def _own_state_dir(config: SageConfig, *, is_system: bool) -> str:
    """That of the configuration, or of this user's XDG_STATE_HOME; "" where it is the unit's own."""
    usual = Path.home() / ".local" / "state" / "sage"
    if config.state_dir is None and (is_system or config.state_path == usual):
        return ""
    return str(config.state_path)


def _own_account() -> str:
    """That of the person: under sudo the one that called it."""
    import getpass

    from sage.app.terminal.errors import UserError

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        raise UserError("--account: this process's account has no name: give --account NAME") from None
