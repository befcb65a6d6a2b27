"""A third party's cut and rule, found by their entry points, are used from configuration to report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report.made import THRESHOLDS, made_run
from xtf import testing
from xtf.api import label
from xtf.config import CUTS, RULES, RunConfig, parse_config
from xtf.config.kinds import read_cut
from xtf.errors import ConfigError
from xtf.labelling.combiners import Combiner
from xtf.labelling.cuts import Cut
from xtf.report import write_report
from xtf.testing.combiners import CombinerCheck
from xtf.testing.cuts import CutCheck


@testing.parametrize_cuts_with_checks([read_cut({"kind": "below_median", "scope": s}) for s in ("example", "dataset")])
def test_cut(cut: Cut, check: CutCheck) -> None:
    check(cut)


@testing.parametrize_combiners_with_checks([RULES.load("unless").model_validate({"excuse": "a"})])  # type: ignore[list-item]
def test_rule(combiner: Combiner, check: CombinerCheck) -> None:
    check(combiner)


def test_they_are_found_by_their_entry_points_alone() -> None:
    assert "below_median" in CUTS.names()
    assert "unless" in RULES.names()


def test_from_configuration_to_report(tmp_path: Path) -> None:
    cut = {"kind": "below_median", "share": 0.25}
    combine = {"rule": "unless", "excuse": "relevance"}
    run = made_run(tmp_path / "run", examples=12, thresholds={**THRESHOLDS, "novelty": cut}, combine=combine)
    assert run.config.combine.model_dump()["excuse"] == "relevance"
    for example in run.example_ids():
        for token in run.explain(example).tokens:
            lacks = {verdict.name for verdict in token.verdicts if verdict.lacking}
            assert token.noise == (len(lacks) > 1 and "relevance" in lacks)
    judged = next(token for token in run.explain("made-0001").tokens if token.verdicts and not token.is_protected)
    assert re.search(r"below \S+ \(25 % of the way to the median of this example\)", judged.verdicts[0].cut)
    page = write_report(run).read_text(encoding="utf-8").split('id="payload">')[1].split("</script>")[0]
    trials = json.loads(page)["runs"][0]["trials"]
    assert [one["is"] for one in trials["cuts"]["novelty"]["controls"]] == ["steps"]
    assert "unless" not in [rule["kind"] for rule in trials["rules"]]
    again = label(run, ["combine.rule=any"])
    assert again.summary().masked_tokens > 0
    assert again.config.combine.settings("unless").attributes_named() == {"excuse": "relevance"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"thresholds": {"random": {"kind": "below_median", "share": 2}}},
            "thresholds.random.share: input should be less",
        ),
        (
            {"thresholds": {"random": {"kind": "below_medain"}}},
            "no cut named 'below_medain'. Did you mean 'below_median'?",
        ),
        ({"combine": {"rule": "unless"}}, "combine.excuse: required, but not given"),
        ({"combine": {"rule": "unless", "excuse": "randon"}}, "combine.excuse: no attribute of that name in this run."),
        ({"combine": {"rule": "unles"}}, "combine.rule: cannot be 'unles'. Did you mean 'unless'?"),
    ],
)
def test_mistakes_in_their_settings_are_explained(change: dict[str, Any], words: str) -> None:
    raw = {"model": {"path": "m"}, "data": {"path": "d"}, "attributes": ["random"], **change}
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)
    assert words in str(caught.value)


def test_a_resolved_configuration_is_read_back() -> None:
    raw = {"model": {"path": "m"}, "data": {"path": "d"}, "attributes": ["random"], "combine": {"rule": "vote"}}
    config = RunConfig.model_validate(raw)
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config
