"""Locate published puzzles: a folder with train.csv and test.csv, or a data set on the hub.

Invariant: only the two CSV files are downloaded.
"""

from __future__ import annotations

from pathlib import Path

from sage.errors import InputError

FILES = {"train": "train.csv", "test": "test.csv"}
_TIMEOUT_SECS = 10.0


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
    if folder.exists():
        raise InputError(f"{source}: a file: give a folder with train.csv and test.csv")
    if str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        raise InputError(
            f"{source}: no such folder: give a folder with train.csv and test.csv, or OWNER/NAME, a data"
            " set on the hub"
        )
    return _downloaded(str(source), name)


def _downloaded(repository: str, name: str) -> Path:
    """The file in the hub's cache, updated if the hub answers one request without retries."""
    import huggingface_hub
    from huggingface_hub import errors

    unreached: Exception | None = None
    try:
        huggingface_hub.HfApi().repo_info(repository, repo_type="dataset", timeout=_TIMEOUT_SECS)
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{repository}: not a folder, and the hub has no such data set, or it is private: check the"
            " name, or log in with `hf auth login`"
        ) from error
    except Exception as error:  # the client's, its HTTP library's and the system's errors, by version
        unreached = error
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                repository, name, repo_type="dataset", local_files_only=unreached is not None
            )
        )
    except Exception as error:
        cause = unreached or error
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise InputError(
            f"{repository}: {name} cannot be downloaded: {lines[0].rstrip('.')}: download it"
            " elsewhere and give its folder"
        ) from cause
