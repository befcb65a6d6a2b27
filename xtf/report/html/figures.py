"""The overview's figures as one JSON-able mapping: what the page shows at the top and ``xtf report --json`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtf.data.report import DataReport
from xtf.display import command, counted
from xtf.evaluation.contrasts import contrast_lines
from xtf.evaluation.detection import describe_detection
from xtf.explain.marks import WORDS
from xtf.explain.rulings import arms_decided_lines, decided_lines, dropped_lines, ruling_lines
from xtf.explain.words import cut_text
from xtf.labelling.distribution import Distribution, keys_to_values
from xtf.noise import known_kinds
from xtf.report.html.survey import Survey, survey
from xtf.runs.staleness import EARLIER, stale_arms, stale_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xtf.labelling import TokenCount
    from xtf.runs import RunReader
    from xtf.runs.vocabulary import Vocabulary

BARS = 48
_HIGH_SHARE = 0.5
_TOKEN_LISTS = ("most_masked", "most_kept", "highest_rate", "lowest_rate")


def overview(run: RunReader, seen: Survey | None = None) -> dict[str, Any]:
    """What was run, what was masked and where, and what to be wary of.

    Raises:
        RunError: if the run has not been labelled.
    """
    seen = seen if seen is not None else survey(run)
    summary, manifest, config = seen.summary.to_dict(), run.manifest, run.config
    vocabulary = run.vocabulary
    for name in _TOKEN_LISTS:
        summary[name] = _with_text(getattr(seen.summary, name), vocabulary)
    metrics = _metrics(run)
    return {
        "run": str(run.path),
        "model": config.model.path,
        "data": config.data.place,
        "seed": config.seed,
        "versions": manifest.get("versions", {}),
        "seconds": {name: stage["seconds"] for name, stage in manifest.get("stages", {}).items() if "seconds" in stage},
        "data_lines": DataReport.from_dict(manifest["data_report"]).lines() if "data_report" in manifest else [],
        "ruling_lines": [*ruling_lines(seen.summary.rulings), *decided_lines(manifest)],
        "attributes": [_attribute(run, seen, name) for name in seen.rules.attributes],
        "combine": seen.rules.combine.model_dump(mode="json"),
        "summary": summary,
        "correlation": seen.correlation,
        "metrics": metrics,
        "wrong": [{**one.to_dict(), "sentence": one.sentence()} for one in run.expected_wrong()],
        "detection": _detection(run),
        "warnings": warnings(run, seen),
        "words": WORDS,
    }


def _metrics(run: RunReader) -> dict[str, Any] | None:
    """What ``metrics.json`` holds, and of each arm whether it was trained on earlier labels."""
    if not run.folder.metrics_path.exists():
        return None
    metrics, stale = run.metrics, stale_arms(run)
    arms = [{**arm, "stale": EARLIER if arm["arm"] in stale else None} for arm in metrics["arms"]]
    lines = [*contrast_lines(metrics.get("contrasts", [])), *arms_decided_lines(metrics.get("decided", {}))]
    return {**metrics, "arms": arms, "lines": lines}


def _detection(run: RunReader) -> dict[str, Any] | None:
    """What ``detection.json`` holds, with its sentence and the words for its kinds."""
    found = run.detection
    if found is None:
        return None
    words = {name: kind.label for name, kind in known_kinds().items()}
    again = command("xtf", "evaluate", run.path, "--truth", found["truth"])
    is_stale = found.get("rules") != run.rules_fingerprint
    return {**found, "sentence": describe_detection(found), "words": words, "again": again if is_stale else None}


def warnings(run: RunReader, seen: Survey) -> list[str]:
    """What a reader must know before trusting the rest."""
    manifest, summary = run.manifest, seen.summary
    found = [
        f"{entry['name']} does not tell tokens apart: {entry['degenerate']}"
        for entry in manifest.get("attributes", [])
        if entry.get("degenerate")
    ]
    found += [
        f"{entry['name']}: {entry['unjudged']}." for entry in manifest.get("attributes", []) if entry.get("unjudged")
    ]
    if summary.masked_share > _HIGH_SHARE:
        found.append(
            f"{summary.masked_share:.0%} of the response tokens are masked: most of the data is not learnt from. "
            "Move a cut, or set combine.max_noise_share."
        )
    found += [
        f"{one.name} alone calls {one.share:.0%} of the response tokens lacking"
        for one in summary.attributes
        if one.share > _HIGH_SHARE
    ]
    report = manifest.get("data_report", {})
    if report.get("truncated"):
        found.append(
            f"{counted(report['truncated'], 'example')} cut at data.max_length ({run.config.data.max_length} tokens)"
        )
    if report.get("dropped_too_long"):
        found.append(f"{counted(report['dropped_too_long'], 'example')} longer than data.max_length and left out")
    stale = [one.sentence() for one in stale_parts(run) if one.part not in ("report", "export")]
    return stale + found + dropped_lines(manifest)


def histogram(distribution: Distribution, bars: int = BARS) -> dict[str, Any]:
    """Counts of scores in equal steps; the outermost per mille on each side is counted in the first or last bar."""
    if not distribution.count:
        return {"low": 0.0, "high": 1.0, "counts": [0] * bars}
    low, high = distribution.quantile(0.001), distribution.quantile(0.999)
    if not low < high:
        low, high = distribution.minimum, distribution.maximum
    if not low < high:
        low, high = low - 0.5, high + 0.5
    middle: NDArray[np.float64] = keys_to_values((distribution.bins << np.uint32(12)) | np.uint32(0x800)).astype(float)
    place = np.clip(((middle - low) / (high - low) * bars).astype(np.int64), 0, bars - 1)
    counts = np.bincount(place, weights=distribution.counts, minlength=bars).astype(np.int64)
    return {"low": float(low), "high": float(high), "counts": counts.tolist()}


def _attribute(run: RunReader, seen: Survey, name: str) -> dict[str, Any]:
    cut, distribution = seen.rules.cuts[name], seen.rules.distributions[name]
    entry: dict[str, Any] = next((one for one in run.manifest.get("attributes", []) if one["name"] == name), {})
    finite = distribution.count > 0
    return {
        "name": name,
        "scorer": entry.get("scorer", name),
        "params": entry.get("params", {}),
        "threshold": cut.cut.model_dump(mode="json"),
        "cut": cut_text(cut, cut.fixed) if cut.fixed is not None else None,
        "minimum": distribution.minimum if finite else None,
        "maximum": distribution.maximum if finite else None,
        "mean": distribution.mean if finite else None,
        "std": distribution.std if finite else None,
        "histogram": histogram(distribution),
    }


def _with_text(counts: Iterable[TokenCount], vocabulary: Vocabulary) -> list[dict[str, Any]]:
    return [
        {
            "token_id": one.token_id,
            "text": vocabulary.alone(one.token_id),
            "masked": one.masked,
            "total": one.total,
        }
        for one in counts
    ]
