"""The systemd unit of a session, as text and as an installed file.

Invariants: the text depends on its arguments alone. What it restricts is what a session never needs: devices,
the network and the GPU stay usable. However a session fails, it is started again: its device, its disk or its
network may be back.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sage.app.terminal.errors import UserError
from sage.durable import write_file

Scope = Literal["user", "system"]
UNIT_NAME = "sage.service"
SYSTEM_DIR = Path("/etc/systemd/system")
#: systemd ends a session that sends nothing for this long; a tick sends.
WATCHDOG_SECS = 30
#: systemd waits this much longer than the session's own deadline before it kills.
STOP_MARGIN_SECS = 15
TEMPLATE = """\
[Unit]
Description=SAGE: sense, reason, remember and sleep ({config})
StartLimitIntervalSec=0
{mounts}
[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec={watchdog_secs}
TimeoutStartSec=600
TimeoutStopSec={stop_secs}
KillMode=mixed
Restart=on-failure
RestartSec=10
SuccessExitStatus=143
{state}UMask=0077
Environment=OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONFAULTHANDLER=1
{user}NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
{system}
[Install]
WantedBy={target}
"""
#: The cache is for compiled kernels: the account's own folder is read-only.
SYSTEM_STATE = """\
StateDirectory=sage
StateDirectoryMode=0700
CacheDirectory=sage
WorkingDirectory=%S/sage
Environment=XDG_CACHE_HOME=%C
"""
#: %S of a user's service manager is another folder before systemd 254.
USER_STATE = "WorkingDirectory=%h\n"
#: A user's service manager may not set these up.
SYSTEM_HARDENING = """\
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
CapabilityBoundingSet=
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettings:
    """config: a shipped name or a file.  arguments: more of `sage run`.  user: account of a system unit.
    state_dir: absolute; "": the scope's own.  record_dir: where it writes a recording, absolute; "": nowhere.
    python: the interpreter that SAGE is installed in.
    """

    config: str
    scope: Scope
    arguments: tuple[str, ...] = ()
    user: str = ""
    state_dir: str = ""
    record_dir: str = ""
    drain_secs: float = 60.0
    python: str = sys.executable


def unit_text(settings: UnitSettings) -> str:
    """The unit file. UserError for an argument that a unit cannot contain."""
    words = [settings.python, "-m", "sage", "run", settings.config, "--no-live"]
    is_system = settings.scope == "system"
    state_dir = settings.state_dir or ("%S/sage" if is_system else "%h/.local/state/sage")
    place = _path(settings.state_dir) if is_system and settings.state_dir else ""
    writes = [place] if place else []
    if is_system and settings.record_dir:
        writes.append(_path("-" + settings.record_dir))  # "-": it may not exist yet
    words += ["--state-dir", state_dir, "--drain-secs", f"{settings.drain_secs:g}", *settings.arguments]
    return TEMPLATE.format(
        config=settings.config.replace("%", "%%"),
        command=" ".join(_quoted(word) for word in words),
        watchdog_secs=WATCHDOG_SECS,
        mounts=f"RequiresMountsFor={place}\n" if place else "",
        stop_secs=int(settings.drain_secs) + STOP_MARGIN_SECS,
        state=SYSTEM_STATE if is_system else USER_STATE,
        user=f"User={settings.user}\n" if is_system and settings.user else "",
        system=(SYSTEM_HARDENING if is_system else "")
        + "".join(f"ReadWritePaths={each}\n" for each in writes),
        target="multi-user.target" if is_system else "default.target",
    )


def _path(path: str) -> str:
    return '"' + path.replace("%", "%%") + '"'


def unit_path(scope: Scope, home: Path | None = None) -> Path:
    if scope == "system":
        return SYSTEM_DIR / UNIT_NAME
    return (home or Path.home()) / ".config" / "systemd" / "user" / UNIT_NAME


def install_unit(path: Path, text: str, *, replaces: bool) -> bool:
    """Write the file; False where the same one is there already. UserError where another one is there and
    `replaces` is false, or it cannot be written.
    """
    try:
        if path.exists():
            if path.read_text(encoding="utf-8") == text:
                return False
            if not replaces:
                raise UserError(f"{path}: another unit is there: give --force to replace it")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text.encode())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(
            f"{path}: {reason.lower()}: use `sudo`, or `sage daemon unit` and write the file yourself"
        ) from None
    return True


def _quoted(word: str) -> str:
    """One word of ExecStart=. "%S/" and "%h/" at its start are specifiers; "$" and other "%" are escaped."""
    if "\n" in word or "\0" in word:
        raise UserError(f"{word!r}: a unit cannot contain a line break: rename the file")
    text = word if word.startswith(("%S/", "%h/")) else word.replace("%", "%%")
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{text}"' if not text or any(each in text for each in " \t'\"\\;") else text
