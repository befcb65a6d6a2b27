"""Train one model on weighted rows, resume where an interruption left it, and never train it twice."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from xtf.config import TrainingConfig
from xtf.errors import DataError, ModelError
from xtf.files import write_json
from xtf.model.head import Head
from xtf.model.placing import refuse_spread
from xtf.progress import progress as progress_bar
from xtf.training.arms import ArmRows
from xtf.training.loop import MaskedTrainer, StepCounter, computes_in_bfloat16, save_model, without_bars
from xtf.training.loss import loss_as_forward
from xtf.training.merging import join_adapters, merge_adapter
from xtf.training.rescoring import KEPT_SHARE, RescoringTrainer
from xtf.training.rows import TrainingRow
from xtf.training.sharding import sharded_copy
from xtf.training.weights import make_trainable, resolve_auto, weights_dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A trained model, and what it cost.

    Attributes:
        model: The trained model: a PEFT wrapper around the base, or the base itself. Valid until :meth:`release`.
        steps: Optimiser updates.
        losses: The training loss of each update.
        tokens_kept: Targets with a weight above 0 in the rows, counted once; with re-scoring by their share in the
            updates.
        tokens_response: Response tokens in the rows, counted once.
        seconds: Wall-clock time of training.
        reused: Whether an earlier, finished training of the same fingerprint was loaded instead.
    """

    model: Any
    steps: int
    losses: tuple[float, ...]
    tokens_kept: int
    tokens_response: int
    seconds: float
    reused: bool = False
    _undo: Callable[[], None] = field(default=lambda: None, repr=False)

    def release(self) -> None:
        """Give the base model back as it was before training. Later calls do nothing."""
        self._undo()

    def __enter__(self) -> TrainResult:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Where one training is kept, and what it goes on from.

    Attributes:
        output_dir: A folder of this training alone.
        fingerprint: Of everything that decides the result. Work of another fingerprint in ``output_dir`` is discarded.
        seed: Of adapters, dropout and order.
        start: The ``model/`` folder of an earlier training by the same settings, to go on from instead of the base.
        merge: Whether the adapter in ``start`` is merged into the weights and a fresh one trained on top, instead of
            going on with it. ``model/`` then holds both as one adapter, and ``own/`` the fresh one.
        resume: Go on from a checkpoint, and load a finished training.
        progress: Show a bar when standard error is a terminal.
    """

    output_dir: Path
    fingerprint: str
    seed: int = 0
    start: Path | None = None
    merge: bool = field(default=False, kw_only=True)
    resume: bool = field(default=True, kw_only=True)
    progress: bool = field(default=False, kw_only=True)


def train_model(
    model: PreTrainedModel, tokenizer: Any, rows: Sequence[TrainingRow], config: TrainingConfig, job: TrainingJob
) -> TrainResult:
    """Fine-tune ``model`` with each target's loss multiplied by its weight.

    The same seed gives the same adapters, the same order of rows and the same number of updates, whatever the weights.
    ``job.output_dir`` receives ``model/`` (safetensors and tokenizer) and ``done.json``; ``checkpoints/`` exists only
    while training with ``save_steps``.

    Args:
        model: The base. It is trained in place; :meth:`TrainResult.release` undoes that.
        tokenizer: Saved beside the trained model.
        rows: At least one; their order and number fix the order of batches. :class:`~xtf.training.arms.ArmRows` whose
            labelling can be taken anew are, every ``rescore_steps`` updates.
        config: The training section.
        job: Where it is kept.

    Raises:
        DataError: when there are no rows.
        ModelError: when the adapters do not fit the model, or training diverges.
        ConfigError: when the scores of a block do not allow a cut.
    """
    if not rows:
        raise DataError("training: there is no example to train on")
    refuse_spread(
        model, "training", "Leave model.device_map out; accelerate launch with FSDP shares weights among GPUs."
    )
    config = resolve_auto(config, model)
    output_dir = job.output_dir
    done = _marker(output_dir / "done.json", job.fingerprint) if job.resume else None
    with ExitStack() as stack:
        merged = job.start if job.merge else None
        if merged is not None:
            merge_adapter(model, merged, weights_dtype(config), stack)
        if done is None and isinstance(rows, ArmRows) and rows.rescoring is not None:
            rows.rescoring.prepare()
        wrapped = make_trainable(model, config, job.seed, stack)
        if done is not None:
            _load(wrapped, output_dir / ("model" if merged is None else "own"))
        else:
            if job.start is not None and merged is None:
                _load(wrapped, job.start)
            trainer = _trainer(wrapped, rows, config, job)
            if trainer.is_world_process_zero():
                _prepare_folder(output_dir, job.fingerprint, job.resume)
            done = _run(trainer, wrapped, rows, config, job)
            if trainer.is_world_process_zero():
                _finish(wrapped, tokenizer, output_dir, {"fingerprint": job.fingerprint, **done}, merged)
        wrapped.eval()
        kept = response = 0
        for row in rows:
            kept, response = kept + int((row.weights > 0).sum()), response + int(row.is_response.sum())
        if "kept_share" in done:
            kept = round(done["kept_share"] * response)
        return TrainResult(
            model=wrapped,
            steps=done["steps"],
            losses=tuple(done["losses"]),
            tokens_kept=kept,
            tokens_response=response,
            seconds=done["seconds"],
            reused="fingerprint" in done,
            _undo=stack.pop_all().close,
        )


def _trainer(model: Any, rows: Sequence[TrainingRow], config: TrainingConfig, job: TrainingJob) -> MaskedTrainer:
    checkpoints = job.output_dir / "checkpoints"
    if isinstance(rows, ArmRows) and rows.rescoring is not None and config.rescore_steps is not None:
        return RescoringTrainer(model, rows, config, job.seed, checkpoints)
    return MaskedTrainer(model, rows, config, job.seed, checkpoints)


def _run(
    trainer: MaskedTrainer, model: Any, rows: Sequence[TrainingRow], config: TrainingConfig, job: TrainingJob
) -> dict[str, Any]:
    trainer.accelerator.wait_for_everyone()
    probe = torch.from_numpy(next(iter(rows)).input_ids[:16].astype("int64"))[None]
    started = time.monotonic()
    with ExitStack() as stack:
        stack.callback(trainer.close)
        if trainer.has_shards:
            model = trainer.model = trainer.model_wrapped = stack.enter_context(sharded_copy(model))
        head = Head.find(model, probe)
        if job.progress:
            advance = stack.enter_context(progress_bar(f"training {job.output_dir.name}", trainer.updates, "updates"))
            trainer.add_callback(StepCounter(advance))
        casts = trainer.is_deepspeed_enabled and computes_in_bfloat16(config)
        stack.enter_context(loss_as_forward(model, head, casts=casts))
        checkpoint = _last_checkpoint(job.output_dir / "checkpoints")
        if isinstance(trainer, RescoringTrainer) and checkpoint is not None:
            trainer.restore(Path(checkpoint))
        trainer.train(resume_from_checkpoint=checkpoint)
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    for step, loss in enumerate(losses, 1):
        if not math.isfinite(loss):
            raise ModelError(
                f"training diverged: the loss of update {step} of {len(losses)} is {loss}. Lower learning_rate, which "
                f"is {trainer.args.learning_rate:g}."
            )
    shares = [float(entry[KEPT_SHARE]) for entry in trainer.state.log_history if KEPT_SHARE in entry]
    return {
        **({"kept_share": sum(shares) / len(shares)} if shares else {}),
        "steps": int(trainer.state.global_step),
        "losses": losses,
        "seconds": round(time.monotonic() - started, 3),
    }


def _prepare_folder(output_dir: Path, fingerprint: str, resume: bool) -> None:
    """Discard what another configuration, or a run that is not to be resumed, has left."""
    started = output_dir / "started.json"
    if not resume or _marker(started, fingerprint) is None:
        for name in ("model", "checkpoints"):
            shutil.rmtree(output_dir / name, ignore_errors=True)
        (output_dir / "done.json").unlink(missing_ok=True)
        write_json(started, {"fingerprint": fingerprint})


def _finish(model: Any, tokenizer: Any, output_dir: Path, marker: dict[str, Any], merged: Path | None) -> None:
    """Put the trained model in place as a whole, with what it was ``merged`` onto, then say so."""
    partial, final = output_dir / "model.partial", output_dir / "model"
    for folder in (partial, final):
        shutil.rmtree(folder, ignore_errors=True)
    save_model(model, partial)
    if merged is not None:
        save_model(model, output_dir / "own")
        join_adapters(merged, partial)
    tokenizer.save_pretrained(partial)
    partial.rename(final)
    write_json(output_dir / "done.json", marker)
    shutil.rmtree(output_dir / "checkpoints", ignore_errors=True)


def _load(model: Any, folder: Path) -> None:
    """Load trained weights into ``model``, which already has the right shape."""
    if hasattr(model, "peft_config"):
        from peft import load_peft_weights, set_peft_model_state_dict

        set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
        return
    with without_bars():
        trained = type(model).from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    with torch.no_grad():
        for target, source in zip(model.parameters(), trained.parameters(), strict=True):
            target.copy_(source)


def _last_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint: its trainer state, which is written last, can be read."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((str(path) for path in found if _read_json(path / "trainer_state.json") is not None), None)


def _marker(path: Path, fingerprint: str) -> dict[str, Any] | None:
    content = _read_json(path)
    return content if content is not None and content.get("fingerprint") == fingerprint else None


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None
