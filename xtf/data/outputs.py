"""Where rows may be written: never over the data that they come from."""

from __future__ import annotations

import glob
from fnmatch import fnmatch
from pathlib import Path

from xtf.config import DataConfig
from xtf.data.data_files import find_files, is_address
from xtf.errors import ConfigError


def check_row_file(path: Path, data: DataConfig, option: str = "") -> None:
    """Refuse a name for rows that are to be written.

    Args:
        path: The file.
        data: What the rows are made of.
        option: Where the name was given, to begin the message with.

    Raises:
        ConfigError: the name does not end as one of JSON lines; or the data is read from that file, or may be the next
            time, as it lies in the folder, or fits the pattern, that ``data.path`` names.
    """
    shown = f"{option} {path}".strip()
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise ConfigError(f"{shown}: rows are written as JSON lines; end the name in .jsonl")
    for place in data.paths:
        if is_address(place):
            continue
        if path.exists() and any(path.samefile(file.path) for file in find_files(place, data.split) or ()):
            raise ConfigError(f"{shown}: is the data itself, which stays as it is; choose another name")
        if _lies_within(path, Path(place).expanduser()):
            raise ConfigError(
                f"{shown}: lies where {place} is read, and may be read too next time; choose another folder"
            )


def _lies_within(path: Path, place: Path) -> bool:
    if place.is_dir():
        return path.resolve().is_relative_to(place.resolve())
    return glob.has_magic(str(place)) and not place.exists() and fnmatch(str(path.absolute()), str(place.absolute()))
