"""The page in a real browser: figures against Python, cards, filters, links, hostile data, accessibility, work."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.conftest import Open
from tests.report.made import BYTES, made_run
from xtf.api import Run, detect, label, open_run
from xtf.config import RunConfig
from xtf.evaluation.detection import describe_detection
from xtf.labelling import Tally, fit_rules, judge
from xtf.report import write_report

Small = tuple[Run, Path]

SET = """([cuts, combine]) => {
  const { model } = Model;
  model.settings = structuredClone(model.data.asRun);
  for (const [name, cut] of Object.entries(cuts)) model.settings.cuts[name] = { ...model.settings.cuts[name], ...cut };
  model.settings.combine = { ...model.settings.combine, ...combine };
  Model.update();
  const { figures, labels } = model;
  return { figures, estimate: model.estimate, unknown: model.unknown, command: Model.command(),
    noise: Array.from(labels.noise), lacking: Array.from(labels.lacking) };
}"""


def expected(run: Run, thresholds: dict[str, Any], combine: dict[str, Any]) -> tuple[Any, list[int], list[int]]:
    """What labelling gives with these settings: the summary, noise and lacking bits of the response tokens."""
    raw = run.config.model_dump(mode="json")
    for name, cut in thresholds.items():
        raw["thresholds"][name].update(cut)
    raw["combine"].update(combine)
    config = RunConfig.model_validate(raw)
    rules = fit_rules(list(config.attributes), config.thresholds, config.combine, run.shards, run.distributions())
    noise: list[int] = []
    lacking: list[int] = []
    tally = Tally()
    for shard in run.shards():
        labels = judge(rules, shard)
        tally.add(shard, labels)
        noise += labels.noise[shard.is_response].astype(int).tolist()
        lacking += labels.lacking[shard.is_response].tolist()
    return tally.result(rules.attributes), noise, lacking


def assert_same(found: dict[str, Any], run: Run, thresholds: dict[str, Any], combine: dict[str, Any]) -> None:
    summary, noise, lacking = expected(run, thresholds, combine)
    figures = found["figures"]
    assert found["lacking"] == lacking
    assert found["noise"] == noise
    assert figures["masked"] == summary.masked_tokens
    assert figures["response"] == summary.response_tokens
    assert figures["released"] == summary.released_by_guards
    assert figures["deciles"] == pytest.approx(list(summary.masked_share_by_decile), abs=1e-12)
    assert [(one["lacking"], one["masked"]) for one in figures["attributes"]] == [
        (one.lacking, one.masked) for one in summary.attributes
    ]
    assert {(tuple(o["attributes"]), o["tokens"], o["masked"]) for o in figures["overlaps"]} == {
        (o.attributes, o.tokens, o.masked) for o in summary.overlaps
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_opens_fits_and_switches_theme(small: Small, open_page: Open, width: int, theme: str) -> None:
    run, path = small
    page = open_page(path, width=width, theme=theme)
    assert page.inner_text("#masked-share") == f"{run.summary().masked_share:.1%} masked"
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate(background) != before
    page.click("#tab-examples")
    assert page.locator(".text .token").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate(background) != before, "the choice of theme survives"


@pytest.mark.parametrize("width", [1280, 390])
def test_card_by_mouse_and_keyboard_in_the_words_of_python(small: Small, open_page: Open, width: int) -> None:
    run, path = small
    example = list(run.example_ids())[3]
    explained = run.explain(example)
    page = open_page(path, f"#example={example}", width=width)
    response = [token for token in explained.tokens if token.is_response]
    page.evaluate("document.fonts.ready")
    chosen = "Number(document.querySelector('.token.current')?.dataset.token ?? -1)"
    for _ in range(3):  # a layout that still moves lets a click fall on a neighbour
        page.click(f"#t{response[1].index}", position={"x": 1, "y": 8})
        if page.evaluate(chosen) == response[1].index:
            break
        page.wait_for_timeout(300)
    page.wait_for_function("() => document.querySelector('.sentence')?.textContent.length > 5")
    assert page.text_content(".sentence") == response[1].sentence
    page.focus("#text")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(250)  # what the mouse rests on waits a moment to be shown, and must not come after a choice
    reached = page.evaluate("Number(document.querySelector('.token.current').dataset.token)")
    assert reached == response[1].index + 3
    token = explained.tokens[reached]
    if token.is_response:
        page.wait_for_function("() => document.querySelector('.sentence')?.textContent.length > 5")
        assert page.text_content(".sentence") == token.sentence
        assert (token.flip or "") in page.text_content(".flip")
    page.keyboard.press("Escape")
    assert page.locator(".token.current").count() == 0


def test_every_sentence_is_that_of_python(small: Small, open_page: Open) -> None:
    run, path = small
    page = open_page(path)
    words = page.evaluate(
        "(async () => { const { data } = Model.model; const all = [];"
        " for (let e = 0; e < data.count; e += 1) all.push(await data.words(e)); return all; })()"
    )
    for found, example in zip(words, run.example_ids(), strict=True):
        tokens = [token for token in run.explain(example).tokens if token.is_response]
        assert [one["sentence"] for one in found["tokens"]] == [token.sentence for token in tokens]
        assert [one["flip"] for one in found["tokens"]] == [token.flip for token in tokens]
        assert [one["rule"] for one in found["tokens"]] == [token.rule for token in tokens]
        assert [one["meanings"] for one in found["tokens"]] == [[v.meaning for v in token.verdicts] for token in tokens]
        assert found["cuts"] == [verdict.cut for verdict in tokens[0].verdicts]


def test_a_moved_cut_gives_the_figures_of_label(small: Small, open_page: Open, tmp_path: Path) -> None:
    import shutil

    run, path = small
    page = open_page(path)
    page.fill("#cut-novelty-cut", "0.3")
    page.fill("#cut-importance-k", "0.2")
    page.wait_for_function("() => document.querySelector('#command').textContent.includes('importance.k=0.2')")
    command = page.text_content("#command")
    overrides = [word for word in command.split() if "=" in word]
    assert overrides == ["thresholds.novelty.cut=0.3", "thresholds.importance.k=0.2"]
    shutil.copytree(run.path, tmp_path / "again")
    summary = label(tmp_path / "again", overrides).summary()
    assert page.inner_text("#masked-share") == f"{summary.masked_share:.1%} masked"
    assert (
        page.inner_text("#masked-tokens") == f"{summary.masked_tokens:,} of {summary.response_tokens:,} response tokens"
    )
    assert page.is_hidden("#estimate")
    page.click("#tab-examples")
    first = open_run(tmp_path / "again").explain(next(run.example_ids()))
    assert page.evaluate(
        "[...document.querySelectorAll('.token.noise[data-token]')].map(n => Number(n.dataset.token))"
    ) == [token.index for token in first.tokens if token.noise]
    page.click("#reset")
    assert page.inner_text("#masked-share") == f"{run.summary().masked_share:.1%} masked"
    assert page.input_value("#cut-novelty-cut") == "0.1"


CUTS: list[tuple[str, dict[str, Any]]] = [
    ("explicit", {"novelty": {"kind": "above", "cut": 0.7}, "importance": {"kind": "outside", "low": -1, "high": 1.5}}),
    (
        "shares",
        {
            "novelty": {"kind": "bottom_share", "share": 0.29, "scope": "dataset"},
            "importance": {"kind": "bottom_share", "share": 0.3333333333333333, "scope": "example"},
            "relevance": {"kind": "top_share", "keep": 0.6, "scope": "dataset"},
        },
    ),
    (
        "quartiles",
        {
            "novelty": {"kind": "iqr", "k": 0.3, "side": "both", "scope": "dataset"},
            "importance": {"kind": "iqr", "k": 0.1, "side": "high", "scope": "example"},
            "relevance": {"kind": "never"},
        },
    ),
]


COMBINE: list[dict[str, Any]] = [
    {"max_noise_share": 0.17},
    {"rule": "weighted", "weights": {"novelty": 2.0, "importance": 0.5}, "min_kept": 5},
    {"rule": "weighted", "threshold": {"kind": "bottom_share", "share": 0.413, "scope": "example"}},
    {"rule": "weighted", "threshold": {"kind": "iqr", "k": 0.1, "side": "both", "scope": "dataset"}},
    {"rule": "weighted", "threshold": {"kind": "outside", "low": 0.3, "high": 0.8}},
]


def moves(page: Any, rng: np.random.Generator, trial: str) -> dict[str, Any]:
    """A random setting of each control that the page offers for one cut: a step, or any number."""
    controls = page.evaluate(f"Model.model.data.run.trials.{trial}.controls")
    steps = {one["key"]: float(rng.choice(one["values"])) for one in controls if one["is"] == "steps"}
    numbers = [one["key"] for one in controls if one["is"] == "number"]
    drawn = sorted(round(float(number), 3) for number in rng.uniform(0.05, 0.9, len(numbers)))
    return {**steps, **dict(zip(numbers, drawn, strict=True))}


@pytest.mark.parametrize(
    ("thresholds", "combine"), [(CUTS[place % len(CUTS)][1], combine) for place, combine in enumerate(COMBINE)], ids=str
)
def test_rules_and_guards_are_those_of_python(
    open_page: Open, tmp_path: Path, thresholds: dict[str, Any], combine: dict[str, Any]
) -> None:
    run = made_run(tmp_path / "run", 12, 40, thresholds=thresholds, combine=combine, seed=len(thresholds))
    page = open_page(write_report(run))
    rng = np.random.default_rng(1)
    ranks = next(i for i, one in enumerate(page.evaluate("Model.model.data.run.trials.rules")) if "cutKey" in one)
    threshold = page.evaluate("Model.model.settings.combine.threshold")
    for rule in ({"rule": "any"}, {"rule": "all"}, {"rule": "vote", "votes": 2}, {"rule": "weighted"}):
        for guard in ({}, {"max_noise_share": 0.3, "min_kept": 12}, {"max_noise_share": 1.0, "min_kept": 0}):
            cuts = {name: moves(page, rng, f"cuts.{name}") for name in thresholds}
            moved = {"threshold": {**threshold, **moves(page, rng, f"rules[{ranks}]")}}
            now = {**rule, **guard, **(moved if rule["rule"] == "weighted" else {})}
            found = page.evaluate(SET, [cuts, now])
            assert (found["estimate"], found["unknown"]) == (False, False)
            assert_same(found, run, cuts, now)


def test_what_is_not_on_offer_is_left_to_the_command(small: Small, open_page: Open) -> None:
    run, path = small
    page = open_page(path)
    page.fill("#cut-importance-k", "0.123")
    page.wait_for_selector("#estimate:not([hidden])")
    assert page.inner_text("#estimate") == "as labelled: only the command can tell"
    assert page.inner_text("#masked-share") == f"{run.summary().masked_share:.1%} masked"
    assert page.text_content("#command").endswith("--set thresholds.importance.k=0.123")
    page.fill("#cut-importance-k", "0.15")
    page.wait_for_selector("#estimate", state="hidden")
    for change in ({"max_noise_share": 0.333}, {"rule": "of another package"}):
        found = page.evaluate(SET, [{}, change])
        assert found["unknown"], change


def test_otsu_clusters_can_be_chosen(small: Small, open_page: Open) -> None:
    run, path = small
    page = open_page(path)
    cuts = {"relevance": {"lacking": [1, 2]}}
    found = page.evaluate(SET, [cuts, {}])
    assert_same(found, run, cuts, {})
    assert "--set 'thresholds.relevance.lacking=[1,2]'" in found["command"]


def test_search_filter_and_sort(small: Small, open_page: Open) -> None:
    run, path = small
    page = open_page(path)
    page.click("#tab-examples")
    page.select_option("#order", "most")
    shares = {i: run.explain(i).noise_share for i in run.example_ids()}
    assert shares[page.inner_text(".row >> nth=0 >> .row-id")] == max(shares.values())
    page.fill("#least", "35")
    page.wait_for_function("() => document.querySelector('#found').textContent.includes(' of ')")
    expected_count = sum(share >= 0.35 for share in shares.values())
    assert page.inner_text("#found") == f"{expected_count} of 30 examples"
    page.fill("#least", "0")
    page.fill("#search", "made-0007")
    page.wait_for_function("() => document.querySelector('#found').textContent.startsWith('1 of')")
    page.focus("#list")
    page.keyboard.press("Home")
    assert page.inner_text("#example-title") == "made-0007"


KINDS = ("a changed number", "<b>foreign</b> text", "a stock phrase")


def test_kinds_are_counted_coloured_and_filtered(open_page: Open, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", kinds=KINDS)
    counts, having = dict.fromkeys(KINDS, 0), {kind: set[str]() for kind in KINDS}
    for shard, labels in run.labelled(["novelty", "novelty.kind"]):
        lacks = (labels.lacking & 1 == 1) & shard.candidates()
        for place, example in enumerate(shard.example_ids):
            here = slice(*shard.offsets[place : place + 2].tolist())
            for kind in shard.details["novelty.kind"][here][lacks[here]].tolist():
                counts[KINDS[kind]] += 1
                having[KINDS[kind]].add(example)
    page = open_page(write_report(run))
    text = page.inner_text(".overview")
    assert run.expected_wrong()[0].sentence()[1:] in text
    rows = page.eval_on_selector_all(
        "tr:has(.link)", "rows => rows.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent))"
    )
    assert {name: int(tokens) for name, _, tokens in rows} == counts
    assert [float(share[:-1]) / 100 for _, share, _ in rows] == pytest.approx(
        list(run.expected_wrong()[0].kinds.values()), abs=1e-4
    )
    page.click(".link >> text=<b>foreign</b> text")
    assert page.inner_text("#found") == f"{len(having[KINDS[1]])} of 30 examples"
    assert page.inner_text("#example-title") in having[KINDS[1]]
    assert page.input_value("#colour") == "kind 0"
    legend = page.inner_text(".legend:visible")
    coloured = page.eval_on_selector_all(".token.scaled", "nodes => nodes.map((one) => one.getAttribute('aria-label'))")
    shown = sum("looks like <b>foreign</b> text" in label for label in coloured)
    assert shown > 0
    assert f"<b>foreign</b> text {shown}" in legend


def one_turn(run: Run, example: str) -> bool:
    inside = [token.is_response for token in run.explain(example).tokens]
    return sum(a != b for a, b in itertools.pairwise(inside)) == 1


def test_what_was_found_is_what_was_measured(open_page: Open, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", examples=12, kinds=KINDS)
    truth = tmp_path / "truth.jsonl"
    with truth.open("w", encoding="utf-8") as file:
        for place, example in enumerate(run.example_ids()):
            if one_turn(run, example):
                file.write(json.dumps({"id": example, "bad": [[place % 7, 9, "number"]]}) + "\n")
    found = detect(run, truth)
    page = open_page(write_report(run))
    assert page.inner_text(".found") == describe_detection(found)
    first = next(row for row in found["found"] if row["name"] == "novelty")
    cells = page.eval_on_selector_all(
        ".found ~ .scroll:first-of-type tbody tr:first-child td", "c => c.map((x) => x.textContent)"
    )
    auroc = first["auroc"]
    assert cells[1] == f"{auroc['value']:.2f} [{auroc['low']:.2f}, {auroc['high']:.2f}]"
    assert cells[4] == f"{first['precision']['value']:.1%}"
    assert "a changed number" in page.inner_text(".overview")
    assert page.locator(".stale").count() == 0
    page = open_page(write_report(label(run, ["thresholds.novelty.cut=0.3"])))
    assert f"xtf evaluate {run.path} --truth {truth}" in page.inner_text(".stale")


def test_a_link_leads_to_a_token_and_survives_a_reload(small: Small, open_page: Open) -> None:
    run, path = small
    page = open_page(path, "#example=made-0011&token=30")
    for _ in range(2):
        assert page.inner_text("#example-title") == "made-0011"
        assert page.get_attribute(".token.current", "data-token") == "30"
        page.reload()
        page.wait_for_selector("html[data-ready]")
    page.focus("#text")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("location.hash") == "#example=made-0011&token=29"
    assert run.path.name in page.title()


def test_hostile_data_is_text(open_page: Open, tmp_path: Path) -> None:
    attack = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    pieces = [
        *(attack, "</script><script>window.hacked=1</script>", "<!--", "-->", "javascript:window.hacked=1"),
        *("\"'`", "{{7*7}}${7*7}", "\u2028\u2029", "\x00\x1b[31m", "\u202eabc", "]]>", "A" * 100_000),
        *("\\u003cscript\\u003e", "&lt;b&gt;", "<|end|>"),
    ]
    ids = [attack, "javascript:alert(1)", '"><svg onload=window.hacked=1>', "a/b?c#d&e=f", *(f"e{i}" for i in range(6))]
    run = made_run(tmp_path / "run", tokens=60, pieces=[piece.encode() for piece in pieces], ids=ids)
    path = write_report(run)
    assert "window.hacked" not in path.read_text(encoding="utf-8").replace("u003e", "").split('id="payload">')[0]
    page = open_page(path)
    for example in ids:
        page.evaluate("(id) => { location.hash = `example=${encodeURIComponent(id)}&token=30`; }", example)
        page.wait_for_selector(".sentence:not(:text-is('…')), .badge.prompt")
        assert page.inner_text("#example-title").startswith(example[:10])
        assert page.inner_text(".card-text").strip()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, #app script").count() == 0
    assert page.evaluate("[...document.querySelectorAll('a')].every(a => a.getAttribute('href').startsWith('#'))")
    shown = page.evaluate("document.querySelector('.text').textContent")
    assert "<U+2028>" in shown or "<script>" in shown or "window.hacked" in shown
    policy = page.get_attribute("meta[http-equiv]", "content")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_accessible(small: Small, browser: Any, axe: str, width: int, theme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 860}, color_scheme=theme, bypass_csp=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(small[1].as_uri())
    page.wait_for_selector("html[data-ready]")
    page.evaluate(axe)
    for place in ("overview", "#example=made-0003&token=25", "colour"):
        if place.startswith("#"):
            page.evaluate("(hash) => { location.hash = hash; }", place)
            page.wait_for_selector(".token.current")
        elif place == "colour":
            page.select_option("#colour", "percentile 0")
        result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        serious = [
            (violation["id"], violation["nodes"][0]["html"][:160], violation["nodes"][0]["failureSummary"][:300])
            for violation in result["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert serious == [], place
    context.close()


def test_a_large_run_is_small_and_little_is_made_of_it_at_first(open_page: Open, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pieces = [bytes(rng.integers(97, 123, 6).tolist()) for _ in range(8000)]
    run = made_run(tmp_path / "run", examples=1000, tokens=200, pieces=pieces)
    path = write_report(run)
    assert path.stat().st_size < 8_000_000
    page = open_page(path)
    elements, unpacked = "document.querySelectorAll('#app *').length", "Model.model.data.chunks.size"
    assert page.evaluate(elements) < 3000, "what is on screen does not grow with the run"
    assert page.evaluate(unpacked) == 0, "sentences are unpacked when a token is chosen"
    page.click("#tab-examples")
    assert page.locator(".row").count() < 60, "only the rows in sight are elements"
    page.click(".segment.answer .token >> nth=3")
    page.wait_for_function("() => document.querySelector('.sentence')?.textContent.length > 5")
    assert page.evaluate(unpacked) == 1


def test_runs_side_by_side(open_page: Open, tmp_path: Path) -> None:
    one = made_run(tmp_path / "one", examples=6)
    other = made_run(tmp_path / "other", examples=6)
    other = label(other, ["thresholds.novelty.cut=0.4"])
    page = open_page(write_report(one, tmp_path / "both.html", compare=[other]), "#example=made-0002")
    differing = [
        a.index
        for a, b in zip(one.explain("made-0002").tokens, other.explain("made-0002").tokens, strict=True)
        if a.noise != b.noise
    ]
    assert differing
    for box in ("#text", "#run1-text"):
        marked = page.evaluate(
            "(box) => [...document.querySelectorAll(`${box} .differs`)].map(n => Number(n.dataset.token))", box
        )
        assert marked == differing


def test_compared_runs_stand_side_by_side_with_most_differences_first(open_page: Open, tmp_path: Path) -> None:
    one, other = (made_run(tmp_path / name, examples=6) for name in ("one", "other"))
    other = label(other, ["thresholds.novelty.cut=0.4"])
    counts = {
        name: sum(a.noise != b.noise for a, b in zip(one.explain(name).tokens, other.explain(name).tokens, strict=True))
        for name in one.example_ids()
    }
    path = write_report(one, tmp_path / "both.html", compare=[other])
    page = open_page(path)
    page.click("#tab-examples")
    listed = page.eval_on_selector_all(".row-id", "nodes => nodes.map((one) => one.textContent)")
    assert [counts[name] for name in listed] == sorted(counts.values(), reverse=True)
    left, right = (page.locator(box).bounding_box() for box in ("#text", "#run1-text"))
    assert left["x"] + left["width"] <= right["x"]
    narrow = open_page(path, "#example=made-0002", width=390)
    left, right = (narrow.locator(box).bounding_box() for box in ("#text", "#run1-text"))
    assert left["y"] + left["height"] <= right["y"]


PHRASES = ("a", "b", "c", "d", "e", "f", "g", "<|end|>")


def masked_runs(run: Run) -> tuple[dict[tuple[int, ...], int], dict[tuple[int, ...], int]]:
    """How often each run of one to four response tokens stands in the data, and how often all of it is masked."""
    total: dict[tuple[int, ...], int] = {}
    masked: dict[tuple[int, ...], int] = {}
    for example in run.example_ids():
        tokens = run.explain(example).tokens
        for start in range(len(tokens)):
            for size in range(1, 5):
                part = tokens[start : start + size]
                if len(part) == size and all(one.is_response and not one.is_protected for one in part):
                    key = tuple(one.token_id for one in part)
                    total[key] = total.get(key, 0) + 1
                    masked[key] = masked.get(key, 0) + all(one.noise for one in part)
    return total, masked


def test_phrases_that_are_masked_again_and_again_are_counted(open_page: Open, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", pieces=[piece.encode() for piece in PHRASES])
    total, masked = masked_runs(run)
    page = open_page(write_report(run))
    page.click("#tab-whole")
    found = page.evaluate(
        "Clusters.find(Model.model).map((one) => [one.key.split(',').filter(Boolean)"
        ".map((place) => Model.model.data.run.texts.ids[place]), one.total, one.masked])"
    )
    assert len(found) > 3
    assert [(total[tuple(key)], masked[tuple(key)]) for key, _, _ in found] == [(t, m) for _, t, m in found]
    weights = [len(key) * times for key, _, times in found]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == max(len(key) * times for key, times in masked.items())
    page.click(".phrase >> nth=0")
    text = "".join(PHRASES[token] for token in found[0][0])
    assert page.input_value("#search") == text
    at = int(page.get_attribute(".token.current", "data-token"))
    tokens = run.explain(page.inner_text("#example-title")).tokens
    assert "".join(token.text for token in tokens[at:])[: len(text)] == text


@pytest.mark.parametrize("width", [1280, 390])
def test_the_whole_shows_every_example_and_leads_to_its_tokens(small: Small, open_page: Open, width: int) -> None:
    run, path = small
    page = open_page(path, width=width)
    page.click("#tab-whole")
    shares = {name: run.explain(name).noise_share for name in run.example_ids()}
    page.focus("#whole")
    page.keyboard.press("ArrowRight")
    said = page.inner_text("#whole-said")
    first = max(shares, key=lambda name: shares[name])
    assert said.startswith(f"{first}, {shares[first]:.0%} masked")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = (
        "new Set(document.querySelector('#whole canvas').getContext('2d').getImageData(44, 0, 300, 200).data).size"
    )
    assert page.evaluate(colours) > 3, "kept, masked and prompt are drawn"
    page.keyboard.press("Enter")
    assert page.inner_text("#example-title") == first
    assert page.get_attribute(".token.current", "data-token") == "1"
    page.go_back()
    page.wait_for_selector("#view-whole:not([hidden])")
    page.go_back()
    page.wait_for_selector("#view-overview:not([hidden])")


def test_a_link_carries_the_cuts_tried_out(small: Small, open_page: Open) -> None:
    _, path = small
    page = open_page(path)
    page.fill("#cut-novelty-cut", "0.3")
    page.wait_for_function("() => location.hash.includes('cuts=')")
    share = page.inner_text("#masked-share")
    again = open_page(path, page.evaluate("location.hash"))
    assert again.inner_text("#masked-share") == share
    assert again.input_value("#cut-novelty-cut") == "0.3"
    assert again.text_content("#command").endswith("--set thresholds.novelty.cut=0.3")
    for broken in ("{", '{"cuts":{"nope":{"cut":1},"novelty":{"cut":"x","__proto__":1}},"combine":3}', "null"):
        other = open_page(path, f"#cuts={broken}")
        assert other.is_hidden("#command")


def test_on_a_phone_the_card_leaves_the_token_in_sight(small: Small, open_page: Open) -> None:
    run, path = small
    example = list(run.example_ids())[3]
    page = open_page(path, f"#example={example}", width=390)
    last = [token.index for token in run.explain(example).tokens if token.is_response][-2]
    page.click(f"#t{last}", position={"x": 1, "y": 8})
    page.wait_for_function("() => document.querySelector('.sentence')?.textContent.length > 5")
    page.wait_for_timeout(300)  # the card has grown to its words, and the page has scrolled
    page.evaluate("document.querySelector('.token.current').scrollIntoView({ block: 'nearest', behavior: 'instant' })")
    token, card = (page.locator(box).bounding_box() for box in (".token.current", "#card"))
    assert token["y"] >= 0
    assert token["y"] + token["height"] <= card["y"]


def test_the_deciding_attribute_comes_first(small: Small, open_page: Open) -> None:
    run, path = small
    example = list(run.example_ids())[3]
    page = open_page(path, f"#example={example}")
    for token in [token for token in run.explain(example).tokens if token.is_response][:12]:
        page.evaluate("(hash) => { location.hash = hash; }", f"example={example}&token={token.index}")
        page.wait_for_function(f"() => document.querySelector('.token.current')?.dataset.token === '{token.index}'")
        page.wait_for_function("() => document.querySelector('.attribute strong')")
        names = page.eval_on_selector_all(".attribute strong", "nodes => nodes.map((one) => one.textContent)")
        lacking = [verdict.name for verdict in token.verdicts if verdict.lacking]
        assert names[: len(lacking)] == lacking
        if "closest is" in token.sentence:
            assert names[0] in token.sentence.split("closest is")[1]


def test_turns_go_by_their_roles_and_template_tokens_by_no_name(small: Small, open_page: Open) -> None:
    page = open_page(small[1])
    found = page.evaluate("""() => {
      const texts = ["<s>", "user", "assistant", "\\n", "<e>", "Hi", "system", "Yes", "ass", "istant"];
      const tokens = [0, 6, 3, 5, 4, 3, 0, 1, 3, 5, 4, 3, 0, 2, 3, 7, 4, 3, 0, 1, 3, 5, 4, 3, 0, 8, 9, 3, 7, 4, 3];
      const response = tokens.map((one, i) => [15, 16, 28, 29].includes(i));
      const data = { starts: [0, tokens.length], tokens, response, columns: { rulings: tokens.map(() => 0) },
        run: { texts: { special: [0, 4] } }, text: (place) => texts[place] };
      return Roles.segments(data, 0).map(({ name, from, to, template }) => [name, from, to, [...template]]);
    }""")
    assert [one[:3] for one in found] == [
        *(["system", 0, 6], ["user", 6, 15], ["response", 15, 18], ["user", 18, 28], ["response 2", 28, 31])
    ]
    assert found[0][3] == [0, 1, 2, 4, 5]
    assert found[1][3] == [6, 7, 8, 10, 11, 12, 13, 14]
    assert found[3][3] == [*range(18, 21), *range(22, 28)]  # "assistant" in two tokens, as many vocabularies have it


def test_raw_template_tokens_are_shown_on_demand(small: Small, open_page: Open) -> None:
    page = open_page(small[1], "#example=made-0003")
    assert page.locator(".plainly:visible").count() == page.locator(".segment.answer .special.protected").count() > 0
    page.check("#raw")
    assert page.locator(".plainly:visible").count() == 0
    assert page.locator(".raw:visible").count() > 0


def test_prints_and_shows_in_a_notebook(small: Small, open_page: Open, tmp_path: Path) -> None:
    run, path = small
    page = open_page(path)
    page.emulate_media(media="print")
    assert page.is_hidden("#theme")
    assert len(page.pdf()) > 10_000
    frame = tmp_path / "notebook.html"
    frame.write_text(f"<!doctype html><html data-ready>{run.report()._repr_html_()}</html>", encoding="utf-8")
    page = open_page(frame)
    page.frame_locator("iframe").locator("#masked-share").wait_for()


def test_a_sample_says_so(open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xtf.report.html.data as data
    from xtf.report.html.sample import choose

    run = made_run(tmp_path / "run", examples=60, pieces=BYTES)
    monkeypatch.setattr(data, "choose", lambda facts, n, ids=None: choose(facts, n, ids, max_examples=20))
    page = open_page(write_report(run))
    assert page.inner_text(".sampled").startswith("This page holds 20 of 60 examples")
    assert "xtf report" in page.inner_text(".sampled")
    assert page.inner_text("#masked-share") == f"{run.summary().masked_share:.1%} masked"
    page.fill("#cut-novelty-cut", "0.3")
    page.wait_for_selector("#estimate:not([hidden])")
    assert page.inner_text("#estimate") == "estimate from 11 examples"


def test_a_character_of_several_tokens_is_shown_once_and_each_token_has_its_card(
    open_page: Open, tmp_path: Path
) -> None:
    pieces = ("🦙".encode()[:3], "🦙".encode()[3:], b" so", b"<|end|>")
    run = made_run(
        tmp_path / "run", pieces=pieces, ids=["one"], tokens=400, thresholds={"a": {"kind": "below", "cut": 0.5}}
    )
    tokens = run.explain("one").tokens
    page = open_page(write_report(run), "#example=one")
    whole = b"".join(pieces[one.token_id] for one in tokens).count("🦙".encode())
    assert page.inner_text(".text").count("🦙") == whole > 10
    preview = page.text_content("#example-0 .row-text")
    assert preview == "".join(one.spelt.once for one in tokens if one.is_response)[: len(preview)]
    first = next(one.index for one in tokens if one.is_response and one.parts == 2)
    for part in tokens[first : first + 2]:
        page.evaluate(f"document.querySelector('#t{part.index}').click()")
        page.wait_for_function("() => document.querySelector('.sentence')?.textContent.length > 5")
        assert page.text_content(".sentence") == part.sentence
        assert page.inner_text(".card-text") == "🦙"
        assert f"part {part.part} of 2: <{'F0><9F><A6' if part.part == 1 else '99'}>" in page.text_content("#card")
        masked = page.evaluate(f"document.querySelector('#t{part.index}').classList.contains('noise')")
        assert masked == part.noise
    found = page.evaluate("Clusters.find(Model.model).map((one) => Clusters.text(Model.model.data, one))")
    assert "🦙" in found
    assert not any("₂" in text for text in found)
