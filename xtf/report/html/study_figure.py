"""The figure of a study: every gain over a random mask with its interval, and the retraining curves. Plain SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from xtf.display import visible

_WIDTH, _LEFT, _RIGHT, _ROW = 760, 250, 20, 26
_SURE, _WORSE, _UNSURE = "#0f8296", "#c8443c", "#8a8f98"
_CURVE_HEIGHT = 220


def figure(study: Mapping[str, Any]) -> str:
    """The figure as SVG text, whose names can do nothing: they are escaped, and there is neither script nor style."""
    parts, top = [], 0
    for setting in study["settings"]:
        for draw in (_forest, _curves):
            drawn, height = draw(setting, top)
            parts += drawn
            top += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {max(top, 1)}" width="{_WIDTH}" '
        f'height="{max(top, 1)}" role="img" aria-label="Gains over random masks, with 95 % intervals" '
        'font-family="system-ui, sans-serif" font-size="13" fill="currentColor">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _forest(setting: Mapping[str, Any], top: int) -> tuple[list[str], int]:
    """One line for each method, and one for the gap."""
    rows = [(f"{one['arm']} against random", one["gain"], True) for one in setting["contrasts"]]
    rows += [(f"{one['arm']} against full", one["others"]["full"], False) for one in setting["contrasts"]]
    rows += [("oracle against full: the gap", setting["gap"], False)] if setting["gap"] else []
    known = [(name, found, tested) for name, found, tested in rows if _is_known(found)]
    if not known:
        return [], 0
    ends = [end for _, found, _ in known for end in (found["low"], found["high"], 0.0)]
    x = _Scale(min(ends), max(ends), _LEFT, _WIDTH - _RIGHT)
    bottom = top + 44 + _ROW * len(known)
    drawn = [_text(0, top + 20, f"{setting['name']}: gain in held-out loss, nats a token", weight="bold")]
    drawn += _axis(x, top + 34, bottom)
    for place, (name, found, tested) in enumerate(known):
        y = top + 34 + _ROW * place + _ROW // 2
        drawn += [_text(0, y + 4, name), *_whisker(x, y, found, tested)]
    return drawn, 44 + _ROW * len(known) + 34


def _is_known(found: Mapping[str, Any] | None) -> bool:
    return found is not None and found["low"] is not None


def _whisker(x: _Scale, y: int, found: Mapping[str, Any], tested: bool) -> list[str]:
    """An interval and its middle; filled where the comparison is tested, with correction."""
    p = found.get("p_corrected") if tested else found["p"]
    colour = _UNSURE if p is None or p >= 0.05 else _SURE if found["value"] > 0 else _WORSE
    low, high, middle = x(found["low"]), x(found["high"]), x(found["value"])
    fill = colour if tested else "none"
    label = f"{found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    return [
        f'<g><title>{label}</title><line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
        f'stroke-width="2"/><circle cx="{middle:.1f}" cy="{y}" r="5" fill="{fill}" stroke="{colour}" '
        'stroke-width="2"/></g>'
    ]


def _curves(setting: Mapping[str, Any], top: int) -> tuple[list[str], int]:
    """For each score: the gain over a random mask against the share masked, for its worst and its best tokens."""
    drawn, height = [], 0
    for score in dict.fromkeys(one["score"] for one in setting["curve"]):
        points = [one for one in setting["curve"] if one["score"] == score and _is_known(one["gain"])]
        if points:
            drawn += _curve(f"{setting['name']}: masking by {score}", points, top + height)
            height += _CURVE_HEIGHT + 70
    return drawn, height


def _curve(title: str, points: Sequence[Mapping[str, Any]], top: int) -> list[str]:
    ends = [end for one in points for end in (one["gain"]["low"], one["gain"]["high"], 0.0)]
    shares = sorted({one["share"] for one in points})
    x = _Scale(0, len(shares), _LEFT, _WIDTH - _RIGHT)
    y = _Scale(min(ends), max(ends), top + 34 + _CURVE_HEIGHT, top + 34)
    drawn = [
        _text(0, top + 20, f"{title}: gain over masking as many at random, nats a token", weight="bold"),
        _text(0, top + 60, "masked: ● worst, ○ best"),
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(0):.1f}" y2="{y(0):.1f}" stroke="currentColor" '
        'stroke-opacity="0.5"/>',
    ]
    for value in y.ticks():
        drawn.append(_text(_LEFT - 8, y(value) + 4, _signed(value), anchor="end"))
    for place, share in enumerate(shares):
        drawn.append(_text(x(place + 0.5), top + 34 + _CURVE_HEIGHT + 20, f"{share:.3g}"[:6], anchor="middle"))
    drawn.append(_text((_LEFT + _WIDTH) / 2, top + 34 + _CURVE_HEIGHT + 36, "share of tokens masked", anchor="middle"))
    for one in points:
        gain, worst = one["gain"], one["masked"] == "worst"
        at = x(shares.index(one["share"]) + (0.4 if worst else 0.6))
        colour = _UNSURE if gain["low"] <= 0 <= gain["high"] else _SURE if gain["value"] > 0 else _WORSE
        drawn.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(gain["low"]):.1f}" y2="{y(gain["high"]):.1f}" '
            f'stroke="{colour}" stroke-width="2"/><circle cx="{at:.1f}" cy="{y(gain["value"]):.1f}" r="5" '
            f'fill="{colour if worst else "none"}" stroke="{colour}" stroke-width="2"/>'
        )
    return drawn


class _Scale:
    """From values to places, with a margin of a twentieth."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        margin = (high - low or 1.0) / 20
        self._low, self._high, self._start, self._end = low - margin, high + margin, start, end

    def __call__(self, value: float) -> float:
        return self._start + (value - self._low) / (self._high - self._low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Zero, and the ends where they are apart from it."""
        whole = self._high - self._low
        return [0.0, *(end for end in (self._low + whole / 20, self._high - whole / 20) if abs(end) > whole / 8)]


def _axis(x: _Scale, top: int, bottom: int) -> list[str]:
    drawn = [
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top}" y2="{bottom}" stroke="currentColor" stroke-opacity="0.5"/>'
    ]
    return drawn + [_text(x(value), bottom + 16, _signed(value), anchor="middle") for value in x.ticks()]


def _signed(value: float) -> str:
    return f"{value:+.2g}" if value else "0"


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {place}>{escape(visible(text), quote=True)}</text>"
