"""The names of flags that say what is learnt, in every spelling in use, and what is refused because it looks like one.

Sources of the spellings: OpenAI and Mistral ``weight``; axolotl ``train``, ``training`` and ``train_detail``; ms-swift
``loss`` and ``loss_scale``; LLaMA-Factory ``loss_weight``; slime and verl ``loss_mask``; torchtune ``masked``; XTuner
``loss`` and ``output_with_loss``. Letter case, hyphens and spaces do not count: ``lossWeight``, ``Loss-Weight``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from xtf.data.report import RowError
from xtf.data.suggestion import yaml_name
from xtf.data.value_tests import is_plain_truth, truth
from xtf.errors import listed

WEIGHTS = ("weight", "loss_weight", "loss_scale", "train_weight", "training_weight")
SWITCHES = (
    *("train", "training", "trainable", "is_trainable", "train_on", "train_on_turn", "train_turn"),
    *("learn", "loss", "loss_mask", "train_mask", "with_loss", "output_with_loss", "compute_loss"),
)
INVERTED = ("masked", "is_masked", "ignore_loss", "mask_loss", "no_loss", "no_train", "skip_loss")
DETAILS = ("train_detail", "train_details", "training_detail", "training_details")
ROW_FLAGS = (*WEIGHTS, "sample_weight", *SWITCHES, *INVERTED)
TURN_FLAGS = (*WEIGHTS, *SWITCHES, *INVERTED)
LISTS = (*ROW_FLAGS, "weights", "loss_weights", "masks", "mask", "loss_masks", "train_masks", "turn_masks")
UNCLEAR_LISTS = ("mask", "masks")
"""Names that some use for what is learnt and others for what is not."""
OF_TURNS = "messages[]."
"""How ``data.only`` and the data report name what a turn says: ``messages[].is_correct``."""
_LEARN = (
    r"(?:train(?:ed|ing|able)?|loss(?:es)?|mask(?:s|ed)?|learn(?:able|t|ed)?|supervised?|ignored?|skip(?:ped)?|"
    r"exclude[ds]?)"
)
_CONTEXT = (
    r"(?:(?:is|as|use_as)_)?(?:context|prompt|history)_only|(?:no|requires?|stop)_grad(?:ient)?s?|(?:no_)?backprop"
)
LOOKS_LIKE_A_FLAG = re.compile(rf"(?:.*_)?(?:{_LEARN}|weight(?:s|ed)?)(?:_.*)?|{_CONTEXT}")
LOOKS_LIKE_A_LIST = re.compile(r"(?:.*_)?(?:weights?|masks?|train(?:ed|able)?|learn|supervised?)(?:_.*)?")
"""Names of lists with an entry for each turn or token; a list of losses may be measured ones."""
IS_AN_ORDER = re.compile(
    r"(?:(?:is|to|for|do|dont|don_t|not|no|never|should|must|use|used|in|without|exclude_from|skip_in)_)*"
    rf"{_LEARN}(?:_(?:flag|on|in|from|this|row|turn|sample|example|history|prompts?|inputs?|training|learning|sft))*|"
    rf"{_CONTEXT}"
)
"""Names that can be nothing but an order whether to learn, so that 0, 1, yes and no say it too."""
LISTS_PLACES = re.compile(
    rf"(?:.*_)?{_LEARN}(?:_(?:on|of|only))*_(?P<what>turns|messages|roles|indices|indexes|spans|ranges|positions)|"
    r"(?P<whom>turns|messages|roles|spans)_to_(?:train|learn|mask|ignore|skip|exclude)"
)
"""Names of columns that list what is learnt, or what is not, by number or by role."""


def spelled(row: Iterable[Any], names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the keys that spell one of ``names``, each with that name, in the order of the names."""
    found = [(key, name) for key in row if isinstance(key, str) and (name := plain_name(key)) in names]
    return sorted(found, key=lambda each: names.index(each[1])) if len(found) > 1 else found


@lru_cache(maxsize=4096)
def plain_name(key: str) -> str:
    """Return a name in lower case with underscores: ``lossWeight`` and ``Loss-Weight`` are ``loss_weight``."""
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip())).lower()


def is_switch(key: str, value: Any) -> bool:
    """Whether a column says by true or false, or by numbers or roles, what is learnt, whatever its exact name."""
    name = plain_name(key)
    if places := LISTS_PLACES.fullmatch(name):
        by_word = isinstance(value, str) and (places["what"] or places["whom"]) in ("turns", "roles")
        return bool(by_word or isinstance(value, (list, tuple, Mapping))) and bool(value)
    looks = LOOKS_LIKE_A_FLAG if is_plain_truth(value) else IS_AN_ORDER
    return truth(value) is not None and bool(looks.fullmatch(name))


def refuse_unknown(keys: Iterable[Any], place: str, column: str = "") -> None:
    """Refuse keys that look like flags.

    Args:
        keys: Of a row, a turn or a part.
        place: Where it stands.
        column: What ``data.only`` puts before such a key.

    Raises:
        RowError: naming them.
    """
    unknown = [key for key in keys if isinstance(key, str) and looks_like_a_flag(key)]
    if unknown:
        known = listed((*TURN_FLAGS, *DETAILS[:1]))
        raise refused(f"{place}: {listed(map(repr, unknown))}. {settled_by(column + unknown[0])}. Known: {known}")


def looks_like_a_flag(key: str) -> bool:
    """Whether a name may say what is learnt."""
    name = plain_name(key)
    return any(pattern.fullmatch(name) for pattern in (LOOKS_LIKE_A_FLAG, LISTS_PLACES))


def settled_by(column: str) -> str:
    """What to set where a column or a key of a turn says nothing of learning."""
    return f"If it says nothing of learning: data.only: {{{yaml_name(column)}: any}}"


def refuse_unknown_lists(row: Mapping[str, Any], sizes: Collection[int]) -> None:
    """Refuse columns of numbers, one for each turn or token, or of 0 and 1, under a name that looks like a flag's.

    Raises:
        RowError: naming them.
    """
    lists = ((key, value) for key, value in row.items() if isinstance(value, (list, tuple)) and value)
    named = ((key, value) for key, value in lists if LOOKS_LIKE_A_LIST.fullmatch(plain_name(key)))
    numbers = ((key, value) for key, value in named if all(isinstance(each, (bool, int, float)) for each in value))
    found = [key for key, value in numbers if len(value) in sizes or set(value) <= {0, 1}]
    refuse_unknown(found, "the row")


def refused(detail: str) -> RowError:
    """The error for a flag that is not understood."""
    return RowError("a flag that is not understood", detail)
