"""A run as data: YAML -> typed, frozen, fully checked settings.

Unknown keys are refused, and every mistake is reported at once with its file, key path, what is allowed and a
suggestion. This package imports neither torch nor any scorer, so a configuration is read in milliseconds.
Begin reading in ``run`` (the whole file) and ``sections``.
"""

from typing import TYPE_CHECKING

from xtf.config.base import Scope, Section, Share
from xtf.config.kinds import CUTS, METRICS, RULES, CutSection, PluginSection
from xtf.config.lists import with_lists, words
from xtf.config.problems import validation_problems
from xtf.config.reading import apply_overrides, parse_yaml, quoted, read_settings_text, read_yaml
from xtf.config.row_tests import ANY, COMPARISON
from xtf.config.run import AttributeCheck, RunConfig, parse_config
from xtf.config.sections import (
    TEMPLATE_INPUTS,
    ColumnsConfig,
    CombineConfig,
    DataConfig,
    EvaluationConfig,
    LoraSettings,
    ModelConfig,
    ScoringConfig,
    TrainingConfig,
)
from xtf.config.strategy import (
    BUILT_IN_ARMS,
    CONTROLS,
    OWN_LABELS,
    PREDEFINED_ARMS,
    ArmConfig,
    StrategyConfig,
    arm_parts,
)
from xtf.config.text_rules import TextRule
from xtf.config.updates import problems_of_rates, refuse_zero_rates, updates
from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.config.study import StudyConfig, parse_study

__all__ = [
    "ANY",
    "BUILT_IN_ARMS",
    "COMPARISON",
    "CONTROLS",
    "CUTS",
    "METRICS",
    "OWN_LABELS",
    "PREDEFINED_ARMS",
    "RULES",
    "TEMPLATE_INPUTS",
    "ArmConfig",
    "AttributeCheck",
    "ColumnsConfig",
    "CombineConfig",
    "CutSection",
    "DataConfig",
    "EvaluationConfig",
    "LoraSettings",
    "ModelConfig",
    "PluginSection",
    "RunConfig",
    "Scope",
    "ScoringConfig",
    "Section",
    "Share",
    "StrategyConfig",
    "StudyConfig",
    "TextRule",
    "TrainingConfig",
    "apply_overrides",
    "arm_parts",
    "parse_config",
    "parse_study",
    "parse_yaml",
    "problems_of_rates",
    "quoted",
    "read_settings_text",
    "read_yaml",
    "refuse_zero_rates",
    "updates",
    "validation_problems",
    "with_lists",
    "words",
]
__getattr__ = on_demand(__name__, {"xtf.config.study": "StudyConfig parse_study"})
