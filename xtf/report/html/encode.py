"""Arrays and sentences made small enough for a page; ``js/decode.js`` is the other half.

Columns are split into byte planes (all first bytes, then all second bytes), which gzip shortens well, compressed, and
written in base64. Sentences of many tokens differ mostly in their numbers, so they become templates and arguments.

Plain JSON under the same gzip would be exact too, and about 60 lines less in two languages. Measured on a page of the
quickstart (140 examples, 10,673 response tokens): columns 323 KB instead of 248, sentences 253 KB instead of 141, so
that the page would have 1.45 MB instead of 1.26.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
SLOT, TEXT = "\x00", "\x01"
"""In a template: the place of a number, and of the token's quoted text."""
_KINDS = {"float32": "f4", "uint32": "u4", "uint16": "u2", "uint8": "u1"}


def pack(columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """``(n,)`` columns of float32, uint32, uint16 or uint8, any lengths; bool becomes uint8."""
    planes, described = [], []
    for name, column in columns.items():
        flat = np.ascontiguousarray(column.astype(np.uint8) if column.dtype == np.bool_ else column)
        little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
        described.append([name, _KINDS[flat.dtype.name], len(flat)])
        planes.append(little.view(np.uint8).reshape(len(flat), flat.dtype.itemsize).T.tobytes())
    return {"columns": described, "data": _encoded(b"".join(planes))}


def pack_json(value: Any) -> str:
    """Any JSON value, compressed."""
    return _encoded(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())


def smallest(values: NDArray[Any]) -> NDArray[Any]:
    """``(n,)`` non-negative integers in the smallest type that holds them."""
    largest = int(values.max()) if len(values) else 0
    kind = np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.uint32
    return values.astype(kind)


class Templates:
    """A growing table of sentence templates, shared by the whole page."""

    def __init__(self) -> None:
        self.table: list[str] = []
        self._places: dict[str, int] = {}

    def split(self, sentence: str | None, quoted: str | None = None) -> tuple[int, list[str]]:
        """The template's number (0 for None) and the numbers to put in; ``quoted`` is the token's text in it."""
        if sentence is None:
            return 0, []
        bare = sentence.replace(SLOT, "").replace(TEXT, "")
        head, found, tail = bare.partition(quoted) if quoted else (bare, "", "")
        pieces, more = _NUMBER.split(head), _NUMBER.split(tail) if found else []
        arguments = [*pieces[1::2], *more[1::2]]
        template = SLOT.join(pieces[::2]) + (TEXT + SLOT.join(more[::2]) if found else "")
        if template not in self._places:
            self.table.append(template)
            self._places[template] = len(self.table)
        return self._places[template], arguments


def script_json(value: Any) -> str:
    """JSON that cannot end the ``<script>`` element around it, nor open a comment in it, whatever the data say."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def join_arguments(arguments: Sequence[str]) -> str:
    """Numbers in one string."""
    return "|".join(arguments)


def _encoded(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, compresslevel=9, mtime=0)).decode("ascii")
