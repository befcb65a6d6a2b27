"""Which signals exist: those that installed packages offer, and kinds that a notebook defines."""

from __future__ import annotations

from xtf.attribute.signals.attention import AttentionSignal
from xtf.attribute.signals.base import SignalRequest
from xtf.attribute.signals.prediction import PredictionSignal
from xtf.attribute.signals.state import StateSignal
from xtf.errors import PluginError
from xtf.plugins import PluginGroup

SIGNALS = PluginGroup("xtf.signals", "signal")
_SORTS = (PredictionSignal, AttentionSignal, StateSignal)

_registered: dict[str, type[SignalRequest]] = {}


def register_signal(kind: type[SignalRequest]) -> None:
    """Make a kind of signal known under its ``name``; running a notebook cell again replaces it.

    Raises:
        PluginError: it is not usable, or an installed package provides that name.
    """
    _refuse_unusable(kind)
    if kind.name in SIGNALS.points():
        raise PluginError(f"signal {kind.name!r}: an installed package already provides that name. Choose another.")
    _registered[kind.name] = kind


def load_signal(name: str) -> type[SignalRequest]:
    """The kind of signal called ``name``.

    Raises:
        PluginError: there is none, or what is installed under it is not usable.
    """
    if name in _registered:
        return _registered[name]
    kind = SIGNALS.load(name)
    _refuse_unusable(kind)
    return kind  # type: ignore[no-any-return]


def refuse_unknown(request: object) -> None:
    """Refuse what is no signal, or one of a kind that nobody would find by its name.

    Raises:
        PluginError: it is; how to make it known.
    """
    if not isinstance(request, SignalRequest):
        raise PluginError(
            f"{request!r}: requires() holds signals such as xtf.LogProb(), this is a {type(request).__name__}"
        )
    kind = type(request)
    _refuse_unusable(kind)
    if kind.name not in {*_registered, *SIGNALS.points()} or load_signal(kind.name) is not kind:
        raise PluginError(
            f"signal {kind.name!r}: {kind.__module__}.{kind.__qualname__} is not what is known under that name. "
            "Announce it under the entry-point group xtf.signals and install its package, or decorate it with "
            "xtf.register"
        )


def _refuse_unusable(kind: object) -> None:
    where = f"signal {getattr(kind, 'name', kind)!r}"
    if not (isinstance(kind, type) and issubclass(kind, SignalRequest)) or not isinstance(
        getattr(kind, "name", None), str
    ):
        raise PluginError(f"{where}: {kind!r} is no class of signals with a name")
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"{where}: {kind.__qualname__} does not implement {', '.join(missing)}")
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is None or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise PluginError(f"{where}: {kind.__qualname__} must be a frozen dataclass, so that equal requests are one")
    if not kind.__module__.startswith("xtf.") and not issubclass(kind, _SORTS):
        sorts = ", ".join(sort.__name__ for sort in _SORTS)
        raise PluginError(f"{where}: {kind.__qualname__} must derive from one of {sorts}: the engine reads no other")
