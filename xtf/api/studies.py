"""Studies: arms × seeds × settings, trained and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtf.config import StudyConfig, parse_study, read_yaml

if TYPE_CHECKING:
    from xtf.report.results import StudyResult
    from xtf.studies import Plan


def load_study(source: StudyConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read and check a study; the configurations that it names are checked when it is planned.

    Args:
        source: A YAML file, a mapping, or a study already checked.
        overrides: ``key.path=value`` texts, as after ``--set``.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    if isinstance(source, StudyConfig):
        return parse_study(source.model_dump(mode="json"), overrides=overrides)
    if isinstance(source, Mapping):
        return parse_study(source, overrides=overrides)
    return parse_study(read_yaml(source), str(source), overrides)


def study(source: StudyConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> StudyResult:
    """Train arms × seeds × settings and compare them; returns what ``study.json`` holds. See :func:`load_study`.

    Trainings that are there are kept, so starting again goes on. One that fails is listed under ``failed``.

    Raises:
        XTFError: of the kind that names the mistake.
    """
    from xtf.report.results import StudyResult
    from xtf.studies import run_study

    return StudyResult(run_study(load_study(source, overrides)))


def plan_study(source: StudyConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> Plan:
    """What a study would train, in order; reads configurations only. See :func:`load_study`.

    Raises:
        ConfigError: with every mistake found in one of the files, one a line.
    """
    from xtf.studies.planning import plan_study as plan

    return plan(load_study(source, overrides))
