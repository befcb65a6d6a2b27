"""Data sets that the ``datasets`` library reads: saved folders, and the hub, by streaming."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtf.errors import DataError, listed

HUB_ID = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?::([\w.-]+))?")
SAVED = ("state.json", "dataset_dict.json")
"""What ``save_to_disk`` writes into a folder, which trainers use for prepared data too."""


def is_saved(folder: Path) -> bool:
    """Whether a saved data set lies there."""
    return any((folder / mark).is_file() for mark in SAVED)


def saved_below(folder: Path) -> list[Path]:
    """Saved data sets in the folders below one, as in axolotl's folder of prepared data."""
    found = sorted(inner for inner in folder.rglob("*") if inner.is_dir() and is_saved(inner))
    return [inner for inner in found if not any(is_saved(outer) for outer in inner.parents)]


def load_saved(folder: Path, split: str) -> Any:
    """Load a saved data set, of several splits the one that is asked for.

    Raises:
        DataError: it cannot be loaded, or has no such split.
    """
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _not_loaded(str(folder), error) from None
    if isinstance(loaded, Mapping):
        if split not in loaded:
            raise DataError(f"{folder}: no split {split!r}. Set split to one of: {listed(map(str, loaded))}")
        loaded = loaded[split]
    return loaded


def load_hub(name: str, split: str) -> Any:
    """Stream a data set of the hub (``owner/name`` or ``owner/name:configuration``); what is cached is read offline.

    A split with a range (``train[:10%]``) is loaded whole, for streams have none.

    Raises:
        DataError: it cannot be loaded.
    """
    import datasets

    match = HUB_ID.fullmatch(name)
    assert match is not None
    try:
        if "[" in split:
            return datasets.load_dataset(match[1], match[2], split=split)
        try:
            return datasets.load_dataset(match[1], match[2], split=split, streaming=True)
        except ConnectionError:
            return datasets.load_dataset(match[1], match[2], split=split)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _not_loaded(f"{name}: no such file or folder; tried as a data set of the hub", error) from None


def hub_identity(name: str) -> str:
    """What stands for the content of a data set of the hub: the hash that ``datasets`` makes of its files' versions.

    Raises:
        DataError: it cannot be found.
    """
    import datasets

    match = HUB_ID.fullmatch(name)
    assert match is not None
    try:
        return str(datasets.load_dataset_builder(match[1], match[2]).hash)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _not_loaded(f"{name}: no such file or folder; tried as a data set of the hub", error) from None


def _not_loaded(place: str, error: Exception) -> DataError:
    text = str(error).strip().split("\n")[0]
    return DataError(f"{place}: no data set can be loaded from there: {type(error).__name__}: {text}")
