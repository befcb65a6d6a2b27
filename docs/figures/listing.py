"""python docs/figures/listing.py RUN EXAMPLE OUTPUT.svg: the picture at the top of the README, from a real run."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

import xtf
from xtf.report.terminal import print_explanation


def main() -> None:
    """Render, without any font to be fetched."""
    run, example, output = sys.argv[1:4]
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    print_explanation(console, xtf.open_run(run).explain(example))
    svg = console.export_svg(title=f"xtf explain {run} --example {example}")
    without_fonts = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # a picture asks no server for anything
    Path(output).write_text(without_fonts, encoding="utf-8")


if __name__ == "__main__":
    main()
