"""A scorer that says more than a number, and one that makes examples of its own while it is fitted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import xtf
from tests.conftest import tiny_config
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.errors import PluginError
from xtf.noise import Planting, choose_kinds, plant_examples
from xtf.noise.plant import char_spans
from xtf.tokens import TokenizedExample


class Rival(xtf.Attribute[xtf.NoParams]):
    """Probability of the token, and what the model would rather have written."""

    name = "rival"
    is_probability: ClassVar[bool] = True
    planted: ClassVar[list[Any]] = []

    def requires(self) -> set[Any]:
        return {xtf.LogProb(), xtf.TopTokens(), xtf.MaxLogProb()}

    def details(self) -> dict[str, xtf.Detail]:
        return {
            "kind": xtf.Detail("category", ("the likeliest", "another")),
            "rival": xtf.Detail("token"),
            "rival_probability": xtf.Detail("probability"),
        }

    def fit(self, context: xtf.FitContext) -> None:
        planting = Planting(choose_kinds(["uniform", "digits", "moved"]), 0.3, context.seed, "fit")
        self.planted[:] = plant_examples(context.examples, context, planting)
        seen = {}
        for positions, signals in context.signals([p.example for p in self.planted], {xtf.LogProb()}):
            for row, position in enumerate(positions):
                seen[position] = signals[xtf.LogProb()][row]
        assert sorted(seen) == list(range(len(self.planted)))

    def score(self, signals: xtf.Signals) -> xtf.Scored:
        top = signals[xtf.TopTokens()][..., 0]
        own = signals.tokens.input_ids
        return xtf.Scored(
            signals[xtf.LogProb()].exp(),
            {"kind": (top != own).long(), "rival": top, "rival_probability": signals[xtf.MaxLogProb()].exp()},
        )


def test_details_are_stored_read_and_kept(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, scoring={"examples_per_shard": 5, "fit_examples": 4})
    run = xtf.score(config, attributes={"rival": Rival(xtf.NoParams())})
    assert run.details["rival"]["kind"].names == ("the likeliest", "another")
    assert run.probabilities == ["rival"]
    assert run.detail_columns == ["rival.kind", "rival.rival", "rival.rival_probability"]
    model = tiny_model("llama")
    checked = 0
    for shard in run.shards(["rival", *run.detail_columns]):
        for index in range(len(shard)):
            one = shard.example(index)
            with torch.no_grad():
                logits = model(torch.from_numpy(one.input_ids.astype(np.int64))[None]).logits[0]
            for i in np.flatnonzero(one.is_response):
                best = int(logits[i - 1].argmax())
                assert one.details["rival.rival"][i] == best
                assert one.details["rival.kind"][i] == (best != one.input_ids[i])
                wanted = float(logits[i - 1].softmax(-1).max())
                assert one.details["rival.rival_probability"][i] == pytest.approx(wanted, rel=1e-3)
                checked += 1
            outside = ~one.is_response
            assert (one.details["rival.rival"][outside] == -1).all()
            assert np.isnan(one.details["rival.rival_probability"][outside]).all()
    assert checked > 50
    files = sorted((run.path / "scores").glob("*.parquet"))
    before = [file.read_bytes() for file in files]
    files[1].unlink()
    xtf.score(config, attributes={"rival": Rival(xtf.NoParams())})
    assert [file.read_bytes() for file in files] == before
    both = xtf.score(config, attributes={"rival": Rival(xtf.NoParams()), "dice": dice()})
    assert [s.details["rival.kind"].tolist() for s in both.shards(["dice", "rival.kind"])]
    assert xtf.label(both).summary().masked_tokens >= 0


def dice() -> Any:
    from xtf.attribute import registry

    return registry.build("random", {})


def test_what_is_planted_while_fitting_is_wrong_where_it_is_said_to_be(tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.score(tiny_config(tmp_path, tiny_folder), attributes={"rival": Rival(xtf.NoParams())})
    clean: dict[str, TokenizedExample] = {}
    for shard in run.shards([]):
        for i in range(len(shard)):
            one = shard.example(i)
            clean[one.example_ids[0]] = TokenizedExample(
                one.example_ids[0], one.input_ids, one.is_response, one.is_protected
            )
    wrong = 0
    for planted in Rival.planted:
        before, after = clean[planted.example.example_id], planted.example
        assert not (planted.kinds[~after.is_response] >= 0).any()
        assert not (planted.kinds[after.is_protected] >= 0).any()
        kept = [run.vocabulary.pieces[int(i)] for i in before.input_ids[~before.is_response]]
        assert kept == [run.vocabulary.pieces[int(i)] for i in after.input_ids[~after.is_response]]
        wrong += int((planted.kinds >= 0).sum())
    assert wrong > 20


class Silent(Rival):
    """Declares details that it does not return."""

    name = "silent"

    def score(self, signals: xtf.Signals) -> Any:
        return signals[xtf.LogProb()].exp()


def test_details_that_are_not_as_declared_are_refused(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(PluginError, match=r"must return the details that details\(\) declares, kind, rival"):
        xtf.score(tiny_config(tmp_path, tiny_folder), attributes={"silent": Silent(xtf.NoParams())})


@pytest.mark.parametrize(
    ("pieces", "spans"),
    [
        ([b"ab", b"c"], [(0, 2), (2, 3)]),
        (["é".encode()[:1], "é".encode()[1:], b"x"], [(0, 1), (0, 1), (1, 2)]),
        (["🙂".encode()[:2], "🙂".encode()[2:], "é".encode()], [(0, 1), (0, 1), (1, 2)]),
        ([b"", b"a"], [(0, 0), (0, 1)]),
        ([], []),
    ],
)
def test_characters_of_tokens(pieces: list[bytes], spans: list[tuple[int, int]]) -> None:
    assert char_spans(pieces) == spans


def test_text_goes_on_as_it_would_behind_other_text() -> None:
    from xtf.engine.fit import EngineFitContext
    from xtf.model import Embedder, LoadedModel

    loaded = LoadedModel.from_objects(tiny_model("llama"), tiny_tokenizer())
    context = EngineFitContext([], loaded, Embedder(loaded))
    for text in ("The sum is 12.", " and more", "", "é🙂x", "\n\n a"):
        assert b"".join(context.pieces(context.encode(text))).decode() == text
    assert "<|end|>" not in context.vocabulary()


class Telling(Rival):
    """Puts its details into words."""

    name = "telling"

    def default_cut(self) -> dict[str, Any]:
        return {"kind": "below", "cut": 0.5}

    def describe_token(self, score: float, details: Any) -> str:
        return f"{score:.2f}, {details['kind']}: {details['rival']!r} ({details['rival_probability']:.2f})"


def test_sentences_tell_the_details_in_terminal_and_page(tmp_path: Path, tiny_folder: Path) -> None:
    from xtf.attribute import registry

    xtf.register(Telling)
    try:
        run = xtf.run(tiny_config(tmp_path, tiny_folder, attributes={"telling": {}}))
        explained = run.explain("sum-3")
        shard = next(run.shards(["telling", *run.detail_columns]))
        one = shard.example(list(shard.example_ids).index("sum-3"))
        told = 0
        for token in explained.tokens:
            if token.is_response:
                piece = run.vocabulary.pieces[int(one.details["telling.rival"][token.index])]
                rival = re.sub(
                    r"\\x(..)", lambda byte: f"<{byte[1].upper()}>", piece.decode("utf-8", "backslashreplace")
                )
                kind = ("the likeliest", "another")[int(one.details["telling.kind"][token.index])]
                wanted = f"{token.verdicts[0].value:.2f}, {kind}: {rival!r}"
                assert str(token.verdicts[0].meaning).startswith(wanted)
                told += token.noise and wanted in token.sentence
        assert told > 0
        assert "telling" in run.report().html
        (wrong,) = run.expected_wrong()
        assert set(wrong.kinds) == {"the likeliest", "another"}
    finally:
        registry._registered.pop("telling")
