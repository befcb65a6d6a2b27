"""TRL's ``SFTTrainer`` with a weight for every token, normalised as our own trainer does.

TRL computes the log-probabilities; here they are multiplied by the column ``weights`` and divided by what one update
weighs (:func:`xtf.training.loss.step_normaliser`). Truncation, which TRL does in silence, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import trl
from datasets import Dataset
from torch import Tensor
from trl import SFTConfig, SFTTrainer, pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import pad

from xtf.errors import ConfigError, DataError
from xtf.integrations.rows import check_rows
from xtf.model.head import base_of
from xtf.progress import notice
from xtf.training.loss import step_normaliser, weigh


class WeightedSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """``SFTTrainer`` whose training data have, beside ``input_ids``, a column ``weights``: one number for each token.

    A token of weight 0 is context only; one of negative weight (at least -1) is unlearnt, until it is no likelier than
    a uniform guess. The weights alone decide: a column ``labels`` is made anew from them. Works padded, padding-free
    and packed, with LoRA, gradient accumulation and checkpointing, and in several processes.

    Args:
        model: As for ``SFTTrainer``.
        args: As for ``SFTTrainer``.
        train_dataset: ``labels/`` of a run, or any rows with ``input_ids`` and ``weights``.
        normalise: What the loss of an update is divided by: the sum of its weights that are above 0 (``kept``), or its
            response tokens (``response``, which also needs the columns ``labels`` and ``noise`` of ``labels/``).
        options: All else that ``SFTTrainer`` takes.

    Raises:
        ConfigError: a setting under which weights would be lost or mean something else.
        DataError: rows without weights, with impossible ones, or longer than ``max_length``.
    """

    data_collator: Any

    def __init__(
        self,
        model: Any,
        args: Any = None,
        train_dataset: Any = None,
        *,
        normalise: Literal["kept", "response"] = "kept",
        **options: Any,
    ) -> None:
        self.normalise = normalise
        _refuse(args, options)
        super().__init__(model=model, args=args, train_dataset=train_dataset, **options)
        _refuse_parallelism(self.accelerator, self.args)
        if self._is_vision_dataset:
            raise ConfigError("train_dataset: rows with images have no weights for their tokens: use trl.SFTTrainer")
        if self._skip_prepare_dataset:
            _require(self.train_dataset, normalise)
        theirs: Any = self.data_collator
        self.data_collator = WeightedCollator(**{one.name: getattr(theirs, one.name) for one in fields(theirs)})

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, packing: bool, *rest: Any) -> Any:
        """Rows with weights keep them; packing, which would drop them in TRL, is done here with TRL's own function."""
        if rest[-1] != "train" and "weights" not in _columns(dataset):
            return super()._prepare_dataset(dataset, processing_class, args, packing, *rest)
        _require(dataset, self.normalise)
        with args.main_process_first(desc="preparing weighted rows"):
            return self._prepared(dataset, args, packing)

    def _prepared(self, dataset: Any, args: Any, packing: bool) -> Any:
        splits = packing and args.packing_strategy != "bfd"
        longest = None if splits else args.max_length
        if isinstance(dataset, Dataset):
            check_rows(dataset.select_columns(["input_ids", "weights"]).with_format("numpy").iter(1000), longest)
            if self.normalise == "response":
                dataset = dataset.map(_with_responses, desc="Marking responses")
        else:
            dataset = dataset.map(partial(_checked, longest=longest, normalise=self.normalise))
        columns = ["input_ids", "weights", *(["is_response"] if self.normalise == "response" else [])]
        dataset = dataset.select_columns(columns)
        if args.shuffle_dataset:
            dataset = dataset.shuffle(seed=args.seed)
        if packing:
            dataset = pack_dataset(dataset, args.max_length, args.packing_strategy)
            if splits and isinstance(dataset, Dataset):
                _say_what_packing_cuts(dataset)
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["input_ids", "labels", "seq_lengths", "weights", "is_response"]

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        count = step_normaliser(batch_samples, self.normalise).to(device)
        gathered: Tensor = self.accelerator.gather(count)
        return gathered.sum()

    def compute_loss(
        self,
        model: Callable[..., Any],
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Return ``sum(w_i * ce_i)`` of ``(batch, seq)`` targets over the update's normaliser, or a lone batch's own.

        Raises:
            ConfigError: this TRL does not use the log-probabilities that are weighed here.
        """
        plain = {name: value for name, value in inputs.items() if name not in ("weights", "is_response")}
        weights = inputs["weights"][:, 1:]
        normaliser = step_normaliser([inputs], self.normalise) if num_items_in_batch is None else num_items_in_batch
        vocabulary = int(base_of(self.model).config.get_text_config().vocab_size)
        weighed = False

        def weighted(**given: Any) -> Any:
            outputs = model(**given)
            if given.get("fused_lm_head"):
                nonlocal weighed
                weighed = True
                losses = weigh(-outputs.log_probs, weights, vocabulary)
                divided_again = 1 if num_items_in_batch is not None else outputs.label_mask.sum().clamp(min=1)
                divisor = torch.where(normaliser > 0, normaliser, 1.0).to(losses.device)
                outputs.log_probs = -losses * (divided_again / divisor)  # TRL sums them up
            return outputs

        one = None if num_items_in_batch is None else torch.ones_like(num_items_in_batch)
        loss = super().compute_loss(weighted, plain, return_outputs, one)
        if not weighed:
            raise ConfigError(f"trl {trl.__version__} computes its loss otherwise than 1.16: weights would be lost")
        return loss


@dataclass
class WeightedCollator(DataCollatorForLanguageModeling):  # type: ignore[misc]
    """TRL's collator with ``weights`` ``(batch, seq)``, 0 on padding and on what nothing predicts.

    Labels are those tokens that weigh anything. Rows without weights (of another evaluation set) weigh 1 where they
    have a label.
    """

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate rows with ``input_ids`` and ``weights``, each of the row's length; batches are ``(batch, seq)``.

        Raises:
            DataError: a row has not one weight for each token, or some rows have weights and others none.
        """
        having = ["weights" in example for example in examples]
        if not any(having):
            batch = super().torch_call(examples)
            batch["labels"][:, 0] = -100
            batch["is_response"] = batch["labels"] != -100
            return {**batch, "weights": batch["is_response"].float()}
        if not all(having):
            raise DataError("some rows of a batch have weights and others none: give every row a column weights")
        check_rows(({name: [row[name] for row in examples] for name in ("input_ids", "weights")},), None)
        batch = super().torch_call([{k: v for k, v in example.items() if k != "labels"} for example in examples])
        predicted = batch["labels"] != -100  # every token but padding and the first of a piece
        predicted[:, 0] = False
        weights = self._laid_out([torch.as_tensor(row["weights"], dtype=torch.float32) for row in examples])
        batch["weights"] = weights * predicted
        batch["labels"][batch["weights"] == 0] = -100
        if "is_response" in examples[0]:
            told = [torch.as_tensor(row["is_response"], dtype=torch.int64) for row in examples]
            batch["is_response"] = (self._laid_out(told) > 0) & predicted
        return dict(batch)

    def _laid_out(self, values: list[Tensor]) -> Tensor:
        """Values of each row, as TRL lays out their tokens; 0 on padding."""
        rows = [torch.cat(values)] if self.padding_free else values
        laid: Tensor = pad(rows, padding_value=0, padding_side="right", pad_to_multiple_of=self.pad_to_multiple_of)
        return laid


def _refuse(args: Any, options: Mapping[str, Any]) -> None:
    """Refuse what would replace the collator or the loss."""
    problems = [
        f"{name}: the trainer with weights has its own; leave it out. Without weights, use trl.SFTTrainer"
        for name in ("data_collator", "compute_loss_func", "formatting_func")
        if options.get(name) is not None
    ]
    if args is not None and not isinstance(args, SFTConfig):
        problems.append("args: give a trl.SFTConfig, so that max_length and packing are said")
    loss_type, smoothing = getattr(args, "loss_type", "nll"), getattr(args, "label_smoothing_factor", 0.0)
    if loss_type != "nll":
        problems.append(f"loss_type={loss_type!r} weighs tokens itself: leave it at 'nll'")
    if smoothing:
        problems.append(f"label_smoothing_factor={smoothing} is a loss of its own, which reads no weights: set it to 0")
    if getattr(args, "use_liger_kernel", False):
        problems.append(
            "use_liger_kernel=True: its fused loss reads no weights; leave it out. TRL's own head, which is used here, "
            "holds the logits of a few tokens at a time too"
        )
    if getattr(options.get("peft_config"), "is_prompt_learning", False):
        problems.append("peft_config: prompt learning adds tokens that have no weight: use LoRA, or train all weights")
    if problems:
        raise ConfigError(problems)


def _refuse_parallelism(accelerator: Any, args: Any) -> None:
    """Refuse what shards a row over processes, or averages over them without a common normaliser."""
    parallelism = accelerator.parallelism_config
    if parallelism is not None and (parallelism.cp_enabled or parallelism.sp_enabled or parallelism.tp_enabled):
        raise ConfigError(
            "context, sequence and tensor parallelism share a row, its labels but not its weights, between processes: "
            "use data parallelism, FSDP or DeepSpeed ZeRO"
        )
    if accelerator.num_processes > 1 and not args.average_tokens_across_devices:
        raise ConfigError(
            "average_tokens_across_devices=False would give each process a normaliser of its own: leave it at True"
        )


def _columns(dataset: Any) -> list[str]:
    return list(dataset.column_names or next(iter(dataset)))


def _require(dataset: Any, normalise: str) -> None:
    wanted = ["input_ids", "weights"]
    columns = _columns(dataset)
    if normalise == "response" and "is_response" not in columns:
        wanted += ["labels", "noise"]
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise DataError(
            f"train_dataset: no column {' and '.join(missing)}; it has {', '.join(columns)}. Give it the labels of a "
            'run: load_dataset("parquet", data_files="RUN/labels/*.parquet", split="train")'
        )


def _checked(row: dict[str, Any], longest: int | None, normalise: str) -> dict[str, Any]:
    """A row of a stream, once it is looked at."""
    check_rows(({name: [row[name]] for name in ("input_ids", "weights")},), longest)
    return _with_responses(row) if normalise == "response" else row


def _with_responses(row: dict[str, Any]) -> dict[str, Any]:
    """Mark the targets of a row of ``labels/``: what is learnt and what is noise; unless they are marked."""
    if "is_response" in row:
        return row
    told = [label != -100 or noise for label, noise in zip(row["labels"], row["noise"], strict=True)]
    return {**row, "is_response": told}


def _say_what_packing_cuts(dataset: Dataset) -> None:
    """Count the weights at the beginning of a piece, where nothing predicts their token."""
    lost = 0
    for row in dataset.with_format("numpy"):
        lengths: Sequence[int] = row["seq_lengths"] if "seq_lengths" in row else [len(row["weights"])]
        starts = np.cumsum([0, *lengths])[:-1]
        lost += int(np.count_nonzero(np.asarray(row["weights"])[starts]))
    if lost:
        notice(
            f"packing cuts rows: {lost} weights stand first in a piece, where nothing predicts their token, and are "
            "not learnt. With packing_strategy='bfd' and a max_length that no row exceeds none is"
        )
