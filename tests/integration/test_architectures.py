"""Score, label and train with every architecture; values against the model's own full logits and attention maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xtf
from tests.architectures import ATTENTIVE, HYBRIDS, architecture
from tests.conftest import chat_rows, tiny_config
from tests.tiny import tiny_tokenizer
from xtf.api import Run
from xtf.errors import ModelError

ATTENTION = {"attribute": "reasoning_importance", "variant": "paper"}
ATTRIBUTES: dict[str, Any] = {
    "loss": {"attribute": "knowledge_novelty", "measure": "loss"},
    "entropy": {},
    "task_relevance": {},
}


def scored(folder: Path, name: str, attributes: dict[str, Any], **more: Any) -> Run:
    architecture(name).save_pretrained(str(folder / "model"))
    tiny_tokenizer().save_pretrained(str(folder / "model"))
    return xtf.score(tiny_config(folder, folder / "model", chat_rows(8), attributes=attributes, **more))


def expected(run: Run, name: str) -> dict[str, Any]:
    """Loss and mean attention received of every response token, one example at a time, from full logits and maps."""
    model: Any = architecture(name)
    model.set_attn_implementation("eager")
    losses, received = [], []
    for shard in run.shards():
        for index in range(len(shard)):
            example = shard.example(index)
            ids = torch.from_numpy(example.input_ids.astype(np.int64))
            output = model(ids[None], output_attentions=True, use_cache=False)
            places = np.flatnonzero(example.is_response)
            losses.append(-output.logits[0].log_softmax(-1)[places - 1, ids[places]].numpy())
            maps = [layer[0] for layer in output.attentions or () if layer is not None]
            received.append(torch.stack(maps).mean((0, 1, 2))[places].numpy() if maps else np.zeros(0))
    return {"loss": np.concatenate(losses), "attention": np.concatenate(received)}


def found(run: Run, attribute: str) -> Any:
    column = np.concatenate([shard.scores[attribute] for shard in run.shards()])
    return column[np.isfinite(column)]


@pytest.mark.parametrize("name", [*ATTENTIVE, *HYBRIDS])
def test_every_architecture_is_scored_labelled_and_trained(tmp_path: Path, name: str) -> None:
    attributes = ATTRIBUTES | ({"attention": ATTENTION} if name in ATTENTIVE else {})
    training = {"arms": ["full", "xtf"], "max_steps": 3, "batch_size": 8, "schedule": "constant", "learning_rate": 0.01}
    run = scored(tmp_path, name, attributes, training={**training, "warmup_ratio": 0.0})
    values = expected(run, name)
    np.testing.assert_allclose(found(run, "loss"), values["loss"], rtol=1e-3, atol=1e-4)
    if name in ATTENTIVE:
        np.testing.assert_allclose(found(run, "attention"), values["attention"], rtol=1e-3, atol=1e-5)
    full, masked = xtf.train(xtf.label(run))["arms"]
    first, *_, last = full["train_losses"][0]
    if name != "gpt2":  # whose dropout is on while it trains
        assert first == pytest.approx(values["loss"].mean(), rel=1e-3)
    assert last < first
    assert 0 < masked["tokens_kept"] < full["tokens_kept"] == len(values["loss"])


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_hybrid_s_attention_is_refused_by_name_but_where_it_has_some(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"'attention_received'.*the attention of layers 0, 2 cannot be read.*\[1\]"):
        scored(tmp_path, name, {"attention": ATTENTION})
    run = scored(tmp_path / "layer", name, {"attention": {**ATTENTION, "layers": [1]}})
    np.testing.assert_allclose(found(run, "attention"), expected(run, name)["attention"], rtol=1e-3, atol=1e-5)
