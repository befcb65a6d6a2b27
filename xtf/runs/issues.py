"""What is to be looked at in a whole run."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from xtf.explain.issues import ExampleIssue, Words, find_issues, judge_shard
from xtf.labelling.spans import ExampleTable
from xtf.runs.opened import RunReader


def read_figures(run: RunReader) -> Iterator[tuple[Sequence[str], ExampleTable]]:
    """The ids of each shard's examples and what they are like; order and errors as of :func:`read_issues`."""
    for part in run.parts:
        for shard, labels in part.labelled([*part.scored, *part.detail_columns]):
            yield shard.example_ids, judge_shard(part.rules, part.probabilities, shard, labels)[1]


def read_issues(run: RunReader, wanted: Container[str] | None = None) -> Iterator[ExampleIssue]:
    """Judge every example of a labelled run, in the order of the data.

    Args:
        run: A labelled run.
        wanted: Ids of the examples whose spans are put into words; None: all. The others get their figures alone.

    Raises:
        RunError: the run has not been labelled to the end, or a shard is missing or damaged.
    """
    for part in run.parts:
        rules, probabilities = part.rules, part.probabilities
        columns = [*part.scored, *part.detail_columns]
        for shard, labels in part.labelled(columns):
            words = Words(part.vocabulary.spell, part.phrases(shard), wanted)
            yield from find_issues(rules, probabilities, shard, labels, words)
