"""A study as one page without scripts: verdict, figure, every arm, every comparison, and how it was measured."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from xtf.display import counted, visible
from xtf.files import write_text
from xtf.report.figures_of_study import describe_setting, interval, number, p_value, share
from xtf.report.html.study_figure import figure

_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 860px; margin: 2rem auto; padding: 0 1rem; font: 15px/1.55 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; }
th, td { text-align: right; padding: 3px 8px; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; }
.quiet { opacity: .75; } .scroll { overflow-x: auto; } pre { overflow-x: auto; }
"""

_METHOD = """\
Every arm starts from the same model and goes through the same rows in the same order for as many updates; each result
says so itself. A gain is the loss of the other arm minus that of this one, in nats a token, so above 0 is better. It
is paired by seed and held-out row. Seeds and rows are both resampled {draws:,} times for its standard error; the 95 %
interval takes Student's t with Satterthwaite's degrees of freedom. Tested is each method against a random mask of its
size, with Holm's correction over all such tests of the study ({comparisons}); all other intervals are not corrected.
The smallest effect is what such a study finds with a probability of {power:.0%}. The share of the gap is (full − arm)
/ (full − oracle) with Fieller's interval; where the gap is not shown to be above 0 there is none. “Own tokens” are
those that the arm's labelling keeps on the held-out rows; “unrelated” is the loss on text of another kind."""


def write_study(study: Mapping[str, Any], folder: Path) -> Path:
    """Write ``study.html`` and the figure ``study.svg`` into a study's folder; return the path of the page.

    Args:
        study: What ``study.json`` holds.
        folder: The study's folder.
    """
    drawn = figure(study)
    write_text(folder / "study.svg", drawn)
    path = folder / "study.html"
    write_text(path, study_page(study, drawn))
    return path


def study_page(study: Mapping[str, Any], drawn: str) -> str:
    """The page as text; every name in it is escaped, and its policy admits its own style and nothing else."""
    allowed = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    settings = study["settings"]
    verdicts = [_tag("h2", one["name"]) + _list(one["verdict"]) for one in settings]
    method = " ".join(_METHOD.format(comparisons=study["comparisons"], **study["method"]).split())
    config = yaml.safe_dump(study["study"], sort_keys=False, allow_unicode=True)
    body = [
        "<h1>Does masking help?</h1>",
        _tag("p", f"{study['study']['output']}: {_progress(study['trainings'])}.", "quiet"),
        *verdicts,
        "<h2>Gains, with 95 % intervals</h2>",
        '<p class="quiet">Filled: tested against a random mask of the same size, coloured where it holds after '
        "correction. Hollow: not corrected.</p>",
        f'<div class="scroll">{drawn}</div>',
        *(part for one in settings for part in _tables(one)),
        *_failures(study["failed"]),
        "<h2>How it was measured</h2>",
        _tag("p", method),
        f"<details><summary>The study</summary><pre>{_safe(config, lines=True)}</pre></details>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>XTF: a study</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _tables(setting: Mapping[str, Any]) -> Iterable[str]:
    yield _tag("h2", describe_setting(setting))
    answers = [f"right ({setting['metric']})"] if setting["metric"] else []
    yield _table(
        ["arm", "seeds", "tokens learnt", "share", "loss", "own tokens", "unrelated", *answers],
        [
            [
                arm["arm"],
                str(len(arm["seeds"])),
                "–" if arm["tokens_learnt"] is None else f"{arm['tokens_learnt']:,.0f}",
                share(arm["share_learnt"]),
                *(number(arm[key] and arm[key]["mean"]) for key in ("held_out", "learnt", "retention")),
                *(share(arm["right"] and arm["right"]["mean"]) for _ in answers),
            ]
            for arm in setting["arms"]
        ],
    )
    if setting["contrasts"]:
        yield "<h3>Against a random mask of the same size</h3>"
        yield _table(
            ["arm", "gain", "p, Holm", "smallest effect", "share of the gap"],
            [_tested(one) for one in setting["contrasts"]],
        )
        yield "<h3>Further comparisons, not corrected</h3>"
        yield _table(["arm", "against, on", "gain"], [row for one in setting["contrasts"] for row in _others(one)])
    if setting["curve"]:
        yield "<h3>Retraining curves</h3>"
        yield _table(
            ["masked", "share", "loss", "loss at random", "gain"],
            [
                [
                    f"{one['masked']} by {one['score']}",
                    share(one["share"]),
                    *(number(one[key] and one[key]["mean"]) for key in ("loss", "loss_at_random")),
                    interval(one["gain"]),
                ]
                for one in setting["curve"]
            ],
        )


def _tested(contrast: Mapping[str, Any]) -> list[str]:
    gain, found = contrast["gain"], contrast["recovered"]
    known = gain is not None and gain["p_corrected"] is not None
    gap = "–"
    if found is not None:
        ends = "" if found["low"] is None else f" [{found['low']:.0%}, {found['high']:.0%}]"
        gap = found["note"] if found["value"] is None else f"{found['value']:.0%}{ends}"
    return [
        contrast["arm"],
        interval(gain),
        p_value(gain),
        number(gain["smallest_effect"]) if known else "–",
        gap,
    ]


_OTHERS = {
    "full": "full, all tokens",
    "full_on_learnt": "full, own tokens",
    "full_on_answers": "full, right answers",
    "random_on_learnt": "random, own tokens",
    "random_on_retention": "random, unrelated text",
    "random_on_answers": "random, right answers",
    "inverted": "inverted, all tokens",
}


def _others(contrast: Mapping[str, Any]) -> Iterable[list[str]]:
    for key, words in _OTHERS.items():
        if contrast["others"][key] is not None:
            yield [contrast["arm"], words, interval(contrast["others"][key])]


def _progress(trainings: Mapping[str, int]) -> str:
    failed = f", {trainings['failed']} failed" if trainings["failed"] else ""
    return f"{trainings['done']} of {counted(trainings['planned'], 'training')} done{failed}"


def _failures(failed: Sequence[Mapping[str, Any]]) -> list[str]:
    if not failed:
        return []
    lines = [f"{one['setting']}, {one['arm']}, seed {one['seed']}: {one['why']}" for one in failed]
    return ["<h2>Failed</h2>", _list(lines)]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(_tag("th", name) for name in heads)
    body = "".join(f"<tr>{''.join(_tag('td', cell) for cell in row)}</tr>\n" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(_tag('li', line) for line in lines)}</ul>"


def _tag(name: str, text: str, kind: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    return f"<{name}{attributes}>{_safe(text)}</{name}>"


def _safe(text: str, lines: bool = False) -> str:
    """Text that can act neither as markup nor on a reader; with ``lines``, of several lines."""
    if lines:
        return "\n".join(map(_safe, text.split("\n")))
    return escape(visible(text), quote=True)
