"""torchtune, labels only: a data set for its recipes.

In a recipe's YAML, with this file on PYTHONPATH:

    dataset:
      _component_: torchtune_labels.labelled
      run: runs/my-run
      packed: False
"""

from typing import Any

from datasets import load_dataset


def labelled(tokenizer: Any, run: str, packed: bool = False) -> list[dict[str, list[int]]]:
    """Rows of a run as torchtune's ``padded_collate_sft`` takes them; its own tokenizer is not used."""
    if packed:
        raise ValueError("packed: torchtune packs data sets of its own classes only; set it to False")
    data = load_dataset("parquet", data_files=f"{run}/labels/*.parquet", split="train")
    return [{"tokens": row["input_ids"], "labels": row["labels"]} for row in data]
