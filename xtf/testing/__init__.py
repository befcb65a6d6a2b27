"""The public contract suites: what a plug-in must keep to, one file for each sort of plug-in.

Begin with ``attributes``; a test file of your own package imports :func:`parametrize_with_checks` from here, or
its sisters for signals, cuts, combiners and exporters (``parametrize_signals_with_checks`` and so on).
"""

from xtf.testing.attributes import (
    CHECKS,
    Check,
    check_batch,
    check_declaration,
    check_describe,
    check_inputs_untouched,
    check_opens_nothing,
    check_order,
    check_padding,
    check_params_yaml,
    check_refit_forgets,
    check_repeatable,
    check_requires,
    check_roles,
    check_scores,
    check_state,
    check_tells_apart,
    check_unknown_parameter,
    made_up_signals,
    parametrize_with_checks,
)
from xtf.testing.combiners import COMBINER_CHECKS, parametrize_combiners_with_checks
from xtf.testing.context import MadeUpFitContext
from xtf.testing.cuts import CUT_CHECKS, made_up_scores, made_up_shard, parametrize_cuts_with_checks
from xtf.testing.examples import example_batch
from xtf.testing.exporters import EXPORTER_CHECKS, parametrize_exporters_with_checks
from xtf.testing.metrics import check_metric
from xtf.testing.signals import SIGNAL_CHECKS, make_up, parametrize_signals_with_checks
from xtf.testing.text_exporters import TEXT_EXPORTER_CHECKS, parametrize_text_exporters_with_checks

__all__ = [
    "CHECKS",
    "COMBINER_CHECKS",
    "CUT_CHECKS",
    "EXPORTER_CHECKS",
    "SIGNAL_CHECKS",
    "TEXT_EXPORTER_CHECKS",
    "Check",
    "MadeUpFitContext",
    "check_batch",
    "check_declaration",
    "check_describe",
    "check_inputs_untouched",
    "check_metric",
    "check_opens_nothing",
    "check_order",
    "check_padding",
    "check_params_yaml",
    "check_refit_forgets",
    "check_repeatable",
    "check_requires",
    "check_roles",
    "check_scores",
    "check_state",
    "check_tells_apart",
    "check_unknown_parameter",
    "example_batch",
    "made_up_scores",
    "made_up_shard",
    "made_up_signals",
    "make_up",
    "parametrize_combiners_with_checks",
    "parametrize_cuts_with_checks",
    "parametrize_exporters_with_checks",
    "parametrize_signals_with_checks",
    "parametrize_text_exporters_with_checks",
    "parametrize_with_checks",
]
