"""Models: loading them, and reading every requested signal from one pass.

``load_model`` and ``load_tokenizer`` accept a hub id, a folder, a GGUF file or a file inside an installed package;
``SignalPass`` turns batches of tokens into signals; ``Embedder`` embeds tokens and texts. Begin reading in ``signals``.
"""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.model.embed import Embedder
    from xtf.model.load import LoadedModel, load_model, model_device, model_dtype, model_fingerprint
    from xtf.model.signal_pass import SignalPass
    from xtf.model.tokenizer import load_tokenizer, tokenizer_fingerprint

__all__ = [
    "Embedder",
    "LoadedModel",
    "SignalPass",
    "load_model",
    "load_tokenizer",
    "model_device",
    "model_dtype",
    "model_fingerprint",
    "tokenizer_fingerprint",
]
__getattr__ = on_demand(
    __name__,
    {
        "xtf.model.embed": "Embedder",
        "xtf.model.load": "LoadedModel load_model model_device model_dtype model_fingerprint",
        "xtf.model.signal_pass": "SignalPass",
        "xtf.model.tokenizer": "load_tokenizer tokenizer_fingerprint",
    },
)
