"""Short texts: are the words the same?"""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Literal

from xtf.evaluation.metric import Metric, Task, Verdict

_LONGEST = 12


class TextMatch(Metric):
    """The whole answer has the words of the reference; case, punctuation, articles and spaces do not matter (SQuAD)."""

    name: ClassVar[str] = "text_match"
    label: ClassVar[str] = "text match"
    chosen: ClassVar[Literal["fitting", "last", "named"]] = "last"

    def unfit(self, task: Task) -> str | None:
        words = normalised(task.reference).split()
        if not words:
            return "the reference has no words"
        return f"the reference has more than {_LONGEST} words" if len(words) > _LONGEST else None

    def judge(self, task: Task, answer: str) -> Verdict:
        expected, predicted = normalised(task.reference), normalised(answer)
        return Verdict(predicted == expected, predicted or None, expected)


def normalised(text: str) -> str:
    """Lower case, without punctuation and the articles a, an, the; signs that change a number or a formula stay.

    >>> normalised("The Eiffel Tower.")
    'eiffel tower'
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"(?<!\d)[.,](?!\d)|(?<=\d)[.,](?!\d)|[!?;:\"'’‘“”`()\[\]]", " ", text)
    return " ".join(word for word in text.split() if word not in ("a", "an", "the"))
