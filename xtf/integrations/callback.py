"""A callback that compares a trainer with the labels of a run, and stops it if it learns something else.

A callback sees no batches. Before the first step this one collates the trainer's own data set by its own collator
(:func:`xtf.integrations.checking.check_batches`). In the first steps it looks at what the model receives, computes the
loss that the labels have there, and compares it with the loss that the trainer reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import TrainerCallback

from xtf.errors import TrainerError
from xtf.integrations.checking import Checker, collated, opened
from xtf.integrations.labelled import LabelledTokens
from xtf.progress import notice
from xtf.runs import RunReader
from xtf.training.loss import weigh

PLAIN = (
    "input_ids",
    "attention_mask",
    "position_ids",
    "cu_seq_lens_q",
    "cu_seq_lens_k",
    "max_length_q",
    "max_length_k",
)
"""What decides a model's logits."""


class CheckCallback(TrainerCallback):
    """For ``callbacks=[CheckCallback("runs/my-run")]`` of a ``transformers.Trainer`` or one of TRL's.

    It says ``as labelled``, or stops training by an error that says what is learnt instead.

    Args:
        run: A labelled run, or its folder.
        weights: Whether the run's weights must arrive; otherwise labels alone are compared.
        subset: Rows are left out on purpose.
        steps: Updates whose loss is compared. 0: none, for a trainer whose loss is another on purpose.
    """

    def __init__(
        self,
        run: RunReader | str | Path,
        *,
        weights: bool = True,
        subset: bool = False,
        steps: int = 1,
    ) -> None:
        self.run, self.weights, self.subset, self.steps = run, weights, subset, steps
        self._sums = torch.zeros(2, dtype=torch.float64)  # of losses, and of what they are divided by
        self._own: float | None = None
        self._hook: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Compare all batches of the data, then listen to what the model receives.

        Raises:
            TrainerError: something else would be learnt than is labelled.
        """
        rows = LabelledTokens.of(opened(self.run))
        checker = Checker(rows, self.weights)
        for batch in collated(kwargs["train_dataloader"]):
            checker.add(batch)
        findings = checker.finish(self.subset)
        if findings.problems():
            raise TrainerError(str(findings))
        if args.process_index == 0:
            notice(str(findings))
        if self.steps:
            self._checker = Checker(rows, self.weights)
            self._left = self.steps
            self._hook = kwargs["model"].register_forward_pre_hook(self._receive, with_kwargs=True)

    def _receive(self, model: Any, positional: Any, inputs: Mapping[str, Any]) -> None:
        """Add the loss of a batch under its labels; the model's own pass then draws the same dropout."""
        if not torch.is_grad_enabled() or not model.training:
            return
        weights = torch.from_numpy(self._checker.weights_of(inputs)).to(inputs["input_ids"].device)[:, 1:]
        plain = {name: inputs[name] for name in PLAIN if inputs.get(name) is not None}
        with torch.no_grad(), torch.random.fork_rng():
            logits = model(**plain, use_cache=False).logits
        self._sums += _loss_and_weight(logits[:, :-1], inputs["input_ids"][:, 1:], weights)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have the loss of this update reported alone."""
        if self._hook is not None:
            self._own = self._over_processes(args)
            self._sums.zero_()
            control.should_log = True

    def _over_processes(self, args: Any) -> float:
        sums = self._sums.to(args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(sums)
        total, divisor = sums.tolist()
        return float(total / divisor) if divisor > 0 else float(total)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Compare the loss of an update.

        Raises:
            TrainerError: it is not the loss that the labels have.
        """
        if self._own is None or not logs or "loss" not in logs:
            return
        own, theirs, self._own = self._own, float(logs["loss"]), None
        exact = not (args.bf16 or args.fp16) and torch.get_default_dtype() == torch.float32
        if not math.isclose(own, theirs, rel_tol=1e-3 if exact else 2e-2, abs_tol=1e-4):
            raise TrainerError(
                f"update {state.global_step}: the trainer's loss is {theirs:.5f}, that of the run's labels on the same "
                f"batches {own:.5f}. Either weights do not reach the loss, or it is divided by something else (label "
                "smoothing, an average of batches, an auxiliary loss); with steps=0 losses are not compared"
            )
        if args.process_index == 0:
            notice(f"update {state.global_step}: the trainer's loss is {theirs:.5f}, that of the labels {own:.5f}")
        self._left -= 1
        if not self._left:
            self._hook.remove()
            self._hook = None


def _loss_and_weight(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted losses of ``(batch, seq)`` targets summed up, and their weights above 0."""
    wanted = weights != 0
    losses = functional.cross_entropy(logits[wanted].float(), targets[wanted], reduction="none")
    weighed = weigh(losses, weights[wanted], logits.shape[-1]).sum(dtype=torch.float64)
    return torch.stack([weighed, weights.clamp(min=0).sum(dtype=torch.float64)]).cpu()
