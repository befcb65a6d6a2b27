"""An operator of data-juicer that labels the tokens of its samples: ``xtf_labeller``, known once XTF is installed.

data-juicer imports this file by the entry-point group ``data_juicer.ops``; XTF itself is imported when it works.
"""

from __future__ import annotations

from typing import Any

from data_juicer.ops.base_op import OPERATORS, Selector


@OPERATORS.register_module("xtf_labeller")
class XtfLabeller(Selector):  # type: ignore[misc]
    """Gives samples ``input_ids``, ``attention_mask``, ``labels``, ``weights`` and ``masked_share``.

    A sample is a row as XTF reads them from files: ``messages``, ``conversations``, ``query`` and ``response``, …, or
    ``text``, every token of which is a target. Cuts see the whole data set. Left out: samples that XTF cannot use, of
    which nothing is learnt, or too much is masked.
    """

    def __init__(self, config: str, output: str, drop_worse_than: float | None = None, *args: Any, **kwargs: Any):
        """
        Initialization method.

        :param config: the YAML file of a run; its `data.path` is not read.
        :param output: the folder of the run that is written, with scores, labels and reasons.
        :param drop_worse_than: leave out samples of which more than this share of the response tokens is masked.
        :param args: extra args
        :param kwargs: extra args
        """
        super().__init__(*args, **kwargs)
        self.config, self.output, self.drop_worse_than = config, output, drop_worse_than

    def process(self, dataset: Any) -> Any:
        """Label all samples; those that are left stay in order, and keep their columns.

        Raises:
            XTFError: of the kind that names what is wrong.
        """
        from xtf.data.plain import plain
        from xtf.integrations.pipelines import RowLabeller

        labeller = RowLabeller(self.config, self.output, self.drop_worse_than)
        labelled = labeller.label(range(len(dataset)), lambda number: plain(dataset[number]), "run")
        kept = {number: columns for number, columns in labelled if columns is not None}
        rows = dataset.select(list(kept))
        for name in next(iter(kept.values()), {}):
            rows = rows.add_column(name, [columns[name] for columns in kept.values()])
        return rows
