"""Tables of tokens, and every result in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.made import made_run
from xtf.api import Run
from xtf.data import DataReport, ExampleView, Inspection, TokenView
from xtf.errors import RunError
from xtf.exporters import Export
from xtf.labelling.wrong import WrongShare
from xtf.report.results import Metrics
from xtf.steps.exporting import Exported
from xtf.steps.planting import PlantedFile
from xtf.steps.spans import RelabelledFile

THRESHOLDS = {"right": {"kind": "below", "cut": 0.2}, "novelty": {"kind": "bottom_share", "share": 0.3}}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    names = [HOSTILE, *(f"made-{place}" for place in range(7))]
    folder = tmp_path_factory.mktemp("tables") / "run"
    return made_run(folder, thresholds=THRESHOLDS, kinds=("a typo", "a swap"), ids=names)


def test_a_row_a_token_says_what_explain_says(run: Run) -> None:
    frame = run.to_pandas()
    explained = [(one, token) for one in run.example_ids() for token in run.explain(one).tokens]
    assert len(frame) == len(explained)
    for row, (name, token) in zip(frame.to_dict("records"), explained, strict=True):
        assert (row["example_id"], row["position"], row["token_id"]) == (name, token.index, token.token_id)
        assert (row["text"], row["is_response"], row["masked"]) == (token.text, token.is_response, token.noise)
        assert row["weight"] == pytest.approx(token.weight)
        lacking = [verdict.name for verdict in token.verdicts if verdict.lacking]
        assert list(row["reasons"]) == (lacking if token.noise else [])
        scores = {verdict.name: verdict.value for verdict in token.verdicts}
        for attribute in THRESHOLDS:
            assert row[attribute] == pytest.approx(scores[attribute]) if scores else np.isnan(row[attribute])
        assert (row["right.kind"] in ("a typo", "a swap")) == token.is_response


def test_some_examples_and_other_libraries(run: Run) -> None:
    table = run.tokens(["made-2", "made-5"])
    assert set(table.to_pandas()["example_id"]) == {"made-2", "made-5"}
    polars = pytest.importorskip("polars")
    frame = table.to_polars()
    assert isinstance(frame, polars.DataFrame)
    assert frame.height == len(table) == table.to_arrow().num_rows
    assert run.to_polars().height == len(run.tokens())
    with pytest.raises(RunError, match="Did you mean 'made-2'"):
        run.tokens(["made2"])


def test_a_run_that_is_scored_alone_has_scores_and_no_labels(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run", examples=2)
    made.folder.update_manifest(stages={"label": {"done": False}})
    names = made.tokens().to_arrow().column_names
    assert "novelty" in names
    assert "masked" not in names


def results(run: Run) -> list[Any]:
    report = DataReport(rows=3, examples=2)
    report.warn(HOSTILE, "a:1")
    token = TokenView(1, HOSTILE, True, False, 1.0, "")
    arm = {"arm": HOSTILE, "seeds": [0], "steps": 1, "tokens_kept": 2, "mask_share": 0.1, "held_out_loss": None}
    measured = {"arms": [{**arm, "train_seconds": 1.0, "metrics": {}}], "note": HOSTILE}
    export = Export(
        folder=Path(HOSTILE), files=("a",), rows=1, longest=1, tokens=1, response=1, learnt=1, supervised=1,
        weighted=0, drop_worse_than=None, left_out=0, config=run.config, manifest=run.manifest,
    )  # fmt: skip
    return [
        run,
        run.tokens(),
        run.issues(),
        run.issues()[0],
        run.issues()[0].spans[0],
        run.status(),
        run.summary(),
        run.report(),
        run.explain(HOSTILE),
        run.explain(HOSTILE).tokens[-2],
        report,
        Inspection((ExampleView(HOSTILE, (token,)),), report, 1, 1, 0, 1, True, False),
        WrongShare(HOSTILE, 0.1, 0.05, {HOSTILE: 0.1}),
        Metrics(measured),
        PlantedFile(
            data=Path(HOSTILE), truth=Path("b"), examples=1, noisy=1, spans={HOSTILE: 1}, wrong_share=0.1, report=report
        ),
        RelabelledFile(files=[Path(HOSTILE)]),
        Exported((Path(HOSTILE),), (), export, (), {HOSTILE: 3}),
    ]


def test_every_result_shows_itself_with_data_escaped(run: Run) -> None:
    for result in results(run):
        html = result._repr_html_()
        assert html.startswith("<")
        assert "<script>" not in html, type(result)
