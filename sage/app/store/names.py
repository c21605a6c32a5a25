"""Session names that are easy to say and type: a date, an adjective, an animal.

Invariant: a pure function of a time and a salt; the caller appends a number where a name is taken.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

_ADJECTIVES = """
    amber brave brisk calm clear clever cosy crisp deep eager early fair fleet gentle glad golden green
    happy keen kind late light lively lucid mellow merry mild nimble noble patient plain prompt proud quick
    quiet ready round sharp silver slow small smooth snug soft sound spry steady still sunny swift tall tidy
    true vivid warm wide wild wise young
""".split()  # noqa: SIM905
_ANIMALS = """
    badger bat bear beaver bee bison bittern buzzard cat crane cricket crow curlew deer dolphin dormouse
    dove duck eagle egret elk falcon ferret finch fox frog gecko goose gull hare hawk hedgehog heron horse
    ibex ibis jackdaw jay kestrel kite lark lemur lizard lynx marten mole moose moth mouse newt nuthatch
    orca otter owl oyster panda perch plover puffin quail rabbit raven robin salmon seal shrew skylark snail
    sparrow squid stork swan swift tern thrush toad trout turtle viper vole walrus weasel whale wolf wren
    yak zebra
""".split()  # noqa: SIM905


def readable_name(wall_ns: int, salt: str) -> str:
    """`2026-11-22-quiet-otter`: the day (UTC) of `wall_ns`, and two words drawn from it and `salt`."""
    day = datetime.fromtimestamp(wall_ns / 1e9, tz=timezone.utc).strftime("%Y-%m-%d")
    number = int.from_bytes(hashlib.blake2b(f"{wall_ns}/{salt}".encode(), digest_size=8).digest(), "big")
    first, second = divmod(number, len(_ANIMALS))
    return f"{day}-{_ADJECTIVES[first % len(_ADJECTIVES)]}-{_ANIMALS[second]}"
