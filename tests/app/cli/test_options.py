"""One style of options: the same name has the same text in every command."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from sage.app.cli.main import app


def _commands(command: Any, path: str = "") -> list[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [
        found
        for name, each in command.commands.items()
        for found in _commands(each, f"{path} {name}".strip())
    ]


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("option", ["--json", "--device", "--quiet", "--state-dir", "--set"])
def test_an_option_has_one_text_everywhere(option: str) -> None:
    texts = {
        parameter.help
        for command in COMMANDS.values()
        for parameter in command.params
        if option in parameter.opts
    }
    assert len(texts) == 1


def test_every_command_that_prints_a_result_has_json() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not any("--json" in each.opts for each in command.params)
    }
    files_only = {
        "effectors new",
        "environments new",
        "memory export",
        "sensors new",
        "sensors record",
        "store export",
        "hub pull",
        "hub push",
        "bench",
        "serve",
        "top",
        "bridge serve",
        "bridge receive",
        "daemon install",
        "daemon unit",
        "inject",
        "groot serve",
        "totality serve",
    }
    assert without == files_only


def test_record_has_the_options_of_run_and_the_file_as_an_argument() -> None:
    run, record = COMMANDS["run"].params, COMMANDS["record"].params
    assert [(each.name, each.opts, each.help) for each in record[1:]] == [
        (each.name, each.opts, each.help) for each in run if each.name != "record"
    ]
    assert (record[0].metavar, record[0].param_type_name, record[0].required) == (
        "FILE.mcap",
        "argument",
        True,
    )
