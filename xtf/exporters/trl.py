"""What TRL's ``SFTTrainer`` reads as it is, and a script that trains with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xtf.display import counted
from xtf.exporters.exporter import Export, Exporter
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs.tables import labels_table
from xtf.runs.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["example_id", "input_ids", "labels", "assistant_masks", "weights"]
SCRIPT = "train.py"
_SCRIPT = '''"""Train {rows} with TRL; learnt tokens: {learnt}. Any setting of SFTConfig can be given:

    python train.py --output_dir out --learning_rate 1e-5 --packing true
"""

from pathlib import Path

from datasets import load_dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer, TrlParser

MODEL = {model!r}
TOKENIZER = {tokenizer!r}
LONGEST = {longest}  # tokens of the longest row: TRL cuts rows at max_length, 1,024 by default
LEARNT = {supervised}  # tokens with a label

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    parser = TrlParser(SFTConfig)
    parser.set_defaults(output_dir=str(here / "model"), max_length=LONGEST)
    (settings,) = parser.parse_args_and_config()
    if settings.max_length is not None and settings.max_length < LONGEST:
        raise SystemExit(f"max_length {{settings.max_length}} cuts rows; the longest has {{LONGEST}} tokens")
    if settings.packing and settings.packing_strategy == "wrapped":
        raise SystemExit("packing_strategy wrapped lets rows see each other; take bfd")
    data = load_dataset("parquet", data_files=sorted(map(str, here.glob("part-*.parquet"))), split="train")
    trainer = SFTTrainer(
        model=MODEL,
        args=settings,
        train_dataset=data.select_columns(["input_ids", "labels"]),
        processing_class=AutoTokenizer.from_pretrained(TOKENIZER),
    )
    arrived = sum(label != -100 for row in trainer.train_dataset["labels"] for label in row)
    if arrived != LEARNT:
        raise SystemExit(f"{{arrived}} labels have arrived in the trainer, and {{LEARNT}} were written")
    trainer.train()
    trainer.save_model()
'''


class TrlExporter(Exporter):
    """Token ids, ``labels`` (-100 = no gradient), ``assistant_masks`` (1 = learnt) and ``weights``; ``train.py``."""

    name = "trl"

    def table(self, shard: ScoredShard, labels: Labels, vocabulary: Vocabulary) -> pa.Table:
        return labels_table(shard, labels).select(COLUMNS)

    def sidecars(self, export: Export) -> Mapping[str, str]:
        script = _SCRIPT.format(
            rows=counted(export.rows, "row"),
            learnt=export.learnt,
            supervised=export.supervised,
            longest=export.longest,
            model=export.model,
            tokenizer=export.tokenizer,
        )
        return {SCRIPT: script}

    def command(self, export: Export) -> Sequence[str]:
        return ("python", str(export.folder / SCRIPT))
