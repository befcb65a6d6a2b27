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

import numpy as np

from xtf.data.report import RowError
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
LOOKS_LIKE_A_FLAG = re.compile(
    r"(?:.*_)?(?:train(?:ed|ing|able)?|loss(?:es)?|weights?|mask(?:s|ed)?|learn(?:able|t)?|supervised?|ignored?|skip|"
    r"exclude[ds]?)(?:_.*)?"
)
LOOKS_LIKE_A_LIST = re.compile(r"(?:.*_)?(?:weights?|masks?|train(?:ed|able)?|learn|supervised?)(?:_.*)?")
"""Names of lists with an entry for each turn or token; a list of losses may be measured ones."""
VERDICTS = re.compile(
    r"(?:is_)?(?:rejected|undesirable|chosen|desirable|preferred|target)|label|kto_(?:tag|label)|included?|keep"
)
"""What a turn may not say of itself by true or false: no trainer reads it there; of preference data whole rows are."""


def spelled(row: Iterable[Any], names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the keys that spell one of ``names``, each with that name, in the order of the names."""
    found = [(key, name) for key in row if isinstance(key, str) and (name := plain_name(key)) in names]
    return sorted(found, key=lambda each: names.index(each[1])) if len(found) > 1 else found


@lru_cache(maxsize=4096)
def plain_name(key: str) -> str:
    """Return a name in lower case with underscores: ``lossWeight`` and ``Loss-Weight`` are ``loss_weight``."""
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip())).lower()


def refuse_hidden(holder: Mapping[Any, Any], place: str) -> None:
    """Refuse what says not to learn where no trainer reads it: in an object of its own, or by a verdict on a turn.

    Raises:
        RowError: naming the flag.
    """
    for key, value in holder.items():
        if isinstance(value, Mapping):
            for inner, name in spelled(value, (*TURN_FLAGS, *DETAILS)):
                one = value[inner]
                says_no = name not in WEIGHTS and isinstance(one, (bool, np.bool_)) and one == (name in INVERTED)
                if says_no or name in DETAILS or (name in WEIGHTS and one == 0):
                    raise refused(f"{place}.{key}: {inner!r} is {one!r:.60}; set it on the turn or on the row itself")
        elif place != "the row" and isinstance(value, (bool, np.bool_)) and VERDICTS.fullmatch(plain_name(str(key))):
            raise refused(f"{place}: {key!r} is {value!r}; set train: false on a turn that is not to be learnt")


def refuse_unknown(keys: Iterable[Any], place: str) -> None:
    """Refuse keys that look like flags.

    Raises:
        RowError: naming them.
    """
    unknown = [key for key in keys if isinstance(key, str) and LOOKS_LIKE_A_FLAG.fullmatch(plain_name(key))]
    if unknown:
        known = listed((*TURN_FLAGS, *DETAILS[:1]))
        raise refused(f"{place}: {listed(map(repr, unknown))}. Known: {known}")


def refuse_unknown_lists(row: Mapping[Any, Any], sizes: Collection[int]) -> None:
    """Refuse columns of numbers, one for each turn or token, under a name that looks like a flag's.

    Raises:
        RowError: naming them.
    """
    lists = {key: value for key, value in row.items() if isinstance(value, (list, tuple)) and len(value) in sizes}
    named = (key for key in lists if LOOKS_LIKE_A_LIST.fullmatch(plain_name(str(key))))
    found = [key for key in named if all(isinstance(each, (bool, int, float)) for each in lists[key])]
    refuse_unknown(found, "the row")


def refused(detail: str) -> RowError:
    """The error for a flag that is not understood."""
    return RowError("a flag that is not understood", detail)
