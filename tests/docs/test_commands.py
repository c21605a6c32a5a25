"""Every command of README.md and docs: it exists, its options and arguments are read without an error, and
what it names (configurations, settings, recipes, benchmarks, scripts, extras) is there. None is run here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from sage.app.cli.bench import find_benchmarks
from sage.app.cli.main import app
from sage.app.config.sage_config import load_config
from sage.app.models.training.recipe import find_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
_SHELL = ("", "bash", "sh", "console")
#: A command ends at a comment or at what the shell does with it.
_END = re.compile(r"\s(#|\||>|<|;|&&?|2>|\\$).*$")
_VARIABLE = re.compile(r"^[A-Z_]+=\S+\s+")
#: Values in the place of a name in capitals.
_NUMBER = re.compile(r"^[A-Z]$|^(SECONDS|PORT|SEED|TICKS|NUM)$")


@dataclass(frozen=True, slots=True)
class Command:
    """is_whole: of a block, which people copy; else of the text, where arguments may be left out."""

    page: str
    text: str
    is_whole: bool


def commands_of(page: Path) -> Iterator[Command]:
    text = page.read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for language, body in blocks:
        if language not in _SHELL:
            continue
        lines = body.replace("\\\n", " ").splitlines()
        is_console = any(line.startswith("$ ") for line in lines)
        for line in lines:
            if is_console and not line.startswith("$ "):
                continue
            for part in line.removeprefix("$ ").split("; "):
                yield Command(page.name, _plain(part), True)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`\n]+)`", prose):
        if code.startswith(("sage ", "./scripts/", "pip install ")):
            yield Command(page.name, _plain(code), False)


def _plain(line: str) -> str:
    line = _END.sub("", " " + line.strip()).strip()
    while _VARIABLE.match(line):
        line = _VARIABLE.sub("", line)
    return line


COMMANDS = sorted(
    {command for page in PAGES for command in commands_of(page)},
    key=lambda each: (each.page, each.text, each.is_whole),
)
OURS = [each for each in COMMANDS if each.text.startswith("sage ")]


def words_of(command: Command) -> list[str]:
    words = shlex.split(command.text.replace("[", "").replace("]", "").replace("...", ""))[1:]
    return ["1" if _NUMBER.match(word) else word for word in words]


@cache
def root() -> Any:
    return typer.main.get_command(app)


def read(command: Command) -> Any:
    """The context of a command line, its arguments read; None where it names a group alone."""
    found = root()
    words, path = words_of(command), ["sage"]
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"{' '.join(path)} has no command {words[0]}"
        path.append(words.pop(0))
        found = found.commands[path[-1]]
    if hasattr(found, "commands"):
        return None
    try:
        return found.make_context(" ".join(path), words)
    except typer.Exit:  # --help
        return None
    except Exception as error:
        is_left_out = type(error).__name__ == "MissingParameter" or "requires an argument" in str(error)
        if is_left_out and not command.is_whole:
            return None
        raise


@pytest.mark.parametrize("page", sorted({each.page for each in OURS}))
def test_the_commands_of_a_page_are_read(page: str) -> None:
    wrong = {command.text: reason for command in OURS if command.page == page and (reason := fault(command))}
    assert not wrong


def fault(command: Command) -> str:
    """Why a command line cannot be right, or ""."""
    try:
        check(command)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def check(command: Command) -> None:
    context = read(command)
    if context is None:
        return
    given = context.params
    name = context.info_name.removeprefix("sage ")
    if name == "bench" and given["name"]:
        check_benchmark(given["name"], context.args)
    elif name in ("run", "config show", "config check"):
        check_configuration(given)
    elif name == "train":
        check_recipe(given)


def check_benchmark(name: str, arguments: list[str]) -> None:
    benchmarks = find_benchmarks()
    if name.isupper():
        return
    assert name in benchmarks
    harness = benchmarks[name].parent / "harness.py"
    known = benchmarks[name].read_text() + harness.read_text()
    for option in arguments:
        if option.startswith("--"):
            assert f'"{option.partition("=")[0]}"' in known, f"sage bench {name} has no option {option}"


def check_configuration(given: dict[str, Any]) -> None:
    """A shipped configuration is there, and takes the settings; a file of the reader's own is not read."""
    config, overrides = given.get("config") or "default", given.get("overrides") or given.get("set") or ()
    shipped = {path.stem for path in (REPOSITORY / "sage/app/configs").glob("*.yaml")}
    name = Path(config).stem
    if str(config).startswith("configs/"):
        assert name in shipped
    if name in shipped:
        load_config(name, [each for each in overrides if not each.isupper() and "..." not in each])


def check_recipe(given: dict[str, Any]) -> None:
    recipe = given.get("task")
    if recipe and not recipe.isupper() and given.get("config") is None:
        find_recipe(recipe, None, [each for each in given.get("overrides") or () if not each.isupper()])


def test_scripts_and_extras_of_the_docs_are_there() -> None:
    section = (REPOSITORY / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    extras = set(re.findall(r"^(\w+) = \[", section.partition("\n[")[0], re.MULTILINE))
    num_scripts = num_extras = 0
    for command in COMMANDS:
        for script in re.findall(r"(?<!\S)\./(scripts/\w+)", command.text):
            assert (REPOSITORY / script).is_file(), command
            num_scripts += 1
        for script in re.findall(
            r"(?<!\S)python3? ((?:implementation|examples|scripts)/\S+\.py)", command.text
        ):
            assert (REPOSITORY / script).is_file(), command
            num_scripts += 1
        for names in re.findall(r"sage-runtime\[([\w,]+)\]", command.text):
            assert set(names.split(",")) <= extras, command
            num_extras += 1
    assert num_scripts > 3
    assert num_extras > 3


def test_the_commands_of_the_docs_are_found() -> None:
    assert len(OURS) > 120
    assert sum(command.is_whole for command in OURS) > 50


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sage runn flight", "no command runn"),
        ("sage recording infoo run.mcap", "no command infoo"),
        ("sage run flight --sedonds 3", "No such option: --sedonds"),
        ("sage run flight --seconds", "requires an argument"),
        ("sage run flight --set tick.rat_hz=3", "tick.rate_hz"),
        ("sage train sudoku44", "sudoku4"),
        ("sage bench life --sleeps 3", "no option --sleeps"),
    ],
)
def test_a_wrong_command_is_found(text: str, reason: str) -> None:
    assert reason in fault(Command("", text, True))
