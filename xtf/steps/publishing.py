"""An export -> a data set of the Hugging Face hub, only when asked."""

from __future__ import annotations

import re
from pathlib import Path

from xtf.errors import ConfigError, RunError, first_line

CARD = "README.md"


def check_repository(name: str, exporter: str) -> None:
    """Refuse what cannot be pushed, before anything is written.

    Raises:
        ConfigError: the name is no hub id, or the exporter writes no data card.
    """
    if exporter != "hub":
        raise ConfigError(f"--push: --to {exporter} writes no data card. Push with --to hub")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ConfigError(f"--push {name}: expected OWNER/NAME")


def push_folder(folder: Path, repository: str) -> str:
    """Upload a folder as a data set of the hub, a private one if it is new; returns its address.

    Raises:
        RunError: the hub cannot be reached, or refuses; the folder stays.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        made = api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, repo_type="dataset", folder_path=folder, commit_message="Token labels")
    except (HfHubHTTPError, OSError, ValueError) as error:
        first = first_line(error)
        raise RunError(
            f"{repository}: not pushed: {first}. The files are complete in {folder}. Log in (hf auth login), then: "
            f"hf upload {repository} {folder} --repo-type dataset"
        ) from None
    return str(made)
