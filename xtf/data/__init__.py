"""Rows -> conversations -> tokens with the response marked.

Every row is accounted for: it becomes an example, or a :class:`DataReport` says where it stood and why it did not.
Importing this package imports neither torch nor transformers nor datasets. Begin reading in ``reader``.
"""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.data.char_spans import AppliedSpans, MaskedSpan, MaskedTurn, SharedSpan, apply_spans, masked_turns
    from xtf.data.conversation import Conversation, PreTokenized
    from xtf.data.identity import fingerprint
    from xtf.data.ids import ExampleIds
    from xtf.data.inspection import LOOK, ExampleView, Inspection, TokenView, inspect_examples, token_texts
    from xtf.data.outputs import check_row_file
    from xtf.data.reader import (
        LocatedExample,
        read_conversations,
        read_examples,
        read_examples_with_rows,
        read_located_examples,
        read_named_conversations,
        read_named_rows,
        response_texts,
    )
    from xtf.data.report import Count, DataReport, RowError
    from xtf.data.row_batches import RowBatches
    from xtf.data.schema import to_conversation
    from xtf.data.sources import Row, read_rows
    from xtf.data.spool import repeatable
    from xtf.data.template import PLAIN_TEMPLATE
    from xtf.data.tokenise import ConversationTokenizer, LocatedTokens

__all__ = [
    "LOOK",
    "PLAIN_TEMPLATE",
    "AppliedSpans",
    "Conversation",
    "ConversationTokenizer",
    "Count",
    "DataReport",
    "ExampleIds",
    "ExampleView",
    "Inspection",
    "LocatedExample",
    "LocatedTokens",
    "MaskedSpan",
    "MaskedTurn",
    "PreTokenized",
    "Row",
    "RowBatches",
    "RowError",
    "SharedSpan",
    "TokenView",
    "apply_spans",
    "check_row_file",
    "fingerprint",
    "inspect_examples",
    "masked_turns",
    "read_conversations",
    "read_examples",
    "read_examples_with_rows",
    "read_located_examples",
    "read_named_conversations",
    "read_named_rows",
    "read_rows",
    "repeatable",
    "response_texts",
    "to_conversation",
    "token_texts",
]
__getattr__ = on_demand(
    __name__,
    {
        "xtf.data.char_spans": "AppliedSpans MaskedSpan MaskedTurn SharedSpan apply_spans masked_turns",
        "xtf.data.conversation": "Conversation PreTokenized",
        "xtf.data.identity": "fingerprint",
        "xtf.data.ids": "ExampleIds",
        "xtf.data.inspection": "LOOK ExampleView Inspection TokenView inspect_examples token_texts",
        "xtf.data.outputs": "check_row_file",
        "xtf.data.reader": "LocatedExample read_conversations read_examples read_examples_with_rows "
        "read_located_examples read_named_conversations read_named_rows response_texts",
        "xtf.data.report": "Count DataReport RowError",
        "xtf.data.row_batches": "RowBatches",
        "xtf.data.schema": "to_conversation",
        "xtf.data.sources": "Row read_rows",
        "xtf.data.spool": "repeatable",
        "xtf.data.template": "PLAIN_TEMPLATE",
        "xtf.data.tokenise": "ConversationTokenizer LocatedTokens",
    },
)
