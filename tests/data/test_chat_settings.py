"""What the template adds, marks, leaves out or has no place for, and the settings that say what becomes of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.data.tokenizers import TEMPLATES, remarks_of, response_text, tiny_tokenizer
from xtf.config import DataConfig
from xtf.data import Conversation, DataReport, RowError, read_examples
from xtf.data.system import DROPPED, MERGED, NO_PLACE, ChatSettings
from xtf.data.template import ChatTemplate
from xtf.data.tokenise import ConversationTokenizer
from xtf.data.turns import FOREIGN, NO_END, UNREAD, render
from xtf.errors import DataError

HEADER = "{{ '<|im_start|>' + m.role + '\n' }}"
END = "{{ '<|im_end|>\n' }}"
THINKS = (
    "{% for m in messages %}" + HEADER + "{% if m.role == 'assistant' %}{% set thoughts = m.reasoning_content or '' %}"
    "{% if loop.last or keep_thoughts %}{{ '<think>\n' + thoughts + '\n</think>\n\n' }}{% endif %}{% endif %}"
    "{{ m.content }}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
BLOCK = "<think>\n\n</think>\n\n"
MARKED = (
    "{% for m in messages %}" + HEADER + "{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GLM = (
    "{% for m in messages %}{{ '<|' + {'user': 'start', 'assistant': 'stop', 'tool': 'eot'}[m.role] + '|>' }}"
    "{{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ '<tool_call>' + call.function.name + '</tool_call>' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|stop|>' }}{% endif %}"
)
HARMONY = (
    "{% for m in messages %}{{ '<|start|>' + m.role }}{% if m.role == 'assistant' %}"
    "{% if m.thinking %}{{ '<think>' + m.thinking + '<|eot|><|start|>assistant' }}{% endif %}"
    "{{ '</think>' + m.content }}"
    "{{ '<|stop|>' if loop.last else '<|eot|>' }}{% else %}{{ '</think>' + m.content + '<|eot|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
RESULTS_INSIDE = (
    "{% for m in messages %}{% if m.role != 'tool' %}" + HEADER + "{% for call in m.tool_calls or [] %}"
    "{{ '<tool_call>' + call.function.name + '</tool_call>' }}{{ messages[loop.index0 + 2].content }}{% endfor %}"
    "{{ m.content }}" + END + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def said(*texts: str, **more: Any) -> Conversation:
    """User and assistant in turn; ``more`` goes into the assistant's messages."""
    roles = [("user", {}), ("assistant", more)]
    return Conversation(
        tuple({"role": roles[i % 2][0], "content": text, **roles[i % 2][1]} for i, text in enumerate(texts))
    )


def learnt(template: str, conversation: Conversation, **settings: Any) -> str:
    tokenizer = tiny_tokenizer(template)
    return response_text(tokenizer, ConversationTokenizer(tokenizer, DataConfig(path="x", **settings))(conversation))


def remarks(template: str, conversation: Conversation, **settings: Any) -> tuple[str, ...]:
    return remarks_of(ConversationTokenizer(tiny_tokenizer(template), DataConfig(path="x", **settings))(conversation))


@pytest.mark.parametrize(
    ("settings", "own", "expected"),
    [
        ({}, None, "Hello<|im_end|>"),
        ({"template_args": {"enable_thinking": False}}, None, "Hello<|im_end|>"),
        (
            {"template_args": {"enable_thinking": True}},
            None,
            f"{BLOCK}Hello<|im_end|>",
        ),  # the prompt leaves it to write
        ({"template_args": {"enable_thinking": True}}, {"enable_thinking": False}, "Hello<|im_end|>"),
        ({"template_adds": "target"}, None, f"{BLOCK}Hello<|im_end|>"),
        ({"template_adds": "target"}, {"enable_thinking": False}, f"{BLOCK}Hello<|im_end|>"),
    ],
)
def test_an_empty_think_block(settings: dict[str, Any], own: dict[str, Any] | None, expected: str) -> None:
    conversation = Conversation(said("Hi", "Hello").messages, template_args=own)
    assert learnt(THINKS, conversation, **settings) == expected


def test_thoughts_are_learnt_however_they_are_switched() -> None:
    conversation = said("Hi", "Hello", reasoning_content="hm")
    assert learnt(THINKS, conversation) == "<think>\nhm\n</think>\n\nHello<|im_end|>"


def test_template_arguments_of_the_row_and_of_the_data() -> None:
    template = "{{ mood }}" + str(TEMPLATES["chatml"])
    row = {"prompt": "Hi", "completion": "Hello", "chat_template_kwargs": {"mood": "glad"}}
    plain = {"prompt": "Hi", "completion": "Hello", "chat_template_kwargs": '{"tone": "low"}'}
    tokenizer, report = tiny_tokenizer(template), DataReport()
    data = DataConfig(path="x", template_args={"mood": "sad"})
    texts = [str(tokenizer.decode(e.input_ids.tolist())) for e in read_examples(data, tokenizer, report, [row, plain])]
    assert [text.split("<")[0] for text in texts] == ["glad", "sad"]
    assert {text: count.detail for text, count in report.warnings.items()} == {UNREAD: "'tone'"}


def test_arguments_that_are_not_the_users_to_give() -> None:
    with pytest.raises(ValueError, match="messages: the data and XTF give these"):
        DataConfig(path="x", template_args={"messages": []})
    conversation = Conversation(said("Hi", "Hello").messages, template_args={"tools": []})
    with pytest.raises(RowError, match="chat_template_kwargs: 'tools' is not the row's to give"):
        learnt(THINKS, conversation)


def test_generation_marks_say_what_is_learnt() -> None:
    assert learnt(MARKED, said("Hi", "Hello", "Hm", "Yes")) == "Hello<|im_end|>Yes<|im_end|>"
    only_last = MARKED.replace("'assistant' %}{% gen", "'assistant' and loop.last %}{% gen")
    assert learnt(only_last, said("Hi", "Hello", "Hm", "Yes")) == "Yes<|im_end|>"
    no_stop = MARKED.replace("m.content + '<|im_end|>' }}{% endgen", "m.content }}{% endgen")
    assert learnt(no_stop, said("Hi", "Hello")) == "Hello"
    assert NO_END in remarks(no_stop, said("Hi", "Hello"))
    nothing = "{% if false %}{% generation %}{% endgeneration %}{% endif %}" + str(TEMPLATES["chatml"])
    with pytest.raises(RowError, match="marks no assistant turn"):
        learnt(nothing, said("Hi", "Hello"))


def test_a_generation_mark_around_the_question_is_refused() -> None:
    wrong = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    wrong = wrong.replace("{% for", "{% generation %}{% for", 1).replace(
        "{% if add_g", "{% endgeneration %}{% if add_g"
    )
    with pytest.raises(RowError, match=FOREIGN):
        learnt(wrong, said("Hi", "Hello"))


def test_generation_marks_within_a_captured_block_are_found() -> None:
    """There, transformers counts from the wrong place."""
    captured = MARKED.replace("{% for m in messages %}", "{% for m in messages %}{% set turn %}")
    captured = captured.replace("{{ '\n' }}{% endfor %}", "{{ '\n' }}{% endset %}{{ turn }}{% endfor %}")
    conversation = said("Hi", "Hello, you. How do you do?")
    assert learnt(captured, conversation) == learnt(MARKED, conversation)


def test_stop_tokens_that_stand_in_the_next_turn() -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    turns = said("Hi", "Hello", "Hm").messages
    asked = ({"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "12"})
    conversation = Conversation((*turns, *asked, {"role": "assistant", "content": "Yes"}))
    assert learnt(GLM, conversation) == "Hello<|start|><tool_call>look</tool_call><|eot|>Yes"
    assert NO_END in remarks(GLM, conversation)


def test_stop_tokens_that_differ_by_place_and_a_header_in_the_middle() -> None:
    assert learnt(HARMONY, said("Hi", "Hello", "Hm", "Yes")) == "</think>Hello<|eot|></think>Yes<|stop|>"
    thoughts = learnt(HARMONY, said("Hi", "Hello", thinking="hm"))
    assert thoughts == "<think>hm<|eot|></think>Hello<|stop|>"  # without the header between them


def test_a_tool_s_words_inside_a_turn_are_refused() -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    messages = (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "content": "12"},
        {"role": "assistant", "content": "Twelve."},
    )
    with pytest.raises(RowError, match=f"{FOREIGN}: words of tool in message 2"):
        learnt(RESULTS_INSIDE, Conversation(messages))


def test_an_empty_result_inside_a_turn_is_refused_as_one_with_words_is() -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    messages = (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "content": " "},
        {"role": "assistant", "content": "Nothing."},
    )
    with pytest.raises(RowError, match=f"{FOREIGN}: words of tool in message 2"):
        learnt(RESULTS_INSIDE, Conversation(messages))
    assert "Nothing." in learnt(str(TEMPLATES["qwen3"]), Conversation(messages))


def test_words_that_a_template_compares_are_bracketed_without_their_edges() -> None:
    template = "{% if messages[0].content.endswith('/nothink') %}{{ '<s>' }}{% endif %}" + str(TEMPLATES["chatml"])
    assert learnt(template, said("Hi /nothink", "Hello")) == "Hello<|im_end|>"
    template = "{% if messages[0].content == 'Hi' %}{{ '<s>' }}{% endif %}" + str(TEMPLATES["chatml"])
    assert learnt(template, said("Hi", "Hello")) == "Hello<|im_end|>"  # the brackets of the user are given up


@pytest.mark.parametrize(
    "template",
    [
        str(TEMPLATES["gemma"]),
        "{% for m in messages if m.role != 'system' %}" + HEADER + "{{ m.content }}" + END + "{% endfor %}",
    ],
)
def test_system_text_without_a_place(template: str) -> None:
    conversation = Conversation(({"role": "system", "content": "Be brief."}, *said("Hi", "Hello").messages), context=2)
    tokenizer = tiny_tokenizer(template)
    for mode, remark, shown in (("merge", MERGED, "Be brief.\n\nHi"), ("drop", DROPPED, "\nHi")):
        tokens = ConversationTokenizer(tokenizer, DataConfig(path="x", system=mode))(conversation)
        assert shown in str(tokenizer.decode(tokens.input_ids.tolist()))
        assert ("Be brief." in str(tokenizer.decode(tokens.input_ids.tolist()))) == (mode == "merge")
        assert remarks_of(tokens) == (remark,)
        assert response_text(tokenizer, tokens).startswith("Hello<")
    with pytest.raises(RowError, match=f"{NO_PLACE}: set data.system"):
        learnt(template, conversation, system="refuse")


def test_turns_keep_their_positions_where_system_text_is_moved() -> None:
    """Flags on messages are looked up by the positions that the row itself has."""
    system = {"role": "system", "content": "Be brief."}
    first, second = said("Hi", "Hello").messages, said("Hm", "Yes").messages
    conversation = Conversation((system, *first, system, *second))
    rendering = render(ChatTemplate(tiny_tokenizer("gemma")), conversation, ChatSettings())
    assert [turn.message for turn in rendering.turns] == [2, 5]


def test_parts_left_out_are_counted_with_what_to_set() -> None:
    thoughts = {"role": "assistant", "content": "Hello", "reasoning_content": "so it is"}
    rows = [{"messages": [{"role": "user", "content": "Hi"}, thoughts] * 2} for _ in range(3)]
    tokenizer, report = tiny_tokenizer(THINKS), DataReport()
    assert len(list(read_examples(DataConfig(path="x"), tokenizer, report, rows))) == 3
    (text, count), *others = report.warnings.items()
    assert text == "the chat template leaves out thoughts of assistant turns"
    assert (count.count, count.characters, others) == (3, 3 * len("so it is"), [])
    assert count.detail == "set data.template_args: {keep_thoughts: true}"
    assert (
        "3 rows with a warning: the chat template leaves out thoughts of assistant turns, 24 characters: set data."
        in ("\n".join(report.lines()))
    )
    assert DataReport.from_dict(report.to_dict()) == report
    settled = DataReport()
    data = DataConfig(path="x", template_args={"keep_thoughts": True})
    list(read_examples(data, tokenizer, settled, rows))
    assert not settled.warnings


def test_thoughts_that_no_argument_keeps() -> None:
    tokenizer = tiny_tokenizer(str(TEMPLATES["qwen3"]))
    answer = "<think>\nhm\n</think>\n\nOne."
    (remark,) = ConversationTokenizer(tokenizer)(said("Hi", answer, "Hm", answer)).remarks
    assert remark.characters == 2
    assert remark.detail.startswith("it keeps those of the last turn only")
    stripped = "{% for m in messages %}" + HEADER + "{{ m.content.split('</think>')[-1] }}" + END + "{% endfor %}"
    (remark,) = ConversationTokenizer(tiny_tokenizer(stripped))(said("Hi", answer)).remarks
    assert "chat_template.jinja" in remark.detail


def test_content_in_parts_for_templates_that_want_it() -> None:
    template = (
        "{% for m in messages %}"
        + HEADER
        + "{% for part in m.content %}{{ part.text }}{% endfor %}"
        + END
        + "{% endfor %}"
    )
    assert learnt(template, said("Hi", "Hello")) == "Hello<|im_end|>"


def test_renderings_grow_with_the_turns_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in messages rendered, which no other load on the machine changes."""
    rendered = 0
    text = ChatTemplate.text

    def counted(self: ChatTemplate, conversation: Conversation, prompt: bool = False, **switches: Any) -> str:
        nonlocal rendered
        rendered += len(conversation.messages)
        return text(self, conversation, prompt, **switches)

    monkeypatch.setattr(ChatTemplate, "text", counted)
    counts = []
    for turns in (100, 400):
        rendered = 0
        texts = [f"This is turn {number}, is it not?" for number in range(turns)]
        learnt(THINKS, said(*texts))
        counts.append(rendered)
    assert counts[1] < 5 * counts[0]
    assert counts[1] < 10 * 400


def test_a_row_of_4000_turns_takes_seconds_not_minutes() -> None:
    texts = [f"This is turn {number}, is it not?" for number in range(4000)]
    began = time.perf_counter()
    learnt(str(TEMPLATES["chatml"]), said(*texts))
    assert time.perf_counter() - began < 20  # about one on an idle machine


@pytest.mark.parametrize("description", ["", None, "Looks."])
def test_tools_that_the_template_leaves_out_are_noticed_without_a_description_too(description: str | None) -> None:
    function = {"name": "look", "parameters": {"type": "object", "properties": {}}, "description": description}
    tools = [{"type": "function", "function": {key: value for key, value in function.items() if value is not None}}]
    without = str(TEMPLATES["chatml"])
    kept = "{% if tools %}{{ tools | tojson }}{% endif %}" + without
    for form in (tools, [tools[0]["function"]]):
        conversation = Conversation(said("Hi", "Hello").messages, form)
        assert "the chat template leaves out the descriptions of tools" in remarks(without, conversation)
        assert not any("tools" in remark for remark in remarks(kept, conversation))


def test_what_must_not_be_learnt_is_not_merged_into_a_prompt_that_is_weighed() -> None:
    system = {"role": "system", "content": "Be brief.", "weight": 0}
    row = {"messages": [system, *said("Hi", "Hello").messages]}
    report = DataReport()
    with pytest.raises(DataError, match="no usable row"):
        list(read_examples(DataConfig(path="x", prompt_weight=0.5), tiny_tokenizer("gemma"), report, [row]))
    for settings in ({}, {"prompt_weight": 0.5, "system": "drop"}):
        (example,) = read_examples(DataConfig(path="x", **settings), tiny_tokenizer("gemma"), DataReport(), [row])
        assert example.is_response.any()


def test_a_key_counts_as_read_only_if_the_template_looks_it_up() -> None:
    """``<|channel|>`` in the text of a template reads no ``channel`` of a message."""
    asked, answer = said("Hi", "Hello").messages
    row = {"messages": [asked, {**answer, "channel": "analysis", "recipient": "all", "place": "here"}]}
    template = "{% for m in messages %}<|channel|>" + HEADER + "{{ m.content }}{{ m.recipient or m['place'] }}" + END
    report = DataReport()
    list(read_examples(DataConfig(path="x"), tiny_tokenizer(template + "{% endfor %}"), report, [row]))
    assert report.unused == {"messages[].channel": 1}


def test_a_token_that_opens_the_next_turn_is_no_end_of_a_call() -> None:
    """As in Command A, whose template ends with a header whatever is asked of it, and whose answers end otherwise."""
    template = (
        "{% for m in messages %}{{ '<|start|>' + m.role + '<|stop|>' }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.name + '</tool_call><|eot|>' }}{% endfor %}"
        "{% if not m.tool_calls %}{{ m.content + '</think><|eot|>' }}{% endif %}{% endfor %}<|start|>assistant<|stop|>"
    )
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    messages = (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "12"},
        {"role": "assistant", "content": "Twelve."},
    )
    assert learnt(template, Conversation(messages)) == "look</tool_call><|eot|>Twelve.</think><|eot|>"
