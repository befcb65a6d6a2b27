"""A data set with a card that says how its labels were made, ready for the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from xtf.display import counted
from xtf.exporters.exporter import Export
from xtf.exporters.labels import LabelsExporter
from xtf.runs.versions import source_commit

_COLUMNS = """| column | what it holds |
|---|---|
| `example_id` | name of the example in the source |
| `input_ids`, `attention_mask` | the tokens |
| `labels` | the token where it is learnt, else -100 |
| `assistant_masks` | 1 where it is learnt, else 0 |
| `weights` | what the token counts for in the loss |
| `noise` | true where a token of the response is masked |
| `reasons` | for noise: bit *i* is set when attribute *i* of the list below lacks |"""


VERSIONS = {"xtf-tokens": "XTF", "torch": "torch", "transformers": "transformers"}


class HubExporter(LabelsExporter):
    """The columns of ``labels/`` and a data card, ``README.md``: attributes, cuts, share masked, versions."""

    name = "hub"

    def sidecars(self, export: Export) -> Mapping[str, str]:
        return {"README.md": data_card(export)}


def data_card(export: Export) -> str:
    """The card: metadata that ``load_dataset`` reads, and how the labels were made, in Markdown."""
    head = {
        "tags": ["xtf", "token-labels"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "part-*.parquet"}]}],
    }
    masked = export.response - export.learnt
    parts = [
        f"---\n{_yaml(head)}---",
        f"# {_line(Path(export.config.output).name)}: token labels",
        "Tokenised fine-tuning data in which tokens that are not worth learning are masked, with the reasons. Made by "
        f"{_version(export)}.",
        f"{counted(export.rows, 'row')}, {counted(export.tokens, 'token')}, "
        f"{counted(export.response, 'response token')}; masked as noise: {masked:,} ({_share(masked, export)})."
        f"{_left_out(export)}",
        _COLUMNS,
        "## How the labels were made",
        "Attributes, in the order of the bits of `reasons`, and what each masks, alone or with others:",
        "\n".join(["| attribute | masks |", "|---|---|", *_attributes(export)]),
        f"```yaml\n{_yaml(_settings(export))}```",
    ]
    return "\n\n".join(parts) + "\n"


def _attributes(export: Export) -> Iterator[str]:
    """A row of a table for each attribute that labels know."""
    for name in export.manifest.get("reasons") or export.config.attributes:
        count = export.masked_by.get(name, 0)
        yield f"| `{name}` | {counted(count, 'response token')} ({_share(count, export)}) |"


def _share(tokens: int, export: Export) -> str:
    """A number of response tokens as a share of all."""
    return f"{tokens / max(export.response, 1):.1%}"


def _settings(export: Export) -> dict[str, Any]:
    """The settings that decided, without the places of this machine."""
    config = export.config.model_dump(mode="json")
    data = config["data"]
    kept = ("max_length", "learn", "never_learn", "always_learn", "prompt_weight", "template_args", "template_adds")
    settings = {
        "model": config["model"]["path"],
        "data": {name: data[name] for name in ("path", *kept)},
        **{name: config[name] for name in ("attributes", "thresholds", "combine", "seed")},
    }
    return {name: _without_places(value) for name, value in settings.items()}


def _without_places(value: Any) -> Any:
    """A setting, of files and folders of this machine their last names alone."""
    if isinstance(value, dict):
        return {key: _without_places(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_places(one) for one in value]
    is_place = isinstance(value, str) and len(value) < 1000 and "\0" not in value and Path(value).is_absolute()
    return Path(value).name if is_place else value


def _version(export: Export) -> str:
    """What scored, and at which commit of XTF the card is written; commits of earlier steps are not on record."""
    scored = export.manifest.get("versions", {})
    parts = [f"{name} {scored[key]}" for key, name in VERSIONS.items() if key in scored]
    commit = source_commit()
    return ", ".join(parts or ["XTF"]) + (f"; written by XTF at commit {commit}" if commit else "")


def _left_out(export: Export) -> str:
    said = []
    if nothing := export.manifest.get("counts", {}).get("rows_without_supervised_token", 0):
        said.append(f"Rows with nothing left to learn are not among them: {nothing:,}.")
    if export.drop_worse_than is not None:
        rows = counted(export.left_out, "row")
        said.append(f"Left out, as more than {export.drop_worse_than:g} of it is masked: {rows}.")
    return "".join(f" {sentence}" for sentence in said)


def _line(text: str) -> str:
    """A text that is anybody's, on one line and without Markdown's signs."""
    return " ".join("".join(one if one.isalnum() or one in "-_. " else " " for one in text).split())


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)
