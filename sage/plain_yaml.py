"""YAML that a user wrote, as plain data: what cannot be a value is a YAML error with its line.

Invariant: only yaml.YAMLError is raised. A date is text, as in YAML 1.2's core schema. A key that is given
twice in a mapping is an error.
"""

from __future__ import annotations

from typing import Any

import yaml

#: Digits of a number that are read; Python's own limit is 4,300, and it has none for hexadecimal ones.
MAX_DIGITS = 400


class PlainLoader(yaml.SafeLoader):
    """SafeLoader without dates, with a limit on the digits of a number, and with keys given once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        self.check_keys(node)
        return node

    def check_keys(self, node: yaml.MappingNode) -> None:
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in seen:
                problem = f"{key.value} is given twice, first on line {seen[name]}: keep one"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen[name] = line

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag == "tag:yaml.org,2002:int" and len(node.value) > MAX_DIGITS:
            raise _cannot_be_a_value(node, f"a number of {len(node.value)} digits")
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # of `!!timestamp 2026-13-45` and the like
            raise _cannot_be_a_value(node, " ".join(str(error).split())) from error


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_plain(text: str) -> Any:
    """The one document in `text`. yaml.YAMLError for anything else, also where it is nested too deeply."""
    try:
        return yaml.load(text, PlainLoader)
    except RecursionError:
        raise yaml.YAMLError("lists or mappings are nested too deeply: write fewer levels") from None


def _cannot_be_a_value(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
