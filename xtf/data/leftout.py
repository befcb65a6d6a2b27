"""Parts of a conversation that the chat template leaves out, and what to set to have them."""

from __future__ import annotations

from collections.abc import Iterator

from xtf.data.markers import TOOLS
from xtf.data.marking import Marked
from xtf.data.report import Remark

OTHER_TEMPLATE = "give model.tokenizer a folder whose chat_template.jinja keeps them"
TEXT = "the chat template leaves out {}"


def left_out(marked: Marked) -> Iterator[Remark]:
    """Yield a remark for each role and part of which something does not come out, but for system text."""
    missing: dict[tuple[str, str], list[int]] = {}
    for number, piece in enumerate(marked.pieces):
        if number not in marked.spans and piece.role != "system":
            missing.setdefault((piece.role, piece.part), []).append(number)
    for (role, part), numbers in missing.items():
        pieces = [marked.pieces[number] for number in numbers]
        characters = sum(piece.end - piece.start for piece in pieces)
        known = marked.template.advice
        if (role, part) not in known:
            known[role, part] = _advice(marked, part, numbers)
        yield Remark(TEXT.format(_named(role, part)), known[role, part], characters)


def _named(role: str, part: str) -> str:
    return "the descriptions of tools" if role == TOOLS else f"{part} of {role} turns"


def _advice(marked: Marked, part: str, numbers: list[int]) -> str:
    """Try the template's own arguments on this very row, then the row without what follows."""
    for name in sorted(marked.template.variables(marked.conversation)):
        for value in (True, False):
            if marked.kept(numbers, **{name: value}):
                return f"set data.template_args: {{{name}: {str(value).lower()}}}"
    turn = marked.pieces[numbers[0]].turn
    if part == "thoughts" and marked.kept(numbers[:1], turn + 1):
        return (
            "it keeps those of the last turn only, and no argument changes that; make a row of each turn whose "
            f"thoughts are to be learnt, or {OTHER_TEMPLATE}"
        )
    return f"no argument of it keeps them; {OTHER_TEMPLATE}"
