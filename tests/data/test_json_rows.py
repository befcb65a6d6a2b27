"""Rows of JSON read piece by piece are those that the json module reads at once."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xtf.data.json_rows as module
from xtf.data.json_rows import json_rows
from xtf.errors import DataError

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
documents = st.lists(values, max_size=5) | st.fixed_dictionaries(
    {"data": st.lists(values, max_size=4)}, optional={"v": values}
)
indents = st.sampled_from([None, 0, 2])


def read(folder: Path, content: bytes, chunk: int) -> list[Any]:
    path = folder / "rows.json"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        return list(json_rows(str(path), lambda: path.open("rb")))


@given(documents, indents, st.booleans(), st.integers(1, 9))
def test_the_same_rows(tmp_path_factory: Any, document: Any, indent: int | None, ascii_only: bool, chunk: int) -> None:
    content = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return
    expected = document if isinstance(document, list) else document["data"]
    assert read(tmp_path_factory.mktemp("json"), content, chunk) == expected


@given(documents, indents, st.integers(1, 9), st.data())
def test_what_is_broken_is_found_on_the_same_line(
    tmp_path_factory: Any, document: Any, indent: int | None, chunk: int, data: st.DataObject
) -> None:
    text = json.dumps(document, indent=indent)
    place = data.draw(st.integers(0, len(text)))
    text = text[:place] + data.draw(st.sampled_from(["", "]", "{", ",", '"', "\n", "x", "1", ":"])) + text[place + 1 :]
    folder = tmp_path_factory.mktemp("json")
    try:
        expected = json.loads(text)
    except json.JSONDecodeError as error:
        if text.strip():
            with pytest.raises(
                DataError, match=rf"rows\.json:{error.lineno}: broken JSON: .* at column {error.colno}$"
            ):
                read(folder, text.encode(), chunk)
        return
    if isinstance(expected, dict) and expected:
        by_id = all(isinstance(value, dict) for value in expected.values())
        one_or_more = [{"id": key, **value} for key, value in expected.items()] if by_id else [expected]
        expected = expected["data"] if isinstance(expected.get("data"), list) else one_or_more
    if isinstance(expected, list):
        assert read(folder, text.encode(), chunk) == expected
    else:
        with pytest.raises(DataError, match="expected a list of rows"):
            read(folder, text.encode(), chunk)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e5", "123456789012345678901234567890"])
def test_numbers_may_be_cut_anywhere(tmp_path: Path, number: str) -> None:
    for chunk in range(1, 12):
        first, second = read(tmp_path, f"[{number},{number}]".encode(), chunk)
        assert first == second == json.loads(number) or math.isnan(first)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("null", 'expected a list of rows or {"data": [...]}, found null'),
        ("{}", "found an object"),
        ("[\n" + "[" * 100_000, "rows.json:2: broken JSON: maximum recursion depth"),
        ('[{"a": {"b": 1}},\n{"a": {"b": 1, "b": 2}}]', "rows.json:2: broken JSON: 'b' stands twice in one object"),
        ("[\n\n" + "1" * 5000 + "]", "rows.json:3: broken JSON: Exceeds the limit"),
    ],
)
def test_what_holds_no_rows_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read(tmp_path, content.encode(), 1 << 20)


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    for chunk in range(1, 12):
        with pytest.raises(DataError, match=r"rows\.json:3: not valid UTF-8"):
            read(tmp_path, "\ufeff[1,\n2,\n".encode() + b'"\xff"]', chunk)


def test_a_file_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    row = json.dumps({"text": "x" * 1000})
    path.write_text("[" + ",\n".join([row] * 20_000) + "]")
    tracemalloc.start()
    try:
        assert sum(1 for _ in json_rows(str(path), lambda: path.open("rb"))) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 8 * module.CHUNK < path.stat().st_size / 2
    finally:
        tracemalloc.stop()
