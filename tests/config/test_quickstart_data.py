"""The quickstart conversations: well formed, distinct, and with arithmetic that is true."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from xtf.noise import known_kinds

DATA = Path(__file__).resolve().parents[2] / "configs" / "quickstart"
MINIMUM_ROWS = {"clean": 120, "train": 120, "heldout": 40}

FINAL_LINE = re.compile(r"#### (-?\d+(?:\.\d+)?)")
NUMBER = r"[$€]?\d+(?:\.\d+)?%?"
OPERATOR = r"(?:[-+*/×÷−]|of\b)"
SIDE = rf"\(*{NUMBER}\)*(?:[ \t]*{OPERATOR}[ \t]*\(*{NUMBER}\)*)*"
EQUATION = re.compile(rf"(?<![\d.]){SIDE}(?:[ \t]*=[ \t]*{SIDE})+")
SYMBOL = re.compile(r"\d+(?:\.\d+)?|of\b|[-+*/()%]")


def rows(split: str) -> list[dict[str, Any]]:
    lines = (DATA / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def first_question(row: dict[str, Any]) -> str:
    content = next(message["content"] for message in row["messages"] if message["role"] == "user")
    return " ".join(str(content).casefold().split())


def answers(row: dict[str, Any]) -> list[str]:
    return [str(message["content"]) for message in row["messages"] if message["role"] == "assistant"]


def value(expression: str) -> Fraction:
    """The exact value of plain arithmetic: ``+ - × ÷``, brackets, ``20%`` and ``20% of 50``."""
    plain = expression.replace("×", "*").replace("÷", "/").replace("−", "-")
    symbols = SYMBOL.findall(plain)
    position = 0

    def peek() -> str:
        return symbols[position] if position < len(symbols) else ""

    def take() -> str:
        nonlocal position
        position += 1
        return str(symbols[position - 1])

    def atom() -> Fraction:
        if peek() == "(":
            take()
            result = total()
            if take() != ")":
                raise ValueError(f"unbalanced brackets in {expression!r}")
        else:
            result = Fraction(take())
        while peek() == "%":
            take()
            result /= 100
        return result

    def product() -> Fraction:
        result = atom()
        while peek() in {"*", "/", "of"}:
            result = result / atom() if take() == "/" else result * atom()
        return result

    def total() -> Fraction:
        result = product()
        while peek() in {"+", "-"}:
            result = result + product() if take() == "+" else result - product()
        return result

    result = total()
    if position != len(symbols):
        raise ValueError(f"cannot read {expression!r}")
    return result


def false_equations(text: str) -> list[str]:
    """Every equation in ``text`` whose sides differ."""
    found = [match.group() for match in EQUATION.finditer(text)]
    return [equation for equation in found if len({value(side) for side in equation.split("=")}) != 1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2 + 3 × 4", Fraction(14)),
        ("(2 + 3) * 4", Fraction(20)),
        ("30 − 4 - 1", Fraction(25)),
        ("48 ÷ 8 × 3", Fraction(18)),
        ("$2.50 / 2", Fraction(5, 4)),
        ("25% of 60", Fraction(15)),
        ("50%", Fraction(1, 2)),
    ],
)
def test_value(expression: str, expected: Fraction) -> None:
    assert value(expression) == expected


def test_false_equations_are_found() -> None:
    assert false_equations("First 3 × 12 = 36, then 36 - 1 = 34 left.") == ["36 - 1 = 34"]
    assert false_equations("Chained: 2 × 6 + 1 = 12 + 1 = 13.") == []
    assert false_equations("12 + 1 = 13\n- 5 × 2 = 11") == ["5 × 2 = 11"]


@pytest.mark.parametrize("split", ["clean", "train", "heldout"])
def test_row_count_and_keys(split: str) -> None:
    data = rows(split)
    assert len(data) >= MINIMUM_ROWS[split]
    for row in data:
        assert set(row) == {"id", "messages"}
        assert re.fullmatch(rf"{split.replace('clean', 'train')}-\d{{3}}", row["id"]), row["id"]


def test_ids_and_questions_are_unique_across_both_files() -> None:
    both = rows("clean") + rows("heldout")
    ids = [row["id"] for row in both]
    questions = [first_question(row) for row in both]
    assert len(set(ids)) == len(ids)
    assert len(set(questions)) == len(questions)


def test_no_answer_is_repeated() -> None:
    both = [answer for row in rows("clean") + rows("heldout") for answer in answers(row)]
    assert len(set(both)) == len(both)


@pytest.mark.parametrize("split", ["clean", "heldout"])
def test_roles_alternate(split: str) -> None:
    for row in rows(split):
        messages = row["messages"]
        assert all(set(message) == {"role", "content"} for message in messages), row["id"]
        assert all(message["content"] == message["content"].strip() != "" for message in messages), row["id"]
        roles = [message["role"] for message in messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns, row["id"]
        assert turns == ["user", "assistant"] * (len(turns) // 2), row["id"]


@pytest.mark.parametrize("split", ["clean", "heldout"])
def test_last_line_is_a_number_the_working_reaches(split: str) -> None:
    for row in rows(split):
        for answer in answers(row):
            working, _, last = answer.rpartition("\n")
            final = FINAL_LINE.fullmatch(last)
            assert final is not None, (row["id"], last)
            reached = {Fraction(number) for number in re.findall(r"\d+(?:\.\d+)?", working)}
            assert abs(Fraction(final.group(1))) in reached, (row["id"], last)


@pytest.mark.parametrize("split", ["clean", "heldout"])
def test_every_equation_is_readable_and_true(split: str) -> None:
    for row in rows(split):
        for answer in answers(row):
            read = sum(match.group().count("=") for match in EQUATION.finditer(answer))
            assert read == answer.count("="), (row["id"], "an equation in another form than 'a op b = c'", answer)
            assert read > 0, (row["id"], "no worked step")
            assert false_equations(answer) == [], row["id"]


def test_the_truth_is_the_difference_between_the_clean_and_the_noisy_file() -> None:
    truth = {row["id"]: row for row in rows("train.truth")}
    kinds: set[str] = set()
    for clean, noisy in zip(rows("clean"), rows("train"), strict=True):
        turns = truth[clean["id"]].get("turns", [truth[clean["id"]]])
        assert answers(noisy) == [turn["response"] for turn in turns]
        assert [m for m in clean["messages"] if m["role"] != "assistant"] == [
            m for m in noisy["messages"] if m["role"] != "assistant"
        ]
        for before, turn in zip(answers(clean), turns, strict=True):
            kept, at, after = [], 0, turn["response"]
            for start, end, kind in turn["bad"]:
                kept.append(after[at:start])
                at = end
                kinds.add(kind)
            kept.append(after[at:])
            pattern = ".*".join(re.escape(part) for part in kept)  # what is right stands in the clean answer, in order
            assert re.fullmatch(pattern, before, re.DOTALL), clean["id"]
            assert bool(turn["bad"]) == (before != after)
    prose = {name for name in known_kinds() if not name.startswith("code_") and name != "off_by_one"}
    assert kinds == prose, "known mistakes of every kind that prose can have"
