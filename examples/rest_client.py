"""Send puzzles to a running `sage serve`, with the standard library only.

    sage serve &
    python examples/rest_client.py [--url http://127.0.0.1:8765] [--token-file FILE] [--model NAME] PUZZLE ...

Invariant: the token is read from its file and sent in a header; it is never printed and never part of a URL.
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


def request(url: str, token: str, path: str, document: Any = None) -> Any:
    """The reply's JSON. POST if there is a document. An error reply is a RuntimeError with its message."""
    body = None if document is None else json.dumps(document).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    message = urllib.request.Request(f"{url}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(message, timeout=120) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["error"]["message"]) from error
    except urllib.error.URLError as error:
        raise RuntimeError(f"{url}: {error.reason}; start the server with `sage serve`") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "puzzles", nargs="*", metavar="PUZZLE", help="one line of symbols; none: list the models"
    )
    parser.add_argument("--url", default="http://127.0.0.1:8765")
    parser.add_argument("--token-file", type=Path, default=Path("~/.local/state/sage/http.token"))
    parser.add_argument("--model", help="a name from the list; optional if the server has one model")
    options = parser.parse_args(arguments)
    try:
        token = options.token_file.expanduser().read_text().strip()
        if not options.puzzles:
            for model in request(options.url, token, "/v1/models")["models"]:
                print(
                    f"{model['name']}: {model['task']}, {model['num_cells']} cells, trained:"
                    f" {model['trained']}"
                )
            return 0
        document = {
            "puzzles": options.puzzles,
            "tries": 4,
            "abstains": True,
            **({"model": options.model} if options.model else {}),
        }
        results = request(options.url, token, "/v1/solve", document)["results"]
    except (RuntimeError, OSError) as error:
        print(f"rest_client: {error}", file=sys.stderr)
        return 1
    for result in results:
        print(f"{result['answer'] or 'no answer'}  ({result['num_segments_spent']} segments)")
    return 0 if all(result["is_verified"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
