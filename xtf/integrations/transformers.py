"""``transformers.Trainer`` with a weight for every token, normalised as our own trainer does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer

from xtf.errors import ConfigError, DataError
from xtf.integrations.rows import check_rows
from xtf.training.loss import step_normaliser, weigh


class WeightedTrainer(Trainer):
    """``Trainer`` whose data have, beside ``input_ids``, a column ``weights``: one number for each token.

    A token of weight 0 is context only; one of negative weight (at least -1) is unlearnt, until it is no likelier than
    a uniform guess. The loss of an update is divided by the sum of its weights above 0, over all its batches and
    processes. The model may be any causal language model, with adapters or without; its full logits are computed.

    Args:
        model: As for ``Trainer``.
        args: As for ``Trainer``.
        train_dataset: ``labels/`` of a run, or any rows with ``input_ids`` and ``weights``.
        options: All else that ``Trainer`` takes.

    Raises:
        ConfigError: a setting under which weights would be lost or mean something else.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, model: Any, args: Any = None, train_dataset: Any = None, **options: Any) -> None:
        problems = [
            f"{name}: the trainer with weights has its own; leave it out. Without weights, use transformers.Trainer"
            for name in ("data_collator", "compute_loss_func")
            if options.get(name) is not None
        ]
        for name in ("label_smoothing_factor", "use_liger_kernel"):
            if getattr(args, name, False):
                problems.append(f"{name}: it is a loss of its own, which reads no weights: leave it out")
        if problems:
            raise ConfigError(problems)
        super().__init__(model, args, train_dataset=train_dataset, data_collator=pad_rows, **options)
        if self.args.n_gpu > 1:
            raise ConfigError("several GPUs need a launcher: torchrun or accelerate launch")
        self.model_accepts_loss_kwargs = True

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["input_ids", "weights"]  # type: ignore[assignment]

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        count = step_normaliser(batch_samples, "kept").to(device)
        gathered: Tensor = self.accelerator.gather(count)
        return gathered.sum()

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return ``sum(w_i * ce_i)`` of ``(batch, seq)`` targets over the normaliser of the update, or of the batch."""
        weights = inputs["weights"][:, 1:]
        wanted = weights != 0
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        logits = outputs.logits[:, :-1][wanted].float()
        losses = functional.cross_entropy(logits, inputs["input_ids"][:, 1:][wanted], reduction="none")
        total = weigh(losses, weights[wanted], logits.shape[-1]).sum()
        if model.training and isinstance(num_items_in_batch, Tensor):
            divisor, processes = num_items_in_batch, self.accelerator.num_processes  # gradients are averaged over them
        else:
            divisor, processes = step_normaliser([inputs], "kept"), 1
        loss = total / torch.where(divisor > 0, divisor, 1.0).to(total.device) * processes
        return (loss, outputs) if return_outputs else loss


def pad_rows(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Pad on the right: ``input_ids``, ``attention_mask``, ``weights`` and ``labels``, each ``(batch, seq)``.

    Labels, which the loss does not read, are those tokens that weigh anything.

    Raises:
        DataError: a row without weights, or with impossible ones.
    """
    missing = [name for name in ("input_ids", "weights") if any(name not in example for example in examples)]
    if missing:
        raise DataError(f"rows without {' and '.join(missing)}; they have {', '.join(examples[0])}")
    check_rows([{name: [row[name] for row in examples] for name in ("input_ids", "weights")}])
    ids = [torch.as_tensor(example["input_ids"], dtype=torch.int64) for example in examples]
    weights = [torch.as_tensor(example["weights"], dtype=torch.float32) for example in examples]
    batch = {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "weights": pad_sequence(weights, batch_first=True),
    }
    batch["weights"][:, 0] = 0.0
    batch["labels"] = torch.where(batch["weights"] != 0, batch["input_ids"], -100)
    return batch
