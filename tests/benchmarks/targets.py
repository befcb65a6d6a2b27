"""What each figure should reach, and whether it does."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple


class Target(NamedTuple):
    """A bound on a figure."""

    kind: Literal["at most", "at least"]
    bound: float

    def used(self, value: float) -> float:
        """1 where the bound is just reached, less where there is room, more where it is missed."""
        return value / self.bound if self.kind == "at most" else self.bound / value


TARGETS = {
    "scoring.three_attributes_over_forward": Target("at most", 1.10),
    "scoring.three_attributes_over_forward.bfloat16": Target("at most", 1.10),
    "scoring.three_attributes_over_forward.embedded_before": Target("at most", 1.10),
    "scoring.three_attributes_over_forward.embedded_before.bfloat16": Target("at most", 1.10),
    "scoring.label_quality_over_forward": Target("at most", 1.10),
    "scoring.label_quality_over_forward.bfloat16": Target("at most", 1.10),
    "fitting.label_quality_over_scoring_2000": Target("at most", 1.0),
    "fitting.label_quality_over_scoring_2000.bfloat16": Target("at most", 1.0),
    "scoring.published_over_ours": Target("at least", 4.0),
    "scoring.published_over_ours.bfloat16": Target("at least", 8.0),
    "scoring.peak_memory_over_forward_8k": Target("at most", 1.3),
    "scoring.share_of_matmul_peak": Target("at least", 0.65),
    "scoring.share_of_matmul_peak.bfloat16": Target("at least", 0.5),
    "scoring.padding_share": Target("at most", 0.05),
    "influence.tangent_over_forward": Target("at most", 2.5),
    "influence.tangent_over_forward.finite": Target("at most", 2.5),
    "influence.tangent_over_forward.lora": Target("at most", 2.5),
    "influence.tangent_over_forward.last_4": Target("at most", 2.5),
    "influence.reference_over_forward": Target("at most", 2.1),
    "labelling.seconds_per_100m_tokens": Target("at most", 60.0),
    "labelling.peak_rss_mib": Target("at most", 1024.0),
    "training.tokens_per_s_over_trl": Target("at least", 1.0),
    "training.tokens_per_s_over_trl.half_masked": Target("at least", 1.15),
    "training.peak_gib.checkpointing": Target("at most", 4.0),
    "training.checkpointing_over_plain": Target("at most", 1.35),
    "page.write_seconds": Target("at most", 5.0),
    "page.ready_seconds": Target("at most", 1.5),
    "start.second_run_seconds": Target("at most", 12.0),
}


def shown(key: str, figure: dict[str, Any]) -> str:
    """One line: the median, its spread, and the target."""
    spread = f" ({figure['min']:g} to {figure['max']:g})" if "min" in figure else ""
    target = TARGETS.get(key)
    verdict = ""
    if target is not None:
        verdict = f"   {target.kind} {target.bound:g}: {'reached' if target.used(figure['median']) <= 1 else 'missed'}"
    return f"{key:<56} {figure['median']:g}{spread}{verdict}"
