"""What is around a plug-in: a fault of its own is kept, a signal or a cancellation goes on."""

import ast
import asyncio
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from sage.errors import Interrupted, Terminated, pass_on

PACKAGE = Path(__file__).parents[1] / "sage"


class PanicException(BaseException):
    """As PyO3 raises for a panic in an extension module: no Exception."""


def caught(error: BaseException) -> bool:
    try:
        raise error
    except BaseException as raised:
        pass_on(raised)
        return True


@pytest.mark.parametrize("error", [ValueError("1"), SystemExit(3), PanicException("1"), MemoryError()])
def test_a_fault_of_a_plug_in_stays_around_it(error: BaseException) -> None:
    assert caught(error)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Terminated(143), Interrupted(), asyncio.CancelledError(), GeneratorExit()]
)
def test_a_signal_a_cancellation_and_the_end_of_a_generator_go_on(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        caught(error)
    assert raised.value is error


def test_on_another_thread_a_cancellation_is_the_plug_ins_own() -> None:
    kept: list[bool] = []
    errors = (KeyboardInterrupt(), asyncio.CancelledError(), PanicException())
    thread = threading.Thread(target=lambda: kept.extend(caught(error) for error in errors))
    thread.start()
    thread.join()
    assert kept == [True, True, True]


def test_a_generator_around_a_plug_in_ends_on_any_thread() -> None:
    def readings() -> Generator[int, None, None]:
        try:
            yield 1
        except BaseException as error:
            pass_on(error)
        yield 2

    def work() -> None:
        generator = readings()
        next(generator)
        generator.close()
        ended.append(True)

    ended: list[bool] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_whatever_is_caught_around_a_plug_in_is_passed_to_pass_on_first() -> None:
    """But at the top of a process or thread, and where it is raised again."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        lines = text.split("\n")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ExceptHandler) or "around a plug-in" not in lines[node.lineno - 1]:
                continue
            first = ast.unparse(node.body[0])
            kind = "" if node.type is None else ast.unparse(node.type)
            if kind != "BaseException" or first != f"pass_on({node.name})":
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert wrong == []
