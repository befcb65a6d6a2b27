"""axolotl, every token with its weight: a plug-in, which needs axolotl alone.

In the axolotl.yaml that `xtf export RUN --to axolotl` writes, with this file on PYTHONPATH, and without sample_packing:

    plugins: [axolotl_plugin.WeightsPlugin]
    datasets: [{path: RUN/labels, type: null}]
    remove_unused_columns: false
"""

import math
from typing import Any

import torch
from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence


class WeightsPlugin(BasePlugin):
    """Brings the column `weights` into the batches and into the loss."""

    def get_collator_cls_and_kwargs(self, cfg: Any, is_eval: bool = False) -> Any:
        if cfg.sample_packing:
            raise ValueError("weights are lost in sample_packing: set it to false")
        return WeightedCollator, {}

    def get_trainer_cls(self, cfg: Any) -> Any:
        return WeightedTrainer


class WeightedCollator:
    """Pads rows on the right."""

    def __init__(self, tokenizer: Any, **options: Any) -> None:
        self.padding = {"input_ids": 0, "attention_mask": 0, "labels": -100, "weights": 0.0}

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        columns = {name: [torch.tensor(row[name]) for row in rows] for name in self.padding}
        return {
            name: pad_sequence(values, batch_first=True, padding_value=self.padding[name])
            for name, values in columns.items()
        }


class WeightedTrainer(AxolotlTrainer):
    """The loss of an update is sum(weight * loss) over the sum of its weights above 0."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.model_accepts_loss_kwargs = True  # or the loss is divided by gradient_accumulation_steps once more

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        total = sum(batch["weights"][:, 1:].clamp(min=0).sum() for batch in batch_samples)
        gathered: torch.Tensor = self.accelerator.gather(torch.as_tensor(total, device=device))
        return gathered.sum()

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        weights, ids = inputs["weights"][:, 1:], inputs["input_ids"]
        outputs = model(input_ids=ids, attention_mask=inputs["attention_mask"], use_cache=False)
        logits = outputs.logits[:, :-1].float()
        losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        losses = torch.where(weights < 0, losses.clamp(max=math.log(logits.shape[-1])), losses)  # unlearnt so far
        divisor, processes = num_items_in_batch, self.accelerator.num_processes  # over which gradients are averaged
        if divisor is None or not model.training:
            divisor, processes = weights.clamp(min=0).sum(), 1
        loss = (losses * weights).sum() / divisor.clamp(min=1e-8) * processes
        return (loss, outputs) if return_outputs else loss
