"""Ask a running `sage serve` to solve puzzles; the standard library is enough.

    sage serve &
    python examples/rest_client.py [--url http://127.0.0.1:8765] [--token-file FILE] [--model NAME] PUZZLE ...

Invariant: the token is read from its file and sent in a header, never shown and never part of an address.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def ask(url: str, token: str, path: str, said: Any = None) -> Any:
    """The reply's JSON. RuntimeError with the server's own words where it refuses."""
    body = None if said is None else json.dumps(said).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}{path}", data=body, headers=headers)  # POST where there is a body
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["error"]["message"]) from error
    except urllib.error.URLError as error:
        raise RuntimeError(f"{url}: {error.reason}: start it with `sage serve`") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("puzzles", nargs="*", metavar="PUZZLE", help="without any, the models are listed")
    parser.add_argument("--url", default="http://127.0.0.1:8765")
    parser.add_argument("--token-file", type=Path, default=Path("~/.local/state/sage/http.token"))
    parser.add_argument("--model", help="a name that the list shows; not needed where there is one")
    given = parser.parse_args(arguments)
    try:
        token = given.token_file.expanduser().read_text().strip()
        if not given.puzzles:
            for model in ask(given.url, token, "/v1/models")["models"]:
                print(
                    f"{model['name']}: {model['task']}, {model['num_cells']} cells, trained:"
                    f" {model['trained']}"
                )
            return 0
        said = {
            "puzzles": given.puzzles,
            "tries": 4,
            "abstains": True,
            **({"model": given.model} if given.model else {}),
        }
        results = ask(given.url, token, "/v1/solve", said)["results"]
    except (RuntimeError, OSError) as error:
        print(f"rest_client: {error}", file=sys.stderr)
        return 1
    for result in results:
        print(f"{result['answer'] or 'no answer'}  ({result['num_segments_spent']} segments)")
    return 0 if all(result["is_verified"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
