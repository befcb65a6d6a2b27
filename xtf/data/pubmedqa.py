"""PubMedQA as it is published: the hub's columns, or those of its file ``ori_pqal.json``."""

from __future__ import annotations

from collections.abc import Mapping

from xtf.data.cells import Cells
from xtf.data.conversation import Conversation
from xtf.data.messages import text_of
from xtf.data.text_rows import Pair


def pubmedqa(row: Cells) -> Conversation:
    """The sections of the abstract, then the question; the long answer, then yes, no or maybe on a line of its own."""
    context = row.get("contexts") or row["context"]
    sections = context.get("contexts") if isinstance(context, Mapping) else context
    parts = sections if isinstance(sections, (list, tuple)) else [sections]
    prompt = "\n\n".join(text_of(part, "context") for part in (*parts, row["question"]))
    response = f"{row.text('long_answer')}\n\n{row.text('final_decision')}"
    return Pair("prompt", "response")(row.with_columns(prompt=prompt, response=response))
