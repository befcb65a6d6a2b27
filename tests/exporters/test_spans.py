"""From labels to characters and back: places checked by counting characters, labels on every token."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import xtf
from tests.conftest import Cli, chat_row, chat_rows, tiny_config, write_jsonl
from tests.exporters.made import label_rows, random_run
from tests.tiny import tiny_tokenizer
from xtf.errors import DataError, RunError

ANSWERS = ("Sie sagt: 12 ÷ 4 = 3 🦊🦊.", "日本語 and ñandú, 7 × 3 = 21 ÷", "  spaces \n\n and lines\n")


def two_turns(name: str) -> dict[str, Any]:
    row = chat_row(name, "What is 3 plus 5?", "Wait. 3 + 5 = 9? 🦊")
    more = [{"role": "user", "content": "No."}, {"role": "assistant", "content": "It is 8 ÷ 1."}]
    return {**row, "messages": [*row["messages"], *more]}


ROWS = [*chat_rows(6), *(chat_row(f"odd-{i}", "Hm?", text) for i, text in enumerate(ANSWERS)), two_turns("two")]
WORDS = re.compile(r"\s+|\S+")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    return random_run(tmp_path_factory.mktemp("spans"), tiny_folder, ROWS)


def table_rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["example_id"]: row for row in label_rows(folder)}


def lines(folder: Path) -> list[dict[str, Any]]:
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("part-*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.split("\n") if line]


def test_the_same_tokenizer_gives_every_label_back(run: Any, tiny_folder: Path, tmp_path: Path) -> None:
    exported = xtf.export(run, "spans", tmp_path / "spans")
    assert not exported.lost
    done = xtf.apply_spans(tmp_path / "spans", str(tiny_folder), tmp_path / "back")
    assert done.straddling == 0
    written, back = table_rows(run.path / "labels"), table_rows(tmp_path / "back")
    assert list(written) == list(back)
    assert [row["id"] for row in lines(tmp_path / "spans")] == list(written)
    for name, row in written.items():
        for column in ("input_ids", "labels", "assistant_masks", "attention_mask"):
            assert row[column] == back[name][column], f"{name}: {column}"
    assert sum(noise for row in written.values() for noise in row["noise"]) > 20


def test_masked_characters_are_those_of_masked_tokens(run: Any, tmp_path: Path) -> None:
    """By adding up the bytes of tokens, which is how the vocabulary tells where a token stands in a plain answer."""
    xtf.export(run, "spans", tmp_path / "spans")
    rows, labels = {row["id"]: row for row in lines(tmp_path / "spans")}, table_rows(run.path / "labels")
    for name in labels:
        if name == "two":
            continue
        answer = rows[name]["messages"][1]["content"].encode()
        tokens = [
            (run.vocabulary.pieces[i], bool(noise))
            for i, label, noise in zip(
                labels[name]["input_ids"], labels[name]["labels"], labels[name]["noise"], strict=True
            )
            if (label != -100 or noise) and i not in run.vocabulary.special
        ]
        assert b"".join(piece for piece, _ in tokens) == answer
        noisy = np.concatenate([np.full(len(piece), noise) for piece, noise in tokens])
        masked = np.zeros(len(answer), np.bool_)
        text = answer.decode()
        for span in rows[name]["turns"][0]["masked"]:
            assert span["reasons"] == ["random"]
            start, end = (len(text[: span[edge]].encode()) for edge in ("start", "end"))
            masked[start:end] = True
        whole = [  # a character is masked as soon as one of its bytes is
            noisy[len(text[:i].encode()) : len(text[: i + 1].encode())].any() for i in range(len(text))
        ]
        expected = np.repeat(whole, [len(character.encode()) for character in text])
        assert masked.tolist() == expected.tolist(), name


def test_what_flags_and_rules_exclude_is_masked_with_its_reason(tiny_folder: Path, tmp_path: Path) -> None:
    row = two_turns("two")
    row["messages"][1]["train"] = False
    data = str(write_jsonl(tmp_path / "rows.jsonl", [row, *chat_rows(3)]))
    config = tiny_config(tmp_path, tiny_folder, attributes={"random": {}}, thresholds={"random": {"kind": "never"}})
    config["data"] = {"path": data, "never_learn": ["8 ÷"]}
    run = xtf.label(xtf.score(config))
    xtf.export(run, "spans", tmp_path / "spans")
    first, second = lines(tmp_path / "spans")[0]["turns"]
    assert [(span["start"], span["end"], span["reasons"]) for span in first["masked"]] == [
        (0, len(row["messages"][1]["content"]), ["flag of the data"])
    ]
    assert not first["rest_learnt"]
    assert second["rest_learnt"]
    text = row["messages"][3]["content"]
    assert ["data.never_learn"] in [span["reasons"] for span in second["masked"]]
    assert "8 ÷" in "".join(text[span["start"] : span["end"]] for span in second["masked"])
    xtf.apply_spans(tmp_path / "spans", str(tiny_folder), tmp_path / "back")
    written, back = table_rows(run.path / "labels"), table_rows(tmp_path / "back")
    assert {name: row["labels"] for name, row in written.items()} == {name: row["labels"] for name, row in back.items()}


def test_turns_of_others_that_a_flag_asks_to_learn_go_there_and_back(tiny_folder: Path, tmp_path: Path) -> None:
    row = two_turns("two")
    row["messages"][2]["train"] = True
    run = random_run(tmp_path / "run", tiny_folder, [row, *chat_rows(3)])
    xtf.export(run, "spans", tmp_path / "spans")
    assert [turn["message"] for turn in lines(tmp_path / "spans")[0]["turns"]] == [1, 2, 3]
    xtf.apply_spans(tmp_path / "spans", str(tiny_folder), tmp_path / "back")
    written, back = table_rows(run.path / "labels"), table_rows(tmp_path / "back")
    assert {name: row["labels"] for name, row in written.items()} == {name: row["labels"] for name, row in back.items()}
    lost = xtf.export(run, "openai", tmp_path / "openai").lost
    assert any("turns of other speakers" in said for said in lost)


def test_what_is_cut_off_is_masked(tiny_folder: Path, tmp_path: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, attributes={"random": {}}, thresholds={"random": {"kind": "never"}})
    config["data"]["max_length"] = 38
    run = xtf.label(xtf.score(config))
    xtf.export(run, "spans", tmp_path / "spans")
    done = xtf.apply_spans(tmp_path / "spans", str(tiny_folder), tmp_path / "back")
    written, back = table_rows(run.path / "labels"), table_rows(tmp_path / "back")
    assert done.learnt == sum(label != -100 for row in written.values() for label in row["labels"])
    for name, row in written.items():
        size = len(row["labels"])
        assert back[name]["labels"][:size] == row["labels"]
        assert set(back[name]["labels"][size:]) <= {-100}
    reasons = {tuple(span["reasons"]) for row in lines(tmp_path / "spans") for span in row["turns"][0]["masked"]}
    assert reasons == {("beyond data.max_length",)}


def test_plain_text_goes_there_and_back(tiny_folder: Path, tmp_path: Path) -> None:
    rows = [{"id": f"t{i}", "text": text} for i, text in enumerate(("Once, twice, 12 ÷ 4.", "日本 and 3 + 5 = 8."))]
    run = random_run(tmp_path / "run", tiny_folder, rows)
    xtf.export(run, "spans", tmp_path / "spans")
    assert [set(row) for row in lines(tmp_path / "spans")] == [{"id", "text", "turns"}] * 2
    xtf.apply_spans(tmp_path / "spans", str(tiny_folder), tmp_path / "back")
    written, back = table_rows(run.path / "labels"), table_rows(tmp_path / "back")
    assert {name: row["labels"] for name, row in written.items()} == {name: row["labels"] for name, row in back.items()}


def test_another_tokenizer_masks_what_straddles_and_counts_it(run: Any, tmp_path: Path) -> None:
    """A tokenizer of whole words: a word with one masked character is masked, told by cutting the text at spaces."""

    xtf.export(run, "spans", tmp_path / "spans")
    rows = [row for row in lines(tmp_path / "spans") if row["id"].startswith("sum")]
    texts = [message["content"] for row in rows for message in row["messages"]]
    words = {word for text in (*texts, "user assistant \n") for word in WORDS.findall(text)}
    names = ["<unk>", "<|im_start|>", "<|im_end|>", *sorted(words)]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="<unk>"))
    untyped: Any = backend
    untyped.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS.pattern), "isolated")
    untyped.decoder = decoders.Fuse()
    made: Any = PreTrainedTokenizerFast
    special = {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    tokenizer = made(tokenizer_object=backend, **special)
    tokenizer.chat_template = tiny_tokenizer().chat_template
    write_jsonl(tmp_path / "sums.jsonl", rows)
    done = xtf.apply_spans(tmp_path / "sums.jsonl", "unused", tmp_path / "back", tokenizer=tokenizer)
    learnt = straddling = 0
    for row in rows:
        text = row["messages"][1]["content"]
        masked = np.zeros(len(text), np.bool_)
        for span in row["turns"][0]["masked"]:
            masked[span["start"] : span["end"]] = True
        for word in WORDS.finditer(text):
            here = masked[slice(*word.span())]
            learnt += int(not here.any())
            straddling += int(here.any() and not here.all())
        learnt += 1  # the end of the turn
    assert (done.learnt, done.straddling) == (learnt, straddling)
    assert straddling > 0


def test_spans_of_another_text_and_other_mistakes_are_refused(run: Any, tiny_folder: Path, tmp_path: Path) -> None:
    good = {"id": "a", "messages": chat_row("a", "Hm?", "Yes.")["messages"]}

    def refused(turns: Any) -> str:
        path = write_jsonl(tmp_path / "bad.jsonl", [{**good, "turns": turns}])
        with pytest.raises(DataError) as caught:
            xtf.apply_spans(path, str(tiny_folder))
        return str(caught.value)

    span = {"key": "content", "start": 2, "end": 9}
    turn = {"message": 1, "masked": [span], "rest_learnt": True}
    assert "bad.jsonl:1: a span ends at character 9 of 4 in 'content'" in refused([turn])
    assert "message 7 of 2" in refused([{**turn, "message": 7}])
    assert "start below end" in refused([{**turn, "masked": [{**span, "end": 2}]}])
    assert "xtf export --to spans" in refused(None)
    assert "no row keeps a token" in refused([])


def test_data_that_has_changed_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    run = random_run(tmp_path / "run", tiny_folder, chat_rows(4))
    data = Path(run.config.data.path)
    rows = chat_rows(4)
    rows[1]["messages"][1]["content"] = "Something else."
    write_jsonl(data, rows)
    with pytest.raises(RunError, match="example 'sum-2' reads otherwise now"):
        xtf.export(run, "spans", tmp_path / "a")
    write_jsonl(data, chat_rows(2))
    with pytest.raises(RunError, match="no longer holds example 'sum-3'"):
        xtf.export(run, "spans", tmp_path / "b")


def test_rows_that_are_tokens_already_have_no_text(run: Any, tiny_folder: Path, tmp_path: Path) -> None:
    tokens = [{"id": "t", **{key: table_rows(run.path / "labels")["two"][key] for key in ("input_ids", "labels")}}]
    mixed = random_run(tmp_path / "mixed", tiny_folder, [*tokens, *chat_rows(2)])
    done = xtf.export(mixed, "spans", tmp_path / "spans")
    assert done.lost == {"rows that are tokens already, without a text, and are left out": 1}
    assert [row["id"] for row in lines(tmp_path / "spans")] == ["sum-1", "sum-2"]


def test_rows_in_memory_must_be_given_again(tiny_folder: Path, tmp_path: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, attributes={"random": {}})
    config["data"] = {"path": str(tmp_path / "memory.jsonl")}
    run = xtf.label(xtf.score(config, data=chat_rows(3)))
    with pytest.raises(DataError, match=r"memory.jsonl"):
        xtf.export(run, "spans", tmp_path / "none")
    done = xtf.export(run, "spans", tmp_path / "spans", data=chat_rows(3))
    assert done.export.rows == 3


def test_on_the_command_line(run: Any, tiny_folder: Path, tmp_path: Path, cli: Cli) -> None:
    outcome = cli("export", run.path, "--to", "spans", "--output", tmp_path / "it's here")
    assert outcome.code == 0, outcome.err
    assert "go on: xtf apply-spans '" in outcome.out
    outcome = cli("apply-spans", tmp_path / "it's here", "--model", tiny_folder)
    assert outcome.code == 0, outcome.err
    assert "0 tokens masked that hold both masked and learnt characters" in outcome.out
