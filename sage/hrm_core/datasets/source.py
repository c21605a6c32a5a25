"""Locate published puzzles: a folder with train.csv and test.csv, or a data set on the hub.

Invariant: only the two CSV files are downloaded.
"""

from __future__ import annotations

from pathlib import Path

from sage.errors import InputError

FILES = {"train": "train.csv", "test": "test.csv"}


def source_file(source: str | Path, side: str) -> Path:
    """The path of one side's CSV file. An existing folder has priority over a name on the hub.

    InputError where there is no such file, or where it cannot be downloaded.
    """
    name = FILES[side]
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no file {name}: give a folder with train.csv and test.csv")
        return folder / name
    if str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        raise InputError(
            f"{source}: no such folder: give a folder with train.csv and test.csv, or OWNER/NAME, a data"
            " set on the hub"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(str(source), name, repo_type="dataset"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{source}: {name} cannot be fetched: {reason}: download it elsewhere and give its folder"
        ) from error
