"""What the loss is divided by: as the selector's paper has it, unless the configuration says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xtf
from tests.conftest import chat_rows, tiny_config
from tests.tiny import tiny_model
from xtf.runs.tables import examples_of

TRAINING = {
    "arms": ["xtf"],
    "batch_size": 6,
    "max_steps": 1,
    "warmup_ratio": 0.0,
    "objective": "weight",
    "lora": {"r": 2, "alpha": 4},
}


def config_of(folder: Path, model: Path, **training: Any) -> dict[str, Any]:
    config = tiny_config(folder, model, chat_rows(6), attributes={"dft": {}}, training={**TRAINING, **training})
    return {**config, "combine": {"weight_by": "dft"}}


@pytest.mark.parametrize("given", [None, "kept", "response"])
def test_the_first_loss_of_dft_is_that_of_its_paper(tmp_path: Path, tiny_folder: Path, given: str | None) -> None:
    run = xtf.run(config_of(tmp_path, tiny_folder, **({"normalise": given} if given else {})))
    assert run.config.training is not None
    assert run.config.training.normalise == (given or "response")
    losses = []
    for record in run.folder.records("tokens"):
        for example in examples_of(run.folder.read_shard("tokens", record)):
            ids = torch.from_numpy(example.input_ids.astype(np.int64))
            with torch.no_grad():
                log_probs = tiny_model()(ids[None]).logits[0, :-1].double().log_softmax(-1)
            own = log_probs.gather(1, ids[1:, None])[:, 0].numpy()[example.is_response[1:]]
            losses.append(-own)
    loss = np.concatenate(losses)
    weight = np.exp(-loss)
    divisor = weight.sum() if given == "kept" else len(loss)
    assert run.metrics["arms"][0]["train_losses"][0][0] == pytest.approx((weight * loss).sum() / divisor, rel=1e-4)


@pytest.mark.parametrize(
    ("attributes", "thresholds", "want"),
    [
        ({"knowledge_novelty": {}}, {}, "kept"),
        ({"profit": {}}, {}, "response"),
        ({"profit": {}, "knowledge_novelty": {}}, {}, "response"),
        ({"profit": {}, "knowledge_novelty": {}}, {"profit": {"kind": "never"}}, "kept"),
        ({"eaft": {}, "knowledge_novelty": {}}, {}, "kept"),  # a weight that nothing uses
    ],
)
def test_the_selectors_that_decide_bring_it(
    tmp_path: Path, tiny_folder: Path, attributes: dict[str, Any], thresholds: dict[str, Any], want: str
) -> None:
    config = tiny_config(tmp_path, tiny_folder, attributes=attributes, thresholds=thresholds, training={})
    training = xtf.load_config(config).training
    assert training is not None
    assert training.normalise == want
