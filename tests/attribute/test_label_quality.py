"""The label-quality detector: what it looks at, how it learns, that nothing it saw a copy of is judged by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import QuantileTransformer
from xtf_attributes.label_quality import LabelQuality, LabelQualityParams
from xtf_attributes.label_quality.calibration import Answers, Calibration, Evidence, estimate_share
from xtf_attributes.label_quality.checks import SUMS
from xtf_attributes.label_quality.committee import Committee, Lessons
from xtf_attributes.label_quality.copies import copies_of_each, plant_copies
from xtf_attributes.label_quality.false_sums import blame_false_sums, steps_of_false_sums
from xtf_attributes.label_quality.fitting import _suspects
from xtf_attributes.label_quality.folds import FOLDS, folds_of
from xtf_attributes.label_quality.networks import train_networks
from xtf_attributes.label_quality.scaling import Scaling
from xtf_attributes.label_quality.spelling import Spelling
from xtf_attributes.label_quality.trees import train_trees
from xtf_attributes.label_quality.window import Window, read_window, state_requests

import xtf
from tests.attribute.test_echoes import search_echoes
from tests.conftest import chat_row, tiny_config
from xtf.attribute import registry
from xtf.engine.fit import EngineFitContext
from xtf.model import Embedder, load_model
from xtf.noise import Planting, choose_kinds, plant_examples
from xtf.testing import MadeUpFitContext, example_batch, made_up_signals
from xtf.tokens import TokenBatch, TokenizedExample

SMALL = {"networks": 1, "directions": 8, "kinds": ("uniform", "moved")}


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Answers that all go alike, about different numbers and things."""
    things = ["apples", "pears", "trains", "three", "markets", "questions"]
    return [
        chat_row(
            f"row-{i}",
            f"Maria has {i} {things[i % 6]}. How many does she have now?",
            f"She starts with {i} {things[i % 6]}. Then {i} + 5 = {i + 5}. The answer is {i + 5}. She has {i + 5} now.",
        )
        for i in range(start, start + count)
    ]


def better(wrong: list[float], right: list[float]) -> float:
    """The share of pairs in which the wrong token scores lower: AUROC by counting."""
    pairs = [(w < r) + 0.5 * (w == r) for w in wrong for r in right]
    return float(np.mean(pairs))


def test_planted_mistakes_score_lower_and_are_named(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, rows(60))
    run = xtf.score(config, attributes={"label_quality": LabelQuality(LabelQualityParams(**SMALL))})
    assert run.probabilities == ["label_quality"]
    loaded = load_model(xtf.load_config(config).model)
    examples = examples_of(run)
    context = EngineFitContext(examples[:40], loaded, Embedder(loaded), seed=3)
    scorer = LabelQuality(LabelQualityParams(**SMALL))
    scorer.fit(context)
    planted = plant_examples(examples[40:], context, Planting(choose_kinds(["uniform", "moved"]), 0.1, 9, "judge"))
    wrong: list[float] = []
    right: list[float] = []
    for positions, signals in context.signals([one.example for one in planted], scorer.requires()):
        scored = scorer.score(signals)
        assert set(scored.details) == set(scorer.details())
        for row, position in enumerate(positions):
            one = planted[position]
            for i in np.flatnonzero(one.example.is_response):
                (wrong if one.kinds[i] >= 0 else right).append(float(scored.score[row, i]))
    assert len(wrong) > 20
    assert better(wrong, right) > 0.7  # a random model knows nothing but which tokens there are
    assert np.mean(np.array(right) < 0.5) < 0.1


def examples_of(run: Any) -> list[TokenizedExample]:
    found = []
    for shard in run.shards([]):
        for i in range(len(shard)):
            one = shard.example(i)
            found.append(TokenizedExample(one.example_ids[0], one.input_ids, one.is_response, one.is_protected))
    return found


def test_a_fold_learns_nothing_from_its_own_examples() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(90, 4)).astype(np.float32)
    classes = np.asarray(features[:, 0] > 0.5, np.int64)
    fold = np.arange(90) % FOLDS
    first = train_networks(features, classes, fold, 2, 0), train_trees(features, classes > 0, fold, 0)
    features[fold == 1], classes[fold == 1] = 9.0, 1
    second = train_networks(features, classes, fold, 2, 0), train_trees(features, classes > 0, fold, 0)
    for before, after, names in zip(
        first, second, [("first", "first_bias", "second", "second_bias"), ("start", "threshold", "answer")], strict=True
    ):
        for name in names:
            same = [torch.equal(getattr(before, name)[one], getattr(after, name)[one]) for one in range(FOLDS)]
            assert same == [False, True, False]


def test_an_example_is_judged_by_the_learners_of_its_own_fold() -> None:
    scorer = fitted()
    batch = TokenBatch.collate(example_batch())
    detector = scorer._detector
    detector.calibration.line[:] = torch.tensor([1.0, 0.0])
    detector.committee.trees.start[:] = 0.0  # with so few tokens they may be sure that everything is right
    before = scorer.score(made_up_signals(scorer, batch)).score
    own = int(folds_of(batch.example_ids)[0])
    networks, trees = detector.committee.networks, detector.committee.trees

    def changed() -> list[bool]:
        after = scorer.score(made_up_signals(scorer, batch)).score
        return [bool((before[row] != after[row]).any()) for row in range(len(batch.example_ids))]

    expected = [int(one) == own for one in folds_of(batch.example_ids)]
    trees.start[own] += 1.0
    assert changed() == expected
    trees.start[own] -= 1.0
    networks.second[own] = 0.0
    networks.second_bias[own] = torch.linspace(0.0, 1.0, networks.classes)
    assert changed() == expected


def test_folds_depend_on_the_id_alone_and_are_about_equal() -> None:
    ids = [f"example-{i}" for i in range(3000)]
    assert torch.equal(folds_of(ids)[7:], folds_of(ids[7:]))
    assert (torch.bincount(folds_of(ids), minlength=FOLDS) > 900).all()


def fitted() -> LabelQuality:
    scorer = LabelQuality(LabelQualityParams(**SMALL))
    scorer.fit(MadeUpFitContext(example_batch()))
    return scorer


def test_what_was_learned_survives_saving(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(
        tmp_path,
        tiny_folder,
        rows(24),
        scoring={"examples_per_shard": 6, "fit_examples": 12},
    )
    attribute = {"label_quality": LabelQuality(LabelQualityParams(**SMALL))}
    run = xtf.score(config, attributes=attribute)
    files = sorted((run.path / "scores").glob("*.parquet"))
    before = [file.read_bytes() for file in files]
    files[2].unlink()
    xtf.score(config, attributes={"label_quality": LabelQuality(LabelQualityParams(**SMALL))})
    assert [file.read_bytes() for file in files] == before


def _evidence(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Of planted mistakes, N(2, 1), to data in which a share is wrong already: N(2, 1), the rest N(0, 1)."""
    likelihood = np.exp(2.0 * values - 2.0)  # of wrong to right
    found: NDArray[np.float64] = np.log(likelihood / (share * likelihood + 1.0 - share))
    return found


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.3])
def test_the_share_of_wrong_tokens_is_found_though_the_networks_learned_it_as_right(share: float) -> None:
    random = np.random.default_rng(1)
    data = random.normal(np.where(random.random(60_000) < share, 2.0, 0.0))
    planted = random.normal(2.0, size=20_000)
    found = estimate_share(_evidence(data, share), _evidence(planted, share))
    assert share - 0.01 <= found <= share + 0.03


def test_probabilities_are_calibrated_on_data_that_was_learned_from() -> None:
    random = np.random.default_rng(2)
    share = 0.1

    def answers(planted: float, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-odds that are too sure of themselves, which tokens were planted, and which are wrong."""
        copied = random.random(count) < planted
        wrong = copied | (random.random(count) < share)
        evidence = _evidence(random.normal(np.where(wrong, 2.0, 0.0)), share)
        return torch.from_numpy(1.5 * evidence).float(), torch.from_numpy(copied), torch.from_numpy(wrong)

    copies, planted, _ = answers(0.2, 40_000)
    data, _, wrong = answers(0.0, 40_000)
    alone = torch.arange(40_000)
    evidence = Evidence.of(Answers(copies, alone), planted, 0.0)
    on_data = Answers(data, alone)
    expected = estimate_share(evidence.at(on_data), evidence.at(Answers(copies, alone))[planted.numpy()])
    found = Calibration.of(evidence, expected).wrong(on_data)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (found >= low) & (found < low + 0.2)
        assert float(found[inside].mean()) == pytest.approx(float(wrong[inside].float().mean()), abs=0.12)
    assert float(found.mean()) == pytest.approx(share, abs=0.025)


def test_suspects_are_the_likeliest_tokens_that_nothing_was_planted_at() -> None:
    evidence = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0, 6.0])
    planted = torch.tensor([True] + [False] * 10 + [True])
    assert _suspects(evidence, planted, 0.2).nonzero().flatten().tolist() == [1, 2]
    assert _suspects(evidence, planted, 1.0).nonzero().flatten().tolist() == [1, 2, 3], "never more than 30 %"
    assert not _suspects(np.zeros(12), planted, 0.2).any(), "where nothing is told apart, nothing is left out"


def test_a_false_sum_of_the_data_itself_is_not_learned_from() -> None:
    #       step 0: false, none planted | step 1: false, planted | step 2: no sum | next row, step 3: false
    sums = torch.tensor([0, 2, 2, 0, 2, 2, 2, 1, 0, 0, 2, 0])
    step = torch.tensor([0] * 4 + [1] * 4 + [2] * 2 + [3] * 2)
    row = torch.tensor([0] * 10 + [1] * 2)
    planted = torch.zeros(12, dtype=torch.bool)
    planted[[5, 11]] = True
    nothing = torch.zeros(12, 1)
    found = steps_of_false_sums(Window(nothing, nothing, row, step, sums), planted)
    assert found.nonzero().flatten().tolist() == [0, 1, 2, 3, 10]


def test_of_a_false_sum_some_token_is_wrong() -> None:
    #                     no sum | false, its result of two tokens | holds | next row: a false sum of one token
    sums = torch.tensor([0, 2, 2, 3, 3, 1, 2])
    row = torch.tensor([0] * 6 + [1])
    wrong = torch.tensor([0.3, 0.01, 0.02, 0.001, 0.04, 0.2, 1e-5])
    nothing = torch.zeros(7, 1)
    found = blame_false_sums(wrong, Window(nothing, nothing, row, row, sums))
    result = 3 * 0.04 / 0.96 / (1 + 3 * 0.04 / 0.96)
    some = 1 - 0.99 * 0.98 * (1 - result)
    expected = [0.3, 0.9 * 0.01 / some, 0.9 * 0.02 / some, 0.9 * result / some, 0.9 * result / some, 0.2, 0.9]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    suspected = torch.tensor([0.0, 0.6, 0.1, 0.0, 0.0, 0.0, 1.0])
    assert torch.equal(blame_false_sums(suspected, Window(nothing, nothing, row, row, sums)), suspected)


def test_ranks_are_scikit_learns() -> None:
    random = np.random.default_rng(3)
    values = np.stack([random.gamma(2.0, size=900), random.integers(0, 4, 900), np.zeros(900)], axis=1)
    values = values.astype(np.float32)
    scaling = Scaling.of(torch.from_numpy(values), torch.from_numpy(values))
    fresh = np.concatenate([values[:50] * 1.1, [[-5.0, -5.0, -5.0], [50.0, 50.0, 50.0]]]).astype(np.float32)
    mine = scaling.apply(torch.from_numpy(fresh), torch.from_numpy(fresh)).numpy()
    theirs = QuantileTransformer(n_quantiles=129, subsample=None).fit(values).transform(fresh)
    inside = (theirs[:, :2] > 1e-6) & (theirs[:, :2] < 1 - 1e-6)
    assert torch.special.ndtr(torch.from_numpy(mine[:, :2])).numpy()[inside] == pytest.approx(
        theirs[:, :2][inside], abs=1e-5
    )
    deviation = np.maximum(values.std(axis=0), 1e-6)
    assert mine[:, 3:] == pytest.approx(np.clip((fresh - values.mean(axis=0)) / deviation, -6, 6), abs=1e-4)


def test_a_fold_that_none_learned_from_belongs_to_is_judged_by_all_of_them() -> None:
    random = np.random.default_rng(9)
    features = random.normal(size=(120, 4)).astype(np.float32)
    classes, fold = np.asarray(features[:, 0] > 0.0, np.int64), np.zeros(120, np.int64)
    lessons = Lessons(torch.from_numpy(features), 4, torch.from_numpy(classes), torch.from_numpy(fold))
    committee = Committee.train(lessons, torch.ones(120, dtype=torch.bool), 1, 0)
    found = committee.judge(torch.from_numpy(features), torch.full((120,), FOLDS - 1)).log_odds.numpy()
    assert better([-one for one in found[classes > 0]], [-one for one in found[classes == 0]]) > 0.95


def test_networks_answer_as_scikit_learn() -> None:
    random = np.random.default_rng(4)
    features = random.normal(size=(400, 5)).astype(np.float32)
    for count in (2, 4):
        classes = np.argmax(features[:, :count], axis=1)
        fold = np.zeros(400, np.int64)
        fold[200:] = 1
        mine = train_networks(features, classes, fold, 1, 7)
        theirs = MLPClassifier((128,), alpha=0.1, batch_size=200, max_iter=40, random_state=7)
        with pytest.warns(ConvergenceWarning):
            theirs.fit(features[200:], classes[200:])
        found = mine.probabilities(torch.from_numpy(features), torch.from_numpy(fold)).numpy()
        assert found[:200] == pytest.approx(theirs.predict_proba(features[:200]), abs=1e-4)


def test_networks_with_nothing_to_tell_apart_call_everything_right() -> None:
    features = np.ones((8, 3), np.float32)
    networks = train_networks(features, np.array([0, 0, 0, 0, 1, 2, 1, 2]), np.array([0] * 4 + [1] * 4), 1, 0)
    answers = networks.probabilities(torch.ones(2, 3), torch.tensor([1, 1]))
    assert (answers[:, 0] > 0.999).all()


def test_trees_answer_as_scikit_learn() -> None:
    random = np.random.default_rng(5)
    features = random.normal(size=(700, 6)).astype(np.float32)
    wrong = features[:, 0] * features[:, 1] + 0.3 * random.normal(size=700) > 0.4
    fold = np.repeat([0, 1], [300, 400])
    mine = train_trees(features, wrong, fold, 7)
    theirs = HistGradientBoostingClassifier(
        max_iter=100,
        learning_rate=0.08,
        max_leaf_nodes=15,
        max_features=0.2,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=7,
    ).fit(features[fold == 1], wrong[fold == 1])
    found = mine.log_odds(torch.from_numpy(features), torch.from_numpy(fold)).numpy()
    assert found[fold == 0] == pytest.approx(theirs.decision_function(features[fold == 0]), abs=1e-5)
    assert np.ptp(found) > 2.0


def test_trees_with_nothing_to_tell_apart_call_everything_right() -> None:
    random = np.random.default_rng(6)
    features = random.normal(size=(80, 3)).astype(np.float32)
    wrong = (features[:, 0] > 0) & (np.arange(80) >= 40)
    trees = train_trees(features, wrong, np.repeat([0, 1], 40), 0)
    answers = trees.log_odds(torch.from_numpy(features), torch.tensor([1] * 40 + [0] * 40))
    assert (answers[:40] < -20.0).all(), "those of fold 1 learned from fold 0, where all is right"
    assert float(answers[40:].max() - answers[40:].min()) > 1.0


def test_trees_count_twice_in_a_committee_and_its_networks_name_kinds() -> None:
    random = np.random.default_rng(8)
    features = torch.from_numpy(random.normal(size=(300, 5)).astype(np.float32))
    classes = torch.from_numpy(np.argmax(features[:, :3].numpy(), axis=1).astype(np.int64))
    fold = torch.arange(300) % FOLDS
    used = torch.arange(300) % 5 > 0
    lessons = Lessons(features, 4, classes, fold)
    committee = Committee.train(lessons, used, 1, 3)
    others = committee.with_networks(lessons, ~used, 1, 3)
    assert others.trees is committee.trees
    assert not torch.equal(others.networks.first, committee.networks.first)
    changed = features.clone()
    changed[:, 4] = 0.0
    assert torch.equal(committee.trees.log_odds(changed, fold), committee.trees.log_odds(features, fold))
    p = committee.networks.probabilities(features, fold).double()
    networks = ((p[:, 1] + p[:, 2]) / p[:, 0]).log()
    opinion = committee.judge(features, fold)
    mean = (networks + 2 * committee.trees.log_odds(features, fold)) / 3
    assert opinion.log_odds.numpy() == pytest.approx(mean.numpy(), abs=1e-3)
    assert opinion.kinds.numpy() == pytest.approx((p[:, 1:] / (1 - p[:, :1])).numpy(), abs=1e-3)


def test_the_window_by_hand() -> None:
    scorer = fitted()
    batch = TokenBatch.collate(example_batch())
    signals = made_up_signals(scorer, batch)
    ends = torch.zeros(50, dtype=torch.bool)
    ends[batch.input_ids[0, 5]] = True
    spelling = Spelling([b"end." if end else b"word" for end in ends.tolist()])
    window = read_window(signals, state_requests(2 / 3, scorer._projection), spelling)
    loss = -signals[xtf.LogProb()]
    places = [(row, i) for row, own in enumerate(batch.is_response.tolist()) for i, inside in enumerate(own) if inside]
    steps: dict[int, set[tuple[int, int]]] = {}
    for n, (row, i) in enumerate(places):
        assert int(window.row[n]) == row
        for k, offset in enumerate(range(-2, 5)):
            inside = 0 <= i + offset < batch.input_ids.shape[1] and bool(batch.is_response[row, i + offset])
            expected = float(loss[row, i + offset]) if inside else 0.0
            assert float(window.surprise[n, 6 * k]) == pytest.approx(expected, abs=1e-5)
        ids = batch.input_ids[row, : int(batch.lengths[row])].tolist()
        assert window.surprise[n, -14:-12].tolist() == [float(ids[i] in ids[:i]), float(ids[i] in ids[i + 1 :])]
        assert window.surprise[n, -6:-3].tolist() == search_echoes(ids)[i]
        steps.setdefault(int(window.step[n]), set()).add((row, i))
    for step in steps.values():
        assert len({row for row, _ in step}) == 1
        first, last = min(step), max(step)
        assert len(step) == last[1] - first[1] + 1  # without a gap
        assert not any(ends[batch.input_ids[place]] for place in step - {last})
        assert bool(ends[batch.input_ids[last]]) or (last[0], last[1] + 1) not in places
    losses = {place: float(loss[place]) for place in places}
    mean_of_steps = 6 * 7 + 1 + 4 + 4
    for n, place in enumerate(places):
        (step,) = [members for members in steps.values() if place in members]
        values = [losses[member] for member in step]
        assert float(window.surprise[n, mean_of_steps]) == pytest.approx(np.mean(values), abs=1e-5)
        assert float(window.surprise[n, mean_of_steps + 4]) == pytest.approx(max(values), abs=1e-5)
        echoes = [window.surprise[places.index(member), -6].item() for member in step]
        assert float(window.surprise[n, -3]) == pytest.approx(np.mean(echoes))


def test_sentences() -> None:
    scorer = LabelQuality(LabelQualityParams())
    details = {
        "kind": "a changed number or unit",
        "kind_probability": 0.71,
        "sum": SUMS[1],
        "alternative": " 24",
        "alternative_probability": 0.62,
        "probability": 0.03,
    }
    assert scorer.describe_token(0.2, details) == "looks like a changed number or unit (0.71); expected ' 24' (0.62)"
    said = [scorer.describe_token(0.2, details | {"sum": one}).partition("; ")[2] for one in SUMS[2:]]
    assert said == ["its sum fails", "in a false result"]
    details |= {"alternative_probability": 0.9, "probability": 0.9}
    assert scorer.describe_token(0.97, details) == "looks right (0.97); expected too (0.90)"


def test_unknown_kinds_are_refused_with_a_hint() -> None:
    with pytest.raises(Exception, match="Did you mean 'spelling'"):
        registry.build("label_quality", {"kinds": ["speling"]})


class Letters(MadeUpFitContext):
    """A context whose tokens are bytes."""

    def decode(self, ids: Any) -> str:
        return bytes(ids.tolist()).decode()

    def encode(self, text: str) -> Any:
        return np.array(list(text.encode()), np.int32)

    def pieces(self, ids: Any) -> list[bytes]:
        return [bytes([i]) for i in ids.tolist()]

    def vocabulary(self) -> list[str]:
        return list("abcdefgh")


def spelt(name: str, text: str) -> TokenizedExample:
    ids = np.array(list(("?" + text).encode()), np.int32)
    inside = np.arange(len(ids)) > 0
    return TokenizedExample(name, ids, inside, np.zeros(len(ids), np.bool_))


def test_no_kind_that_fits_is_planted_much_less_often_than_others() -> None:
    text = (
        "Anna has {0} red apples and Peter has {1} pears. They are sold for {2} dollars on Monday. Is Anna not happy?"
    )
    examples = [spelt(f"e{i}", text.format(i, i + 3, 2 * i)) for i in range(12, 132)]
    kinds = choose_kinds(["digits", "spelling", "swapped_names", "left_out", "code_call"])
    planted = plant_copies(Letters(examples), examples, kinds, lambda example: [])
    wrong = [sum(int((one.kinds == i).sum()) for one in planted) for i in range(len(kinds))]
    assert wrong[-1] == 0
    assert min(wrong[:-1]) > 0.4 * np.mean(wrong[:-1])
    assert [one.example.example_id for one in planted[:120]] == [one.example_id for one in examples]
    for one in planted:
        assert len(np.unique(one.kinds[one.kinds >= 0])) <= 1
        assert not (one.kinds[~one.example.is_response] >= 0).any()


def test_program_text_gets_the_mistakes_of_programs() -> None:
    text = "def f(a{0}, b):\n    if a{0} < b and b != 3:\n        return max(a{0}, b)\n    return a{0} + b\n"
    examples = [spelt(f"e{i}", text.format(i)) for i in range(60)]
    kinds = choose_kinds(["uniform", "digits", "code_operator", "code_name", "code_call"])
    planted = plant_copies(Letters(examples), examples, kinds, lambda example: [])
    of_code = np.mean([one.kinds.max() >= 2 for one in planted])
    assert 0.65 < of_code < 0.95


def test_few_examples_are_copied_more_often() -> None:
    assert [copies_of_each(n) for n in (1, 80, 100, 150, 200, 399, 5000)] == [5, 5, 4, 3, 2, 2, 2]
