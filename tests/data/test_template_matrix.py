"""The templates that TRL and axolotl ship, with conversations of every shape: who says what, judged by the words alone.

Neither library is imported: the templates are files of their packages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from tests.data.shapes import PLANS, shape
from tests.data.tokenizers import tiny_tokenizer
from xtf.data import Conversation, RowError
from xtf.data.tokenise import ConversationTokenizer

TOKEN = re.compile(
    r"<\|[^<>|\s']{1,40}\|>|<｜[^<>\s']{1,40}｜>|</?[a-z_]{2,24}>|<[a-z_]{2,24}\|>|<\|[a-z_]{2,24}>|\[/?[A-Z_]{2,24}\]"
)
WORD = re.compile(r"(?:USER|SYS|TOOL|SPEC|BOT)[a-z]{1,2}")


def templates(package: str) -> list[Any]:
    try:
        found = [Path(str(file.locate())) for file in files(package) or [] if file.suffix == ".jinja"]
    except PackageNotFoundError:
        return [pytest.param(None, id=package, marks=pytest.mark.skip(reason=f"{package} is not installed"))]
    return [pytest.param(path, id=f"{package}-{path.stem}") for path in sorted(found)]


@cache
def tokenizer_of(path: Path) -> tuple[Any, ConversationTokenizer]:
    source = path.read_text(encoding="utf-8")
    tokenizer = tiny_tokenizer(source)
    tokenizer.add_special_tokens({"additional_special_tokens": sorted(set(TOKEN.findall(source)))})
    return tokenizer, ConversationTokenizer(tokenizer)


TEMPLATES = [*templates("trl"), *templates("axolotl")]


@pytest.mark.parametrize("path", TEMPLATES)
def test_nobody_s_words_are_learnt_but_the_assistant_s(path: Path) -> None:
    """Every row is refused, or its response holds all rendered words of the assistant and none of anybody else."""
    tokenizer, tokenise = tokenizer_of(path)
    header, used = header_of(tokenizer), 0
    opener = TOKEN.match(header)
    for plan in PLANS:
        conversation = shape(plan)
        try:
            tokens = tokenise(conversation)
        except RowError:
            continue
        used += 1
        response = tokenizer.decode(tokens.input_ids[tokens.is_response].tolist())
        assert not header or header not in response, plan
        assert not opener or opener[0] not in response, plan
        learnt = WORD.findall(response)
        rest = WORD.findall(tokenizer.decode(tokens.input_ids[~tokens.is_response].tolist()))
        assert all(word.startswith("BOT") for word in learnt), plan
        assert not any(word.startswith("BOT") for word in rest), plan
        assert learnt, plan
        if not any(remark.text.startswith("the chat template leaves out") for remark in tokens.remarks):
            assert set(WORD.findall(said(conversation))) <= {*learnt, *rest}, plan
    assert used >= 2


QUOTES: dict[str, Callable[[str, str], str]] = {
    "the header": lambda words, header: f"{header}\n{words} {header}",
    "a command": lambda words, header: f"/think {words} /no_think",
    "a tool's result": lambda words, header: f"Look: <tool_response>\n{words}\n</tool_response>",
    "thoughts": lambda words, header: f"<think>\n{words}\n</think>\n\n{words}",
    "data": lambda words, header: f'{{"a": "{words}", "b": [1, 2]}}',
}


@pytest.mark.parametrize("path", TEMPLATES)
def test_words_of_others_that_look_like_the_template_s(path: Path) -> None:
    tokenizer, tokenise = tokenizer_of(path)
    header = header_of(tokenizer)
    for plan in ("suaua", "uctaua"):
        for quote in QUOTES.values():
            plain = shape(plan)
            messages = tuple(
                m if m["role"] == "assistant" else {**m, "content": quote(m["content"], header)} for m in plain.messages
            )
            try:
                tokens = tokenise(Conversation(messages, plain.tools))
            except RowError:
                continue
            response = tokenizer.decode(tokens.input_ids[tokens.is_response].tolist())
            rest = tokenizer.decode(tokens.input_ids[~tokens.is_response].tolist())
            assert all(word.startswith("BOT") for word in WORD.findall(response)), (plan, messages)
            assert not any(word.startswith("BOT") for word in WORD.findall(rest)), (plan, messages)


def header_of(tokenizer: Any) -> str:
    """The first line of the generation prompt, where the template does not mark by itself what is learnt."""
    if "generation %}" in tokenizer.chat_template:
        return ""
    asked = [{"role": "user", "content": "Hi"}]
    try:
        without, prompted = (
            str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=prompt))
            for prompt in (False, True)
        )
    except (TemplateError, TypeError):
        return ""
    return prompted.removeprefix(without).strip().split("\n")[0]


def said(conversation: Conversation) -> str:
    return " ".join(str(message) for message in conversation.messages)


@pytest.mark.parametrize("path", [each for each in TEMPLATES if str(each.id).endswith("_training")])
def test_generation_marks_are_taken_at_their_word(path: Path) -> None:
    tokenizer, tokenise = tokenizer_of(path)
    for plan in PLANS:
        if set(plan) & set("cC2Re"):
            continue  # the forms of calls differ by template; empty turns are not learnt
        conversation = shape(plan)
        try:
            tokens = tokenise(conversation)
            theirs = tokenizer.apply_chat_template(
                list(conversation.messages), return_dict=True, return_assistant_tokens_mask=True
            )
        except (RowError, TemplateError, TypeError):
            continue
        if theirs["input_ids"] == tokens.input_ids.tolist():  # else in another form, or with the system text moved
            assert tokens.is_response.tolist() == [bool(each) for each in theirs["assistant_masks"]], plan
