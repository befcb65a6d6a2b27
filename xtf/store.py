"""The run folder: shards, their records, the manifest, and the lock.

A shard ``KIND/part-00042.parquet`` counts as written once ``state/KIND/part-00042.json`` exists: that record holds
the shard's checksum and what it was made from. A process that dies leaves at most a shard without a record, which is
simply made again; a damaged shard no longer matches its record and is made again too.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xtf.errors import RunError
from xtf.files import file_digest, write_atomically, write_json, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["tokens", "scores", "labels"]

MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What is known of one complete shard.

    Attributes:
        index: Its number.
        sha256: Checksum of the file.
        rows: Examples in it.
        facts: What it was made from and what was counted; JSON values.
    """

    index: int
    sha256: str
    rows: int
    facts: Mapping[str, Any]


class RunFolder:
    """Paths, shards and manifest of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state = self.path / "state"
        self.config_path = self.path / "config.yaml"
        self.manifest_path = self.path / "manifest.json"
        self.metrics_path = self.path / "metrics.json"
        self.vocabulary_path = self.state / "vocabulary.parquet"

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """Open a folder that a run has written.

        Raises:
            RunError: if it holds no run.
        """
        folder = cls(path)
        if not folder.manifest_path.is_file():
            hint = "Score something first: xtf run CONFIG" if not folder.path.exists() else "It has no manifest.json."
            raise RunError(f"{path}: not a run folder. {hint}")
        return folder

    # -- manifest ------------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The manifest, or an empty mapping before the run has begun.

        Raises:
            RunError: if the file is damaged or of a newer format.
        """
        if not self.manifest_path.exists():
            return {}
        loaded = _read_json(self.manifest_path)
        if loaded.get("format") != MANIFEST_FORMAT:
            raise RunError(
                f"{self.manifest_path}: format {loaded.get('format')!r}, this version reads {MANIFEST_FORMAT}. "
                "Score the data again into another folder."
            )
        return loaded

    def update_manifest(self, **entries: Any) -> dict[str, Any]:
        """Set entries of the manifest and write it; mappings are merged one level deep."""
        manifest = self.manifest() or {"format": MANIFEST_FORMAT}
        for key, value in entries.items():
            before = manifest.get(key)
            manifest[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
        write_json(self.manifest_path, manifest)
        return manifest

    # -- shards --------------------------------------------------------------------------------------------------

    def shard_path(self, kind: Kind, index: int) -> Path:
        """Where a shard's file is, written or not."""
        return self.path / kind / f"part-{index:05d}.parquet"

    def record(self, kind: Kind, index: int) -> ShardRecord | None:
        """The record of a complete shard, or None; the file itself is not read."""
        path = self._record_path(kind, index)
        if not path.exists() or not self.shard_path(kind, index).exists():
            return None
        try:
            loaded = _read_json(path)
            return ShardRecord(index, str(loaded["sha256"]), int(loaded["rows"]), dict(loaded["facts"]))
        except (RunError, KeyError, TypeError, ValueError):
            return None  # a damaged record proves nothing; its shard is made again

    def records(self, kind: Kind) -> list[ShardRecord]:
        """The records of all complete shards, in order."""
        names = (re.fullmatch(r"part-(\d+)\.json", path.name) for path in (self.state / kind).glob("part-*.json"))
        indices = sorted(int(match[1]) for match in names if match)
        return [record for index in indices if (record := self.record(kind, index)) is not None]

    def intact(self, kind: Kind, index: int) -> ShardRecord | None:
        """The record of a shard whose file still has the recorded checksum, or None."""
        record = self.record(kind, index)
        if record is None or file_digest(self.shard_path(kind, index)) != record.sha256:
            return None
        return record

    def write_shard(self, kind: Kind, index: int, table: pa.Table, facts: Mapping[str, Any]) -> ShardRecord:
        """Write a shard, then its record; each appears only when complete."""
        path = self.shard_path(kind, index)
        self._record_path(kind, index).unlink(missing_ok=True)
        write_parquet(path, table)
        record = ShardRecord(index, file_digest(path), table.num_rows, dict(facts))
        write_json(
            self._record_path(kind, index), {"sha256": record.sha256, "rows": record.rows, "facts": record.facts}
        )
        return record

    def read_shard(self, kind: Kind, record: ShardRecord, columns: list[str] | None = None) -> pa.Table:
        """Read a shard after checking its checksum.

        Raises:
            RunError: naming the file, if it is missing or damaged.
        """
        import pyarrow.parquet as pq

        path = self.shard_path(kind, record.index)
        if not path.exists() or file_digest(path) != record.sha256:
            raise RunError(
                f"{path}: damaged: its content does not match the checksum recorded when it was written. "
                f"Repair it (only this shard is computed again): xtf score {self.config_path}"
            )
        return pq.read_table(path, columns=columns)

    def complete(self, kind: Kind, facts: Mapping[str, Any]) -> None:
        """Record that every shard of a kind has been written."""
        write_json(self.state / kind / "complete.json", dict(facts))

    def completion(self, kind: Kind) -> dict[str, Any] | None:
        """What :meth:`complete` recorded, or None."""
        path = self.state / kind / "complete.json"
        return _read_json(path) if path.exists() else None

    def remove_shards(self, kind: Kind) -> None:
        """Forget every shard of a kind, records first."""
        shutil.rmtree(self.state / kind, ignore_errors=True)
        shutil.rmtree(self.path / kind, ignore_errors=True)

    # -- fitted states -------------------------------------------------------------------------------------------

    def write_tensors(self, name: str, tensors: Mapping[str, Any]) -> None:
        """Save tensors as ``state/NAME.safetensors``."""
        from safetensors.torch import save

        data = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
        write_atomically(self.state / f"{name}.safetensors", lambda file: file.write(data))

    def read_tensors(self, name: str) -> dict[str, Any] | None:
        """Load what :meth:`write_tensors` saved, or None if there is no such file."""
        from safetensors.torch import load_file

        path = self.state / f"{name}.safetensors"
        return dict(load_file(path)) if path.exists() else None

    # -- lock ----------------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, name: str = "run") -> Iterator[None]:
        """Hold the folder for writing; the operating system releases it when the process ends, however it ends.

        Raises:
            RunError: if another process holds it.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / f"{name}.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise RunError(
                    f"{self.path}: another process ({holder}) is writing to this run. Wait for it, or choose another "
                    "folder with --set output=runs/NAME."
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            yield

    def clear(self) -> None:
        """Delete what a run writes here, and nothing else. The lock file stays, for it may be held."""
        for kind in ("tokens", "scores", "labels", "references", "model", "arms"):
            shutil.rmtree(self.path / kind, ignore_errors=True)
        for path in (self.config_path, self.manifest_path, self.metrics_path, self.path / "report.html"):
            path.unlink(missing_ok=True)
        for path in self.state.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".lock":
                path.unlink()

    def _record_path(self, kind: Kind, index: int) -> Path:
        return self.state / kind / f"part-{index:05d}.json"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read: {error}. Start the run again with --overwrite.") from None
    if not isinstance(loaded, dict):
        raise RunError(f"{path}: expected a JSON object. Start the run again with --overwrite.")
    return loaded
