"""YAML files: `7e-5` is a number, `${VAR:-default}` is expanded, a duplicate key is an error.

Invariant: the result is plain data (safe loading); every error is a UserError with file and line.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sage.app.terminal.errors import UserError
from sage.errors import DataError
from sage.plain_yaml import PlainLoader
from sage.user_file import read_user_text

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
#: YAML 1.2's float. PyYAML follows 1.1, where `7e-5` without a dot is text.
_FLOAT = re.compile(
    r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """One mapping, with its source.

    source: the file, for messages.  places: key path -> `file:line`.  variables: key path -> names of the
    variables expanded in its text.
    """

    data: dict[str, Any]
    source: str
    places: dict[KeyPath, str] = field(default_factory=dict)
    variables: dict[KeyPath, tuple[str, ...]] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """The place of the nearest enclosing key; the file alone where no place is recorded."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.source


class _Loader(PlainLoader):
    """PlainLoader with YAML 1.2's floats and without aliases, which can expand a small file without limit."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "aliases (*) are not supported; write the value out", mark
            )
        return super().compose_node(parent, index)

    def check_keys(self, node: yaml.MappingNode) -> None:
        """`_note_lines` does, with the whole path of the key."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in PlainLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def read_yaml(path: Path, environ: Mapping[str, str] = os.environ) -> YamlDocument:
    """The mapping in `path`; UserError if it cannot be read, is not YAML, or is not a mapping."""
    try:
        text = read_user_text(path)
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory: give a YAML file") from None
    except DataError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(
            f"{path}: {(error.strerror or str(error)).lower()}: give a readable YAML file"
        ) from None
    return parse_yaml(text, str(path), environ)


def parse_yaml(text: str, source: str, environ: Mapping[str, str] = os.environ) -> YamlDocument:
    """As `read_yaml`, from text. An empty text is an empty mapping."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return YamlDocument(data={}, source=source)
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{source}:{_line(node)}: a {_shape(node)} at the top: give keys with values")
        document = YamlDocument(data={}, source=source)
        _note_lines(node, (), document)
        document.data.update(_expand(loader.construct_document(node), (), document, environ))
        return document
    except yaml.YAMLError as error:
        raise UserError(_explain(error, source)) from None
    except RecursionError:
        raise UserError(f"{source}: lists or mappings are nested too deeply: write fewer levels") from None


def parse_value(text: str) -> Any:
    """A value of `--set`, read as YAML: 0.5, true, null, [a, b] and text mean the same as in the file."""
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _note_lines(node, (), YamlDocument(data={}, source=repr(shown)))
        return loader.construct_document(node)
    except (yaml.YAMLError, RecursionError):
        raise UserError(f"{shown!r}: not a YAML value: quote it, e.g. 'key=\"text\"'") from None


def _note_lines(node: yaml.Node, path: KeyPath, document: YamlDocument) -> None:
    """Record the line of each key; UserError for a key that is twice in a mapping."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            document.places[(*path, index)] = f"{document.source}:{_line(item)}"
            _note_lines(item, (*path, index), document)
    if isinstance(node, yaml.MappingNode):
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), _line(key_node)
            name = ".".join(map(str, (*path, key)))
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{document.source}:{line}: a {_shape(key_node)} as a key: give a word")
            if key in first_lines:
                raise UserError(
                    f"{document.source}:{line}: {name}: given twice, first on line {first_lines[key]}:"
                    " keep one"
                )
            first_lines[key] = line
            document.places[(*path, key)] = f"{document.source}:{line}"
            _note_lines(value_node, (*path, key), document)


def _expand(value: Any, path: KeyPath, document: YamlDocument, environ: Mapping[str, str]) -> Any:
    """Expand `${VAR}` and `${VAR:-default}` in every text value; keys become text."""
    if isinstance(value, dict):
        return {str(key): _expand(item, (*path, str(key)), document, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, (*path, index), document, environ) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    document.variables[path] = tuple(match["name"] for match in _VARIABLE.finditer(value))

    def substitute(match: re.Match[str]) -> str:
        given = environ.get(match["name"], "")
        if given or match["default"] is not None:
            return given or match["default"]
        raise UserError(
            f"{document.where(path)}: {'.'.join(map(str, path))}: {match['name']} is not set: "
            f"export it, or write ${{{match['name']}:-default}}"
        )

    return _VARIABLE.sub(substitute, value)


def _explain(error: yaml.YAMLError, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = f":{mark.line + 1}" if mark is not None else ""
    return f"{source}{line}: not YAML ({problem}): correct that line"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _shape(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "mapping"
    return "list" if isinstance(node, yaml.SequenceNode) else "single value"
