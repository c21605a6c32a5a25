"""Where a model comes from and goes to: a folder, a file, or a repository on the Hugging Face hub.

Invariant: a path that exists is never looked for elsewhere; huggingface_hub is imported only when a
repository is named.
"""

from __future__ import annotations

import re
from pathlib import Path

from sage.hrm_core.checkpoint.errors import CheckpointError

#: What is fetched: our form, the published form. Nothing else of a repository is.
_WANTED = ["model.safetensors", "config.json", "task.json", "checkpoint", "all_config.yaml"]
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def fetch(source: str | Path, *, revision: str | None = None) -> Path:
    """The file or folder `source` names, downloaded into the hub's cache if it is a repository
    ("owner/name").

    CheckpointError, in one line: neither a path nor a repository; no network and not in the cache; no such
    repository.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    name = str(source)
    if name.startswith((".", "/", "~")) or not _REPOSITORY.fullmatch(name):
        raise CheckpointError(f"{source}: no such file or folder, and not a repository (owner/name) either")
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=_WANTED, etag_timeout=10
            )
        )
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors, by version
        raise CheckpointError(
            f"{name}: no such path here, and the hub gave no such repository: {_reason(error)}"
        ) from error


def push(folder: Path, repository: str, *, is_private: bool = True) -> str:
    """Upload a folder that save_pretrained wrote; returns the address. Needs a token of the hub (`hf auth
    login`).
    """
    import huggingface_hub

    try:
        client = huggingface_hub.HfApi()
        address = client.create_repo(repository, private=is_private, exist_ok=True)
        client.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:
        raise CheckpointError(f"{repository}: not pushed: {_reason(error)}") from error
    return str(address)


def _reason(error: Exception) -> str:
    """One line of at most 200 characters; the client's messages run over many."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
