r"""Numbers as people write them: thousands, mixed numbers, magnitudes, signs beyond ASCII, several in one answer."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_DIGITS = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,2}(?!\w))?"
_SIZES = {"hundred": 10**2, "thousand": 10**3, "dozen": 12, "million": 10**6, "billion": 10**9, "trillion": 10**12}
NUMBER = re.compile(
    rf"\\?\$?\s*(?P<sign>[-−]?)\s*\\?\$?\s*(?P<digits>{_DIGITS})"
    r"(?:\s+(?P<over>\d+)\s*/\s*(?P<under>[1-9]\d*)(?![\d/]|\.\d))?"
    rf"(?:\s+(?P<size>{'|'.join(_SIZES)})\b)?",
    re.IGNORECASE,
)
"""A number at the beginning of a text; sign, currency, a fraction and a magnitude belong to it."""

_ANY_NUMBER = re.compile(rf"(?:(?<![\w)\]}}])[-−])?\\?\$?{_DIGITS}")
_LEADS_ON = re.compile(r"(?:[\w\\_{}.)\]]|[-−+*/÷×·^]\s*)$")
_NO_END = re.compile(r"[^\W\d]|[.,]\d|[-−]\d|\s*[+*/^_\\=<>·×÷{(]\s*[\w\\({\[]|\s+[-−]\s*[\d\\({]")
_FORMULA_FOLLOWS = re.compile(r"[^\W\d_]|!|\s*[-−+*/^_\\{}()\[\],:=<>·×÷]\s*[\w\\({\[]|\s*mod\s*\d")
_UNIT = (
    r"(?:years?|months?|weeks?|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?|miles?|yards?|feet|foot|ft|inch(?:es)?"
    r"|pounds?|lbs?|ounces?|oz|dollars?|cents?|degrees?|kg|g|km|m|cm|mm|h|s)\.?"
)
_JOINED = rf",?\s+(?:{_UNIT},?\s+)?(?:(?:\w+\s+)?(?:and|or|to|through|remainder|r)\s+)?"
_ANOTHER_FOLLOWS = re.compile(rf"{_JOINED}\\?\$?[-−]?\.?\d", re.IGNORECASE)
_ANOTHER_BEFORE = re.compile(rf"\d{_JOINED}$", re.IGNORECASE)
_FIGURE = re.compile(rf"\$?(?P<number>[-−]?{_DIGITS})[%°]?")
_WORD = re.compile(r"[^\W\d_]{2,}|[RrAamMhgs]")
_RANGE = re.compile(r"(?:between|from|either)\s+", re.IGNORECASE)

_BETWEEN_DIGITS = re.compile(r"(?<=\d)(?:,?\\!|\{,\}|\\[,;: ]|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))")
_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴-⁹]+")
_ROOT = re.compile(r"√\s*(\d+|\w|\([^()]*\))")
_TIMES = re.compile(r"(?<=\d)\s*[x×]\s*(?=\d)")
_FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅙": "1/6", "⅛": "1/8"}
_SIGNS = str.maketrans({"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "±": r"\pm ", "π": r"\pi ", "∞": r"\infty "})
_MOST_DIGITS = 300


def in_latex(text: str) -> str:
    r"""Signs beyond ASCII as LaTeX writes them, and thousands without separators.

    >>> in_latex("3×10² or 1{,}234")
    '3\\times 10^{2} or 1234'
    """
    text = _BETWEEN_DIGITS.sub("", text)
    text = _SUPERSCRIPTS.sub(lambda found: f"^{{{unicodedata.normalize('NFKC', found[0])}}}", text)
    text = _TIMES.sub(r"\\times ", _ROOT.sub(r"\\sqrt{\1}", text))
    for sign, fraction in _FRACTIONS.items():
        text = re.sub(rf"(?<=\d){sign}", f" {fraction}", text).replace(sign, fraction)
    return text.translate(_SIGNS)


def plain_number(text: str) -> Fraction | None:
    """The number that a text begins with; None if a formula goes on from it, or if it is one of several.

    Commas, currency and units do not matter; magnitudes do: 1.5 million is 1500000, and 1 1/2 is 3/2.
    """
    text = in_latex(text.strip())
    match = NUMBER.match(text)
    if match is None or len(match["digits"]) > _MOST_DIGITS:
        return None
    if any(after.match(text, match.end()) for after in (_FORMULA_FOLLOWS, _ANOTHER_FOLLOWS)):
        return None
    value = Fraction(match["digits"].replace(",", ""))
    if match["over"]:
        value += Fraction(int(match["over"]), int(match["under"]))
    return (-value if match["sign"] else value) * _SIZES.get((match["size"] or "").lower(), 1)


def figures(text: str) -> tuple[Fraction | str, ...] | None:
    """The numbers of an answer in words that begins with one, and which half of the day; None if it is anything else.

    >>> figures("2 hours and 30 minutes")
    (Fraction(2, 1), Fraction(30, 1))
    """
    found: list[Fraction | str] = []
    for part in re.split(r"[\s,:;]+", _RANGE.sub("", text.strip().rstrip(".!"), count=1)):
        number = _FIGURE.fullmatch(part)
        half = re.fullmatch(r"([ap])\.?m\.?", part, re.IGNORECASE)
        if number is not None and len(part) <= _MOST_DIGITS:
            found.append(Fraction(number["number"].replace(",", "").replace("−", "-")))
        elif not found or not (half or _WORD.fullmatch(part.rstrip("."))):
            return None
        elif half:
            found.append(half[1].lower())
    return tuple(found)


def numbers_alone(text: str) -> list[str]:
    """The numbers of a text that are no part of a word, of a formula or of several; what an equation ends in is one."""
    found = []
    for start in (match.start() for match in _ANY_NUMBER.finditer(text)):
        match = NUMBER.match(text, start)
        before = text[:start].split("\n")[-1]
        if match is None or any(leads.search(before) for leads in (_LEADS_ON, _ANOTHER_BEFORE)):
            continue
        if not any(after.match(text, match.end()) for after in (_NO_END, _ANOTHER_FOLLOWS)):
            found.append(match.group().strip())
    return found
