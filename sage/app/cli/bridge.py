"""`sage bridge`: the sources and mailboxes of one host on another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import ConfigArgument, JsonOption, SetOption, command_group

app = command_group("Send sensors to other hosts, and list what another host sends.")

ZenohOption = Annotated[
    Path | None,
    typer.Option("--zenoh-config", metavar="FILE", help="zenoh's own settings (JSON5), e.g. with TLS."),
]


@app.command("serve")
def serve(
    config: ConfigArgument = "default",
    host: Annotated[str | None, typer.Option("--host", help="Name of this host. Default: its own.")] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="ENDPOINT", help="Default: tcp/127.0.0.1:7447. Repeatable."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.0, max=1e9, help="Stop after this time.")] = None,
    max_picture_bytes: Annotated[
        int, typer.Option("--max-picture-bytes", min=1024, help="Of a picture, as JPEG.")
    ] = 12_000,
    mailbox: Annotated[
        list[str] | None,
        typer.Option("--mailbox", metavar="NAME", help="Also send a ring of `sage mailbox ls`. Repeatable."),
    ] = None,
    zenoh_config: ZenohOption = None,
    overrides: SetOption = None,
) -> None:
    """Read the sensors of a configuration and send every reading, to anyone who reaches ENDPOINT."""
    import platform

    from sage.app.bridge.serving import Bridge, BridgeOptions
    from sage.app.bridge.text import totals_text
    from sage.app.config.sage_config import load_config
    from sage.app.terminal.logs import log_to_stderr
    from sage.app.terminal.stopping import stopped_by_signals

    log_to_stderr()
    loaded = load_config(config, overrides or (), with_files=True)
    name = host or platform.node().partition(".")[0] or "host"
    endpoints = tuple(listen or ("tcp/127.0.0.1:7447",))
    options = BridgeOptions(
        host=name,
        listen=endpoints,
        zenoh_config=zenoh_config,
        max_picture_bytes=max_picture_bytes,
        mailboxes=tuple(dict.fromkeys(mailbox or ())),
    )
    bridge = Bridge(loaded, options)
    typer.echo(f"Host {name} sends at {', '.join(endpoints)}; sage bridge list ENDPOINT prints its sources.")
    with stopped_by_signals(lambda _: bridge.stop()):
        totals = bridge.run(seconds)
    typer.echo(totals_text(totals, bridge.mailbox_totals))


@app.command("receive")
def receive(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="For example tcp/192.168.1.5:7447.")],
    host: Annotated[str, typer.Option("--host", help="Name of the other host.")],
    mailbox: Annotated[str, typer.Option("--mailbox", metavar="NAME", help="The mailbox there.")],
    local_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The mailbox here. Default: the same name.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.0, max=1e9, help="Stop after this time.")] = None,
    zenoh_config: ZenohOption = None,
) -> None:
    """Make a mailbox on this host with the records of one that another host sends."""
    from sage.app.bridge.receiving import MailboxReceiver
    from sage.app.bridge.text import mirror_text
    from sage.app.terminal.logs import log_to_stderr
    from sage.app.terminal.stopping import stopped_by_signals

    log_to_stderr()
    receiver = MailboxReceiver(endpoint, host, mailbox, local_name=local_name, zenoh_config=zenoh_config)
    typer.echo(f"Mailbox {receiver.name} has the records of {mailbox} of host {host}.")
    with stopped_by_signals(lambda _: receiver.stop()):
        totals = receiver.run(seconds)
    typer.echo(mirror_text(totals))


@app.command("list")
def list_sources(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="For example tcp/192.168.1.5:7447.")],
    zenoh_config: ZenohOption = None,
    json_output: JsonOption = False,
) -> None:
    """Print what other hosts send, as entries for a configuration's `sensors`."""
    import json

    from sage.app.bridge.text import entries
    from sage.app.terminal.errors import UserError
    from sage.errors import SageError
    from sage.sensors.remote import link

    try:
        found = link.list_sources(endpoint, zenoh_config)
        text = entries(found, endpoint)
    except SageError as error:
        raise UserError(f"{error}") from None
    if json_output:
        typer.echo(json.dumps([{"host": host, "source": source} for host, source in sorted(found)]))
        return
    if not found:
        raise UserError(f"{endpoint}: no source is sent there: start `sage bridge serve` on the other host")
    typer.echo(text.rstrip())
