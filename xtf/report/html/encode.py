"""Arrays and sentences made small enough for a page; ``js/decode.js`` is the other half.

Columns are split into byte planes (all first bytes, then all second bytes), which gzip shortens well, compressed, and
written in base64.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT = "\x01"
"""In a sentence: the place of the token's quoted text."""
_LEVEL = 5
"""Level 6 takes half as long again and shortens a page by 2 %, level 9 seven times as long and by 5 %."""
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


def script_json(value: Any) -> str:
    """JSON that cannot end the ``<script>`` element around it, nor open a comment in it, whatever the data say."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _encoded(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, compresslevel=_LEVEL, mtime=0)).decode("ascii")
