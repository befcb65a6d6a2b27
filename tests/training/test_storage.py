"""Examples on disk are the examples that were laid there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtf.data.arrays import ArrayFile
from xtf.errors import OutOfSpaceError
from xtf.tokens import TOKEN_COLUMNS, TokenizedExample
from xtf.training.storage import ExampleWriter, StoredExamples

shards = st.lists(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 6)), max_size=4), max_size=4)


def laid(folder: Path, made: list[list[TokenizedExample]]) -> tuple[StoredExamples, ExampleWriter]:
    writer = ExampleWriter(folder)
    for shard in made:
        columns = {
            name: np.concatenate([np.zeros(0, dtype), *(getattr(example, name) for example in shard)])
            for name, dtype in TOKEN_COLUMNS.items()
        }
        offsets = np.cumsum([0, *(len(example) for example in shard)])
        writer.append([example.example_id for example in shard], offsets, columns)
    return writer.stored(), writer


def same(left: TokenizedExample, right: TokenizedExample) -> bool:
    return left.example_id == right.example_id and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in TOKEN_COLUMNS
    )


@given(shards, st.integers(0, 20), st.integers(0, 20))
def test_what_comes_back_is_what_was_laid(tmp_path_factory: Any, drawn: Any, start: int, stop: int) -> None:
    rng = np.random.default_rng(0)
    made: list[list[TokenizedExample]] = []
    for shard in drawn:
        made.append([])
        for name, length in shard:
            is_response = (rng.random(length) < 0.5) & (np.arange(length) > 0)
            is_protected = is_response & (rng.random(length) < 0.5)
            made[-1].append(
                TokenizedExample(name, rng.integers(0, 9, length).astype(np.int32), is_response, is_protected)
            )
    flat = [example for shard in made for example in shard]
    folder = tmp_path_factory.mktemp("stored")
    stored, _ = laid(folder, made)
    assert len(stored) == len(flat)
    assert all(map(same, stored, flat))
    assert all(same(stored[-1 - i], flat[-1 - i]) for i in range(len(flat)))
    part = stored[start:stop]
    assert len(part) == len(flat[start:stop])
    assert all(map(same, part, flat[start:stop]))
    with pytest.raises(IndexError):
        stored[len(flat)]
    assert not list(folder.iterdir()), "the files have no name, so nothing is left behind"


def test_values_beside_the_tokens_are_found_by_example(tmp_path: Path) -> None:
    examples = [
        TokenizedExample(str(n), np.arange(n, dtype=np.int32), np.arange(n) > 0, np.zeros(n, np.bool_))
        for n in (3, 0, 2)
    ]
    _, writer = laid(tmp_path, [examples[:2], examples[2:]])
    beside = ArrayFile(tmp_path, np.float32)
    for values in ([0.5, 1.5, 2.5], [3.5, 4.5]):
        beside.append(np.array(values, np.float32))
    assert [piece.tolist() for piece in writer.pieces(beside)] == [[0.5, 1.5, 2.5], [], [3.5, 4.5]]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(OutOfSpaceError, match="the disk is full"):
        ArrayFile(tmp_path, np.int32).append(np.zeros(3, np.int32))
