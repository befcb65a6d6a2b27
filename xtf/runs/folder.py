"""The run folder: shards, their records, the manifest, and the lock.

A shard ``KIND/part-00042.parquet`` counts as written once ``state/KIND/part-00042.json`` exists: that record holds
the shard's checksum and what it was made from. A process that dies leaves at most a shard without a record, which is
simply made again; a damaged shard no longer matches its record and is made again too.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xtf.display import command
from xtf.errors import RunError, did_you_mean, raise_if_forbidden
from xtf.files import (
    file_digest,
    read_sealed,
    read_sealed_json,
    remove_leftovers,
    write_parquet,
    write_sealed,
    write_sealed_json,
)
from xtf.progress import notice
from xtf.runs.locks import Held, hold_after_waiting, hold_alone, hold_share
from xtf.runs.worker import Worker

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["tokens", "scores", "labels", "verdicts"]
"""Shards of ``verdicts``, which no trainer reads, lie in ``state/``."""

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

    def brief(self) -> ShardRecord:
        """The same without the report on the rows read, which grows with what was wrong in them."""
        return replace(self, facts={key: value for key, value in self.facts.items() if key != "report"})


class RunFolder:
    """Paths, shards and manifest of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state = self.path / "state"
        self.config_path = self.path / "config.yaml"
        self.manifest_path = self.path / "manifest.json"
        self.metrics_path = self.path / "metrics.json"
        self.detection_path = self.path / "detection.json"
        self.vocabulary_path = self.state / "vocabulary.parquet"
        self._verified: dict[Path, tuple[str, tuple[int, int, int]]] = {}

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """Open a folder that a run has written.

        Raises:
            RunError: if it holds no run.
        """
        folder = cls(path)
        if not folder.manifest_path.is_file():
            hint = "Score something first: xtf run CONFIG" if not folder.path.exists() else "It has no manifest.json."
            beside = [str(one.parent) for one in folder.path.parent.glob("*/manifest.json")]
            raise RunError(f"{path}: not a run folder.{did_you_mean(str(path), beside)} {hint}")
        return folder

    # -- manifest ------------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The manifest, or an empty mapping before the run has begun.

        Raises:
            RunError: if the file is damaged or of a newer format.
        """
        if not self.manifest_path.exists():
            return {}
        try:
            loaded = read_sealed_json(self.manifest_path)
        except RunError as error:
            raise RunError(f"{error}. Repair it: {command('xtf', 'score', self.config_path)}") from None
        if loaded.get("format") != MANIFEST_FORMAT:
            raise RunError(
                f"{self.manifest_path}: format {loaded.get('format')!r}, this version reads {MANIFEST_FORMAT}. "
                "Score the data again into another folder."
            )
        return loaded

    def update_manifest(self, **entries: Any) -> dict[str, Any]:
        """Set entries of the manifest and write it; mappings are merged one level deep."""
        with hold_after_waiting(self.state / "manifest.lock"):
            manifest = self.manifest() or {"format": MANIFEST_FORMAT}
            for key, value in entries.items():
                before = manifest.get(key)
                manifest[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
            write_sealed_json(self.manifest_path, manifest)
        return manifest

    # -- shards --------------------------------------------------------------------------------------------------

    def shard_path(self, kind: Kind, index: int) -> Path:
        """Where a shard's file is, written or not."""
        within = self.state if kind == "verdicts" else self.path
        return within / kind / f"part-{index:05d}.parquet"

    def record(self, kind: Kind, index: int) -> ShardRecord | None:
        """The record of a complete shard, or None; the file itself is not read."""
        path = self.record_path(kind, index)
        if not path.exists() or not self.shard_path(kind, index).exists():
            return None
        try:
            loaded = read_sealed_json(path)
            return ShardRecord(index, str(loaded["sha256"]), int(loaded["rows"]), dict(loaded["facts"]))
        except (RunError, KeyError, TypeError, ValueError):
            return None  # a damaged record proves nothing; its shard is made again

    def records(self, kind: Kind) -> list[ShardRecord]:
        """The records of all complete shards, in order, without the reports in them."""
        found = (self.record(kind, index) for index in self.indices(kind))
        return [record.brief() for record in found if record is not None]

    def indices(self, kind: Kind) -> list[int]:
        """The numbers of all shards that have a record, damaged or not, in order."""
        names = (re.fullmatch(r"part-([0-9]+)\.json", path.name) for path in (self.state / kind).glob("part-*.json"))
        return sorted(int(match[1]) for match in names if match)

    def intact(self, kind: Kind, index: int) -> ShardRecord | None:
        """The record of a shard whose file still has the recorded checksum, or None (and a remark if it has not)."""
        record = self.record(kind, index)
        if record is None:
            return None
        path = self.shard_path(kind, index)
        signature = _signature(path)
        if self._verified.get(path) != (record.sha256, signature):
            if file_digest(path) != record.sha256:
                notice(f"{path}: damaged; it is made again.")
                return None
            self._verified[path] = (record.sha256, signature)
        return record

    def write_shard(self, kind: Kind, index: int, table: pa.Table, facts: Mapping[str, Any]) -> ShardRecord:
        """Write a shard, then its record; each appears only when complete."""
        path = self.shard_path(kind, index)
        self.record_path(kind, index).unlink(missing_ok=True)
        record = ShardRecord(index, write_parquet(path, table), table.num_rows, dict(facts))
        write_sealed_json(
            self.record_path(kind, index), {"sha256": record.sha256, "rows": record.rows, "facts": record.facts}
        )
        return record

    def read_shard(self, kind: Kind, record: ShardRecord, columns: list[str] | None = None) -> pa.Table:
        """Read a shard after checking its checksum, unless this object has checked the same file before.

        Raises:
            RunError: naming the file, if it is missing or damaged, or lacks a column.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.shard_path(kind, record.index)
        try:
            signature = _signature(path)
            if self._verified.get(path) == (record.sha256, signature):
                table = pq.ParquetFile(path).read(columns=columns, use_threads=False)
            else:
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() != record.sha256:
                    raise OSError("its content does not match the checksum recorded when it was written")
                self._verified[path] = (record.sha256, signature)
                table = pq.ParquetFile(pa.BufferReader(content)).read(columns=columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise_if_forbidden(error)
            raise RunError(
                f"{path}: damaged: {error.strerror if isinstance(error, OSError) and error.strerror else error}. "
                f"Repair it (only this shard is computed again): {self._repair(kind)}"
            ) from None
        missing = [name for name in columns or () if name not in table.column_names]
        if missing:
            raise RunError(f"{path}: holds no {', '.join(missing)}. Compute what is missing: {self._repair(kind)}")
        return table.select(columns) if columns is not None else table

    def _repair(self, kind: Kind) -> str:
        label = kind in ("labels", "verdicts")
        return command("xtf", "label", self.path) if label else command("xtf", "score", self.config_path)

    def complete(self, kind: Kind, facts: Mapping[str, Any]) -> None:
        """Record that every shard of a kind has been written."""
        write_sealed_json(self.state / kind / "complete.json", facts)

    def completion(self, kind: Kind) -> dict[str, Any] | None:
        """What :meth:`complete` recorded, or None if it has not or the file is damaged."""
        try:
            return read_sealed_json(self.state / kind / "complete.json")
        except RunError:
            return None  # whoever asks looks at the shards instead, and completes again

    # -- fitted states -------------------------------------------------------------------------------------------

    def write_tensors(self, name: str, tensors: Mapping[str, Any]) -> None:
        """Save tensors as ``state/NAME.safetensors``, sealed."""
        from safetensors.torch import save

        data = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
        write_sealed(self.tensors_path(name), data)

    def read_tensors(self, name: str) -> dict[str, Any] | None:
        """Load what :meth:`write_tensors` saved, or None if there is no such file or it is damaged."""
        from safetensors.torch import load

        path = self.tensors_path(name)
        if not path.exists():
            return None
        try:
            return dict(load(read_sealed(path)))
        except RunError as error:
            notice(f"{error}; it is made again.")
            return None

    def tensors_path(self, name: str) -> Path:
        """Where :meth:`write_tensors` saves, written or not."""
        return self.state / f"{name}.safetensors"

    # -- lock ----------------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, worker: Worker | None = None) -> Iterator[None]:
        """Hold the folder for writing, alone or, with ``worker``, beside the processes that take the other shares.

        The operating system releases it when the process ends, however it ends. Of the processes of one
        ``accelerate launch``, the first holds it for all.

        Raises:
            RunError: if another process holds it.
        """
        launched = Worker.of_launch()
        with ExitStack() as stack:
            try:
                if worker is not None:
                    stack.enter_context(hold_share(self.state / "run.lock", worker))
                elif launched is None or launched.number == 1:
                    stack.enter_context(hold_alone(self.state / "run.lock"))
                    for folder in (self.path, self.state, *self._kinds(), *(self.path / "model").glob("*/")):
                        remove_leftovers(folder)
            except Held as holder:
                raise RunError(
                    f"{self.path}: another process ({holder}) is writing to this run. Wait for it, or choose another "
                    "folder with --set output=runs/NAME."
                ) from None
            yield

    def _kinds(self) -> Iterator[Path]:
        for kind in ("tokens", "scores", "labels", "verdicts"):
            yield from (self.path / kind, self.state / kind)

    def clear(self) -> None:
        """Delete what a run writes here, and nothing else. The lock file stays, for it may be held."""
        for kind in ("tokens", "scores", "labels", "rounds", "references", "model", "arms"):
            shutil.rmtree(self.path / kind, ignore_errors=True)
        for path in (
            self.config_path,
            self.manifest_path,
            self.metrics_path,
            self.path / "report.html",
            self.detection_path,
        ):
            path.unlink(missing_ok=True)
        for path in self.state.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix not in (".lock", ".owner"):
                path.unlink()

    def record_path(self, kind: Kind, index: int) -> Path:
        """Where a shard's record is, written or not."""
        return self.state / kind / f"part-{index:05d}.json"


def _signature(path: Path) -> tuple[int, int, int]:
    """Changes whenever a file is replaced or written to."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
