"""Paths and repositories of the Hugging Face hub that a model is read from or written to.

Invariant: a path that exists is not looked for on the hub; huggingface_hub is imported only for a repository.
One request without retries finds out whether the hub can be reached.
"""

from __future__ import annotations

import re
from pathlib import Path

from sage.hrm_core.checkpoint.errors import CheckpointError

#: The files of a repository that are downloaded: our form and the published ones.
_WANTED = [
    "model.safetensors", "config.json", "task.json", "checkpoint", "all_config.yaml", "pytorch_model.bin",
    "model.pt", "model.pth", "step_*",
]  # fmt: skip
_TIMEOUT_SECS = 10.0
_REASON_CHARS = 300
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def fetch(source: str | Path, *, revision: str | None = None) -> Path:
    """`source` if it is a file or folder; a repository ("owner/name") is downloaded into the hub's cache.

    CheckpointError: neither a path nor a repository; the hub cannot be reached and the cache lacks the
    repository; the hub has no such repository.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    name = str(source)
    if name.startswith((".", "/", "~")) or not _REPOSITORY.fullmatch(name):
        raise CheckpointError(f"{source}: no such file or folder, and not a repository (owner/name)")
    return _download(name, revision)


def _download(name: str, revision: str | None) -> Path:
    """The repository's folder in the cache, updated if the hub can be reached."""
    import huggingface_hub
    from huggingface_hub import errors

    unreached: Exception | None = None
    try:
        huggingface_hub.HfApi().repo_info(name, revision=revision, timeout=_TIMEOUT_SECS)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        wanted = name if revision is None else f"{name} at revision {revision}"
        raise CheckpointError(
            f"{wanted}: not a path, and the hub has no such repository, or it is private: check the name, or"
            " log in with `hf auth login`"
        ) from error
    except (
        Exception
    ) as error:  # the client raises its own, its HTTP library's and the system's errors, by version
        unreached = error
    try:
        return Path(
            huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=_WANTED, local_files_only=unreached is not None
            )
        )
    except Exception as error:
        if unreached is None:
            raise CheckpointError(f"{name}: download failed: {_reason(error)}") from error
        raise CheckpointError(
            f"{name}: not a path, not in the hub's cache, and the hub cannot be reached"
            f" ({_reason(unreached)}): check the network, or give a path"
        ) from unreached


def push(folder: Path, repository: str, *, is_private: bool = True) -> str:
    """Upload a folder that save_pretrained wrote; returns its address. Needs a token (`hf auth login`)."""
    import huggingface_hub

    try:
        client = huggingface_hub.HfApi()
        address = client.create_repo(repository, private=is_private, exist_ok=True)
        client.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:
        raise CheckpointError(f"{repository}: not pushed: {_reason(error)}") from error
    return str(address)


def _reason(error: Exception) -> str:
    """The error's message in one line: complete sentences, as many as fit into 300 characters, at least
    one.
    """
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(str(error).split()) or type(error).__name__)
    text = sentences[0]
    for sentence in sentences[1:]:
        if len(text) + 1 + len(sentence) > _REASON_CHARS:
            break
        text = f"{text} {sentence}"
    return text.rstrip(".")
