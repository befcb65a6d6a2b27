"""Words of prose: finding them, and what people put in their place when they err."""

from __future__ import annotations

import re

Span = tuple[int, int]

_WORD = re.compile(r"(?<![\w\\<>_/@#$])[A-Za-z]+(?:['’][a-z]+)?(?![\w_/@]|\()")
_HIDDEN = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|<<[^>\n]*>>|\$[^$\n]*\$|https?://\S+|<[^>\n]*>", re.S)

FUNCTION_WORDS: tuple[tuple[str, ...], ...] = (
    ("in", "on", "at", "by", "for", "to", "with", "from", "of", "into", "over", "under"),
    ("a", "an", "the"),
    ("is", "are", "was", "were", "be", "been"),
    ("has", "have", "had"),
    ("he", "she", "it", "they", "we"),
    ("his", "her", "its", "their", "our"),
    ("him", "her", "them", "us"),
    ("this", "that", "these", "those"),
    ("which", "who", "whom", "what", "where", "when"),
    ("and", "but", "or", "so", "because", "although", "while", "if"),
    ("before", "after", "since", "until", "during"),
    ("some", "any", "many", "much", "few", "every", "each", "all"),
    ("more", "less", "most", "least", "fewer"),
    ("can", "could", "may", "might", "must", "should", "would", "will"),
    ("do", "does", "did"),
)
"""Words that stand for one another in errors; a word is replaced by another of its row."""

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("increase", "decrease"), ("increases", "decreases"), ("increased", "decreased"), ("more", "less"),
    ("more", "fewer"), ("greater", "smaller"), ("higher", "lower"), ("largest", "smallest"), ("larger", "smaller"),
    ("before", "after"), ("above", "below"), ("always", "never"), ("true", "false"), ("same", "different"),
    ("all", "none"), ("every", "no"), ("first", "last"), ("left", "right"), ("north", "south"), ("east", "west"),
    ("add", "subtract"), ("adds", "subtracts"), ("adding", "subtracting"), ("plus", "minus"), ("gain", "lose"),
    ("multiply", "divide"), ("double", "half"), ("twice", "half"), ("buy", "sell"), ("buys", "sells"),
    ("bought", "sold"), ("hot", "cold"), ("fast", "slow"), ("faster", "slower"), ("older", "younger"),
    ("early", "late"), ("earlier", "later"), ("open", "closed"), ("maximum", "minimum"), ("positive", "negative"),
    ("best", "worst"), ("better", "worse"), ("longer", "shorter"), ("include", "exclude"), ("with", "without"),
    ("start", "end"), ("enough", "insufficient"), ("possible", "impossible"), ("correct", "incorrect"),
    ("likely", "unlikely"), ("inside", "outside"), ("up", "down"), ("over", "under"), ("can", "cannot"),
    ("gives", "takes"), ("remaining", "used"), ("total", "difference"), ("sum", "product"), ("rich", "poor"),
)  # fmt: skip
"""Words whose exchange turns a statement into its contrary."""

AUXILIARIES = {
    *(
        "is",
        "are",
        "was",
        "were",
        "can",
        "could",
        "should",
        "would",
        "will",
        "must",
        "has",
        "have",
        "had",
        "does",
        "do",
    ),
    *("did", "may", "might"),
}

_IRREGULAR = {
    "is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "have": "has", "does": "do", "do": "does",
    "went": "go", "go": "went", "made": "make", "make": "made", "took": "take", "take": "took", "got": "get",
    "get": "got", "gave": "give", "give": "gave", "found": "find", "find": "found", "bought": "buy", "buy": "bought",
    "children": "child", "child": "children", "people": "person", "men": "man", "women": "woman", "feet": "foot",
}  # fmt: skip
_NO_INFLECTION = {*(word for row in FUNCTION_WORDS for word in row), "not", "yes", "no", "then", "there"}
_NEIGHBOURS = {
    "q": "wa", "w": "qe", "e": "wr", "r": "et", "t": "ry", "y": "tu", "u": "yi", "i": "uo", "o": "ip", "p": "o",
    "a": "sq", "s": "ad", "d": "sf", "f": "dg", "g": "fh", "h": "gj", "j": "hk", "k": "jl", "l": "k", "z": "x",
    "x": "zc", "c": "xv", "v": "cb", "b": "vn", "n": "bm", "m": "n",
}  # fmt: skip


def find_words(text: str) -> tuple[Span, ...]:
    """The characters of each word of prose; code, formulas, tags and addresses are left out."""
    hidden = [match.span() for match in _HIDDEN.finditer(text)]
    return tuple(
        match.span()
        for match in _WORD.finditer(text)
        if not any(s < match.end() and match.start() < e for s, e in hidden)
    )


def like(word: str, model: str) -> str:
    """``word`` with the capitals of ``model``."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def misspell(word: str, choice: int, place: int) -> str:
    """One of five common slips at a place: two letters swapped, one left out, doubled, hit beside, or of like sound."""
    place = 1 + place % max(1, len(word) - 1)
    letter = word[place] if place < len(word) else ""
    match choice % 5:
        case 0 if place + 1 < len(word):
            return word[:place] + word[place + 1] + letter + word[place + 2 :]
        case 1:
            return word[:place] + word[place + 1 :]
        case 2:
            return word[:place] + letter + word[place:]
        case 3 if letter.lower() in _NEIGHBOURS:
            options = _NEIGHBOURS[letter.lower()]
            return word[:place] + options[place % len(options)] + word[place + 1 :]
        case _:
            for heard, written in (("ie", "ei"), ("ei", "ie"), ("ea", "ee"), ("tion", "sion"), ("ph", "f"), ("a", "e")):
                if heard in word[1:]:
                    return word[0] + word[1:].replace(heard, written, 1)
            return word[:place] + word[place + 1 :]


def inflect(word: str) -> list[str]:
    """Other forms of a word, as a learner might use them in its place; none for words that have no other form."""
    lower = word.lower()
    if lower in _IRREGULAR:
        return [like(_IRREGULAR[lower], word)]
    if lower in _NO_INFLECTION or len(lower) < 3 or "'" in word or "’" in word:
        return []
    if lower.endswith("ies") and len(lower) > 4:
        return [word[:-3] + "y"]
    if lower.endswith(("ing",)) and len(lower) > 5:
        return [word[:-3], word[:-3] + "ed", word[:-3] + "s"]
    if lower.endswith("ed") and len(lower) > 4:
        return [word[:-2], word[:-2] + "ing", word[:-1] if lower.endswith("eed") else word[:-2] + "s"]
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is")):
        return [word[:-1], word[:-1] + "ed" if not lower.endswith("es") else word[:-1] + "d"]
    if lower.endswith("y") and lower[-2:-1] not in "aeiou":
        return [word[:-1] + "ies"]
    return [word + ("es" if lower.endswith(("s", "x", "ch", "sh")) else "s")]
