"""What people decided about the tokens of a run: the file that the page gives, and where the run keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.display import command
from xtf.errors import DataError, RunError, did_you_mean, raise_if_forbidden
from xtf.files import read_sealed_json, write_sealed_json
from xtf.labelling.decisions import GRAINS, MOST_DECIDERS, Decisions, Verdict
from xtf.runs.folder import RunFolder
from xtf.runs.tables import flat

FORMAT = 1
NOBODY = "a person"
"""Who decided, where a file does not say it."""
_NAME = 80
"""Characters of a name that are kept."""


def decisions_path(folder: RunFolder) -> Path:
    """Where a run keeps the verdicts that its labels heed."""
    return folder.state / "decisions.json"


def read_decisions(folder: RunFolder) -> Decisions:
    """The verdicts that a run keeps.

    Raises:
        RunError: the file is damaged.
    """
    path = decisions_path(folder)
    if not path.exists():
        return Decisions()
    try:
        return Decisions(tuple(Verdict.from_dict(one) for one in read_sealed_json(path)["verdicts"]))
    except (RunError, KeyError, TypeError) as error:
        again = command("xtf", "label", folder.path, "--no-verdicts")
        raise RunError(f"{path}: damaged. Label without people's verdicts: {again}") from error


def write_decisions(folder: RunFolder, decisions: Decisions) -> None:
    """Keep the verdicts that the labels heed; none deletes the file."""
    if decisions:
        write_sealed_json(decisions_path(folder), {"verdicts": [one.to_dict() for one in decisions.verdicts]})
    else:
        decisions_path(folder).unlink(missing_ok=True)


def read_verdicts(path: Path, folder: RunFolder) -> list[Verdict]:
    """The verdicts of a file that the page gave, checked against the tokens of the run.

    The file is JSON: ``{"xtf_verdicts": 1, "by": NAME, "verdicts": [{"grain": "token" | "span", "example": ID,
    "start": PLACE, "token_ids": [ID, …], "decided": "mask" | "keep"}, {"grain": "rule", "token_ids": [ID], "decided":
    …}, …]}``.

    Raises:
        DataError: it cannot be read, or speaks of an example or of tokens that the run does not have.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise_if_forbidden(error)
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not isinstance(loaded, Mapping) or loaded.get("xtf_verdicts") != FORMAT:
        raise DataError(f"{path}: holds no verdicts; they are downloaded from the page that xtf report writes")
    entries = loaded.get("verdicts")
    if not isinstance(entries, list):
        raise DataError(f"{path}: verdicts: expected a list")
    by = str(loaded.get("by") or "").strip()[:_NAME] or NOBODY
    found = [_verdict(entry, by, f"{path}: verdict {number}") for number, entry in enumerate(entries, 1)]
    _check_tokens(found, path, folder)
    return found


def check_deciders(decisions: Decisions) -> None:
    """Refuse verdicts of more people than labels can name.

    Raises:
        DataError: there are too many.
    """
    if len(decisions.deciders) > MOST_DECIDERS:
        raise DataError(f"--verdicts: more than {MOST_DECIDERS} people and grains; give the files one name in 'by'")


def _verdict(entry: Any, by: str, where: str) -> Verdict:
    if not isinstance(entry, Mapping):
        raise DataError(f"{where}: expected an object")
    grain, decided, ids = entry.get("grain"), entry.get("decided"), entry.get("token_ids")
    if grain not in GRAINS:
        raise DataError(f"{where}: grain: cannot be {grain!r}.{did_you_mean(str(grain), GRAINS)}")
    if decided not in ("mask", "keep"):
        raise DataError(f"{where}: decided: cannot be {decided!r}; mask or keep")
    if not isinstance(ids, list) or not ids or not all(_is_count(one) for one in ids):
        raise DataError(f"{where}: token_ids: expected a list of token ids")
    if grain != "span" and len(ids) != 1:
        raise DataError(f"{where}: token_ids: a {grain} names one token id, not {len(ids)}")
    if grain == "rule":
        return Verdict(grain="rule", masked=decided == "mask", by=by, token_ids=tuple(ids))
    example, start = entry.get("example"), entry.get("start")
    if not isinstance(example, str) or not isinstance(start, int) or not _is_count(start):
        raise DataError(f"{where}: example and start: expected an id and a place from 0")
    return Verdict(
        grain="span" if grain == "span" else "token",
        masked=decided == "mask",
        by=by,
        token_ids=tuple(ids),
        example_id=example,
        start=start,
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_tokens(verdicts: Sequence[Verdict], path: Path, folder: RunFolder) -> None:
    """Refuse verdicts on examples that are not there, and on tokens that are not those."""
    named = {one.example_id for one in verdicts if one.example_id is not None}
    tokens: dict[str, NDArray[Any]] = {}
    for record in folder.records("tokens") if named else ():
        ids, offsets, columns = flat(folder.read_shard("tokens", record), ["input_ids"])
        for place, name in enumerate(ids):
            if name in named:
                tokens[name] = columns["input_ids"][offsets[place] : offsets[place + 1]]
    for number, one in enumerate(verdicts, 1):
        if one.example_id is None:
            continue
        if one.example_id not in tokens:
            raise DataError(f"{path}: verdict {number}: {folder.path} has no example {one.example_id!r}")
        there = tokens[one.example_id][one.start : one.start + len(one.token_ids)]
        if not np.array_equal(there, one.token_ids):
            raise DataError(
                f"{path}: verdict {number}: example {one.example_id!r} has other tokens at {one.start}. The file was "
                "given by the page of another run, or of the data before they changed"
            )
