"""Where a model lies: folders, GGUF files, files inside installed packages, and the hub; and what is in it.

Whatever a user writes as ``path`` becomes a local file or folder here, before anything is loaded, so that every
mistake is reported in one place and one voice. Fingerprints speak of content, never of names or dates.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from xtf.display import command
from xtf.errors import ModelError, first_line
from xtf.progress import busy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKAGE = "package:"
_HUB_FILE = re.compile(r"([\w-][\w.-]*/[\w.-]+)/(.+\.gguf)", re.IGNORECASE)
_SNAPSHOT = re.compile(r"/models--([\w.-]+?)--([\w.-]+)/snapshots/[^/]+(/.+\.gguf)?$", re.IGNORECASE)
_TOKENIZER_FILES = ("*.json", "*.txt", "*.jinja", "*.model")
_SAMPLE, _STRIDE = 4096, 1 << 20


def find_model(path: str, revision: str | None = None, *, weights: bool = True, code: bool = False) -> Path:
    """Return the local folder or GGUF file that ``path`` means, downloading from the hub what is missing.

    Args:
        path: A folder, a GGUF file, ``package:NAME[/FILE]``, a hub id, or a GGUF file of the hub, ``ORG/NAME/FILE``.
        revision: Branch, tag or commit, on the hub.
        weights: Whether the weights are wanted too, or the configuration and tokenizer alone.
        code: Whether Python files may be downloaded.

    Raises:
        ModelError: when there is nothing of that name, or the hub cannot be reached.
    """
    if path.startswith(PACKAGE):
        return _in_package(path.removeprefix(PACKAGE))
    local = Path(path).expanduser()
    if local.exists():
        if local.is_file() and local.suffix.lower() != ".gguf":
            raise ModelError(f"{path}: expected a folder or a .gguf file. Give the folder that holds config.json.")
        return local.parent.resolve() / local.name if local.is_file() else local.resolve()
    if file := _HUB_FILE.fullmatch(path):
        return _file_of_hub(path, file[1], file[2], revision)
    if local.suffix.lower() == ".gguf" or not is_hub_id(path) or path.startswith("."):
        raise ModelError(f"{path}: no such file or folder (looked in {Path.cwd()}).")
    return _from_hub(path, revision, weights=weights, code=code)


def name_for_others(path: str) -> str:
    """The name under which others find what ``path`` means: a hub id or ``package:`` as written, else the whole path.

    Never a cache folder, which no other machine has: a snapshot of the hub goes by its id.
    """
    local = Path(path).expanduser()
    if path.startswith(PACKAGE) or not local.exists():
        return path
    whole = local.parent.resolve() / local.name if local.is_file() else local.resolve()  # the hub's files are links
    snapshot = _SNAPSHOT.search(whole.as_posix())
    return f"{snapshot[1]}/{snapshot[2]}{snapshot[3] or ''}" if snapshot else str(whole)


def is_hub_id(path: str) -> bool:
    """Whether ``path`` is written as the hub's ids are, and nothing of that name is here."""
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path) is not None and not Path(path).expanduser().exists()


def _in_package(inner: str) -> Path:
    name, _, rest = inner.partition("/")
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None  # does not run the package's code
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        install = command("pip", "install", name.replace("_", "-"))
        raise ModelError(f"{PACKAGE}{inner}: no package named {name!r} is installed. Install it: {install}")
    root = Path(next(iter(spec.submodule_search_locations)))
    found = root / rest
    if not found.exists():
        inside = sorted(p.name for p in root.iterdir() if not p.name.startswith("_"))
        raise ModelError(f"{PACKAGE}{inner}: package {name!r} has no {rest!r}. It holds: {', '.join(inside)}")
    if found.is_dir() and not (found / "config.json").exists():
        nested = sorted(p.parent for p in found.glob("*/config.json"))
        models = [p for p in nested if (p / "modules.json").exists()] or nested or sorted(found.glob("*.gguf"))
        if len(models) != 1:
            raise ModelError(f"{PACKAGE}{inner}: found {len(models)} models in it; name one, as {PACKAGE}{name}/FILE")
        found = models[0]
    return found


def _from_hub(repo: str, revision: str | None, *, weights: bool, code: bool) -> Path:
    from huggingface_hub import snapshot_download

    wanted = (*_TOKENIZER_FILES, *(("*.safetensors",) if weights else ()), *(("*.py",) if code else ()))
    with _asking_the_hub(repo, "folder"), busy(f"Looking up {repo}" if not weights else f"Fetching {repo}"):
        folder = snapshot_download(
            repo,
            revision=revision,
            allow_patterns=list(wanted),
            ignore_patterns=["original/*", "consolidated*", "onnx/*", "openvino/*"],
        )
    return Path(folder)


def _file_of_hub(path: str, repo: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    with _asking_the_hub(path, "file"), busy(f"Fetching {path}"):
        return Path(hf_hub_download(repo, name, revision=revision))


@contextmanager
def _asking_the_hub(path: str, kind: Literal["file", "folder"]) -> Iterator[None]:
    """Say of every failure what was looked for, and where.

    Raises:
        ModelError: for it.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        yield
    except LocalEntryNotFoundError:
        raise ModelError(
            f"{path}: no such {kind} here (looked in {Path.cwd()}), and the hub cannot be reached. Check the spelling "
            f"and the network, or download the model elsewhere and give its {kind}."
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"{path}: neither a {kind} here (looked in {Path.cwd()}) nor a model on the hub. "
            "If it is private or gated, log in: hf auth login"
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read from the hub: {first_line(error)}") from None


def require_safetensors(folder: Path, shown: str, names: Sequence[str] = ("*.safetensors",)) -> None:
    """Refuse a folder whose weights are missing or pickled; unpickling runs whatever code the file holds.

    Raises:
        ModelError: naming the pickle files found, if any.
    """
    if any(next(folder.glob(name), None) for name in names):
        return
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"{shown}: only pickled weights ({', '.join(pickles[:3])}), which can run any code when opened. "
            "Convert them where you trust them: AutoModelForCausalLM.from_pretrained(…).save_pretrained(FOLDER)"
        )
    raise ModelError(f"{shown}: no *.safetensors in {folder}. Give a folder written by save_pretrained.")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or an empty one when there is no such file.

    Raises:
        ModelError: it cannot be read.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    return value if isinstance(value, dict) else {}


def folder_fingerprint(folder: Path) -> str:
    """Fingerprint a model folder by its content; the commit, for a snapshot of the hub.

    Weights are sampled: the head of every tensor and 4 KiB of every MiB, so that any training shows at little cost.
    """
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return f"hub:{folder.name}"
    whole = hashlib.sha256()
    for name in ("config.json", "adapter_config.json"):
        if (folder / name).exists():
            whole.update((folder / name).read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        whole.update(f"{file.name} {file_fingerprint(file)}".encode())
    return f"folder:{whole.hexdigest()[:32]}"


def file_fingerprint(path: Path) -> str:
    """Fingerprint a weights file from its size, its first MiB, and samples of all the rest."""
    size = path.stat().st_size
    whole = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        whole.update(file.read(_STRIDE))
        starts = set(range(_STRIDE, size, _STRIDE))
        if path.suffix == ".safetensors":
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 8 + length <= size else {}
            spans = (entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
            starts |= {8 + length + span[0] for span in spans}
        for start in sorted(starts):
            file.seek(start)
            whole.update(file.read(_SAMPLE))
    return whole.hexdigest()[:32]


def object_fingerprint(model: PreTrainedModel) -> str:
    """Fingerprint a model in memory by its configuration and samples of every tensor."""
    whole = hashlib.sha256(model.config.to_json_string(use_diff=False).encode())
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().reshape(-1)
        sample = torch.cat([flat[:1024], flat[:: max(1, flat.numel() // 4096)]]).cpu().contiguous()
        whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        whole.update(sample.view(torch.uint8).numpy().tobytes())
    return f"object:{whole.hexdigest()[:32]}"


def cache_folder() -> Path:
    """Where converted models are kept: ``$XTF_CACHE``, or ``~/.cache/xtf``."""
    return Path(os.environ.get("XTF_CACHE") or "~/.cache/xtf").expanduser()
