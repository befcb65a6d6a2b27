"""python -m docs.figures.benchmarks bench.json docs/images/benchmarks.svg: how far each figure is from its target."""

from __future__ import annotations

import json
import math
import sys
from html import escape
from pathlib import Path
from typing import Any

from tests.benchmarks.targets import TARGETS

LEFT, RIGHT, ROW, TOP = 400, 760, 24, 60
LEAST, MOST = 0.01, 4.0


def main() -> None:
    """Read, draw."""
    figures = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["figures"]
    Path(sys.argv[2]).write_text(drawing({key: figures[key] for key in TARGETS if key in figures}), encoding="utf-8")


def drawing(figures: dict[str, Any]) -> str:
    """A bar for each figure as a share of its target, on a logarithmic axis, as SVG text."""
    height = TOP + ROW * len(figures) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + 140} {height}" font-family="sans-serif" '
        'font-size="12" fill="#222"><rect width="100%" height="100%" fill="white"/>',
        '<text x="12" y="22" font-size="14">What each figure uses of its target (left of the line: reached)</text>',
    ]
    for tick in (0.01, 0.1, 1.0):
        x, colour = place(tick), "#222" if tick == 1.0 else "#ddd"
        parts.append(f'<path d="M{x:.1f} {TOP - 12}V{height - 16}" stroke="{colour}"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP - 16}" text-anchor="middle">{tick:.0%}</text>')
    for row, (key, figure) in enumerate(figures.items()):
        target, y = TARGETS[key], TOP + ROW * row
        used = target.used(figure["median"])
        colour = "#31a354" if used <= 1 else "#e6550d"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(key)}</text>')
        wide = place(used) - LEFT
        parts.append(f'<rect x="{LEFT}" y="{y + 2}" width="{wide:.1f}" height="{ROW - 8}" fill="{colour}"/>')
        bound = "≤" if target.kind == "at most" else "≥"
        parts.append(f'<text x="{RIGHT + 8}" y="{y + 13}">{figure["median"]:g} ({bound} {target.bound:g})</text>')
    return "\n".join(parts) + "\n</svg>\n"


def place(share: float) -> float:
    """The x of a share of a target."""
    clipped = min(max(share, LEAST), MOST)
    return LEFT + (RIGHT - LEFT) * math.log(clipped / LEAST) / math.log(MOST / LEAST)


if __name__ == "__main__":
    main()
