"""What a run has learned of its scores: their distributions and the fitted rules, each sealed with a checksum."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xtf.display import command
from xtf.errors import RunError
from xtf.files import read_sealed, read_sealed_json, write_sealed, write_sealed_json
from xtf.labelling import LabelRules
from xtf.labelling.distribution import Distribution
from xtf.runs.folder import RunFolder


def write_distribution(folder: RunFolder, name: str, distribution: Distribution) -> None:
    """Keep the distribution of an attribute's scores."""
    content = io.BytesIO()
    savez: Any = np.savez
    savez(content, **distribution.to_arrays())
    write_sealed(distribution_path(folder, name), content.getvalue())


def read_distribution(folder: RunFolder, name: str) -> Distribution:
    """Read what :func:`write_distribution` wrote.

    Raises:
        RunError: naming the file, if it is missing or damaged.
    """
    try:
        content = read_sealed(distribution_path(folder, name))
    except RunError as error:
        raise RunError(f"{error}. Measure the scores again: {command('xtf', 'score', folder.config_path)}") from None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Distribution.from_arrays(dict(arrays))


def rules_path(folder: RunFolder) -> Path:
    """Where the rules that made the labels are."""
    return folder.state / "rules.json"


def write_rules(folder: RunFolder, described: Mapping[str, Any]) -> None:
    """Keep fitted rules (``LabelRules.to_dict``)."""
    write_sealed_json(rules_path(folder), described)


def read_rules(folder: RunFolder, distributions: Callable[[], Mapping[str, Distribution]]) -> LabelRules:
    """Read what :func:`write_rules` wrote.

    Raises:
        RunError: naming the file, if there are no labels, or it is damaged.
    """
    path = rules_path(folder)
    if not path.exists():
        raise RunError(f"{folder.path}: no labels yet. Make them with: {command('xtf', 'label', folder.path)}")
    try:
        described = read_sealed_json(path)
    except RunError as error:
        raise RunError(f"{error}. Make the labels again: {command('xtf', 'label', folder.path)}") from None
    return LabelRules.from_dict(described, distributions())


def distribution_path(folder: RunFolder, name: str) -> Path:
    """Where the distribution of an attribute's scores is."""
    return folder.state / f"distribution-{name}.npz"
