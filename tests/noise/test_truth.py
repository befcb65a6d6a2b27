"""Truth files: what is read, what is refused, and which tokens of any tokenizer a wrong character marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xtf.errors import DataError
from xtf.noise.truth import align, read_truth
from xtf.tokens import TokenizedExample


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def example(pieces: list[bytes], response: list[int], protected: list[int] | None = None) -> TokenizedExample:
    count = len(pieces)
    is_response, is_protected = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    is_response[response] = True
    is_protected[protected or []] = True
    return TokenizedExample("a", np.arange(count, dtype=np.int32), is_response, is_protected)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "broken JSON"),
        ([1], "expected an object with 'id' and 'bad'"),
        ({"id": "a"}, "no 'bad'"),
        ({"bad": [[0, 1]]}, "neither 'id' nor 'response'"),
        ({"id": "a", "bad": [[3, 1]]}, r"expected \[start, end\]"),
        ({"id": "a", "bad": [[-1, 1]]}, r"expected \[start, end\]"),
        ({"id": "a", "bad": [["0", 1]]}, r"expected \[start, end\]"),
        ({"id": "a", "bad": [[0, 1, 7]]}, r"expected \[start, end\]"),
        ({"id": "a", "bad": {"0": 1}}, "expected a list"),
        ({"id": "a", "bad": [], "response": 3}, "'response' is a number"),
        ({"id": "a", "bad": [[0, 9]], "response": "short"}, "ends at character 9, but the response has 5"),
        ({"id": "a", "turns": 3}, "'turns' must be a list"),
        ({"id": "a", "turns": [{}]}, "turn 1: no 'bad'"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, row: Any, words: str) -> None:
    path = written(tmp_path / "truth.jsonl", {"id": "first", "bad": []}, "", row)
    with pytest.raises(DataError, match=words) as error:
        read_truth(path)
    assert f"{path}:3" in str(error.value)


def test_files_that_hold_no_truth(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_truth(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="no rows"):
        read_truth(written(tmp_path / "empty.jsonl", ""))
    with pytest.raises(DataError, match=r":2: a second row of id 'a'; the first is .*:1"):
        read_truth(written(tmp_path / "twice.jsonl", {"id": "a", "bad": []}, {"id": "a", "bad": []}))
    (tmp_path / "latin.jsonl").write_bytes('{"id": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match="not valid UTF-8"):
        read_truth(tmp_path / "latin.jsonl")


def test_an_example_is_found_by_id_or_by_its_response(tmp_path: Path) -> None:
    rows = [{"id": 7, "bad": [[0, 1]]}, {"prompt": "p", "response": " It is 4. ", "bad": [[7, 8, "number"]]}]
    truth = read_truth(written(tmp_path / "t.jsonl", *rows))
    by_id, by_text = truth.of("7", []), truth.of("9", ["It is 4."])
    assert by_id is not None
    assert by_id.turns[0].bad[0].kind == "wrong"
    assert by_text is not None
    assert by_text.turns[0].bad[0].kind == "number"
    assert truth.of("8", ["It is 5."]) is None


def marks(tmp_path: Path, row: Any, pieces: list[bytes], response: list[int], protected: list[int]) -> list[int]:
    truth = read_truth(written(tmp_path / "t.jsonl", {"id": "a", **row})).of("a", [])
    assert truth is not None
    found: list[int] = align(truth, example(pieces, response, protected), pieces).wrong.tolist()
    return found


PIECES = [b"Q", b"It", b" is", b" 1", b"2", b".", b"<end>"]


def test_tokens_that_hold_a_wrong_character(tmp_path: Path) -> None:
    rest = (PIECES, [1, 2, 3, 4, 5, 6], [6])
    assert marks(tmp_path, {"response": "It is 12.", "bad": [[7, 8]]}, *rest) == [-1, 0, 0, 0, 1, 0, -1]
    assert marks(tmp_path, {"response": "It is 12.", "bad": [[6, 8]]}, *rest) == [-1, 0, 0, 1, 1, 0, -1]
    assert marks(tmp_path, {"response": "It is 12.", "bad": [[1, 3]]}, *rest) == [-1, 1, 1, 0, 0, 0, -1]
    assert marks(tmp_path, {"bad": [[0, 9]], "response": "It is 12."}, *rest) == [-1, 1, 1, 1, 1, 1, -1]


def test_a_gap_marks_what_follows_it(tmp_path: Path) -> None:
    row = {"response": "It is 12.", "bad": [[5, 5, "left_out"]]}
    assert marks(tmp_path, row, PIECES, [1, 2, 3, 4, 5, 6], [6]) == [-1, 0, 0, 1, 0, 0, -1]


def test_unknown_characters_are_left_out_but_wrong_ones_count(tmp_path: Path) -> None:
    row = {"response": "It is 12.", "bad": [[7, 8]], "unknown": [[5, 9]]}
    assert marks(tmp_path, row, PIECES, [1, 2, 3, 4, 5, 6], [6]) == [-1, 0, 0, -1, 1, -1, -1]


def test_pieces_of_characters(tmp_path: Path) -> None:
    smile, accent = "🙂".encode(), "é".encode()
    pieces = [b"Q", b"a", smile[:2], smile[2:], accent[:1], accent[1:], b"b"]
    row = {"response": "a🙂éb", "bad": [[1, 2]]}
    assert marks(tmp_path, row, pieces, [1, 2, 3, 4, 5, 6], []) == [-1, 0, 1, 1, 0, 0, 0]
    row = {"response": "a🙂éb", "bad": [[2, 3]]}
    assert marks(tmp_path, row, pieces, [1, 2, 3, 4, 5, 6], []) == [-1, 0, 0, 0, 1, 1, 0]


def test_space_that_a_template_adds_or_takes(tmp_path: Path) -> None:
    response = {"response": "\n It is 12. ", "bad": [[9, 10]]}
    assert marks(tmp_path, response, PIECES, [1, 2, 3, 4, 5, 6], [6]) == [-1, 0, 0, 0, 1, 0, -1]
    pieces = [b"Q", b"\n", b"It", b" is", b" 1", b"2", b"."]
    assert marks(tmp_path, {"response": "It is 12.", "bad": [[7, 8]]}, pieces, [1, 2, 3, 4, 5, 6], []) == [
        *(-1, 0, 0, 0, 0),
        *(1, 0),
    ]


def test_an_example_that_was_cut_short(tmp_path: Path) -> None:
    row = {"response": "It is 12. And more.", "bad": [[7, 8], [14, 18]]}
    assert marks(tmp_path, row, PIECES[:5], [1, 2, 3, 4], []) == [-1, 0, 0, 0, 1]


def test_another_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1: the response is not the text of the example"):
        marks(tmp_path, {"response": "Something else.", "bad": [[0, 3]]}, PIECES, [1, 2, 3, 4, 5, 6], [6])


def test_turns_in_their_order(tmp_path: Path) -> None:
    pieces = [b"Q", b"yes", b"Q", b"no", b"!"]
    row = {"turns": [{"response": "yes", "bad": []}, {"response": "no!", "bad": [[2, 3, "added"]]}]}
    assert marks(tmp_path, row, pieces, [1, 3, 4], []) == [-1, 0, -1, 0, 1]
    with pytest.raises(DataError, match="2 responses, the truth speaks of 1"):
        marks(tmp_path, {"response": "yes", "bad": []}, pieces, [1, 3, 4], [])
