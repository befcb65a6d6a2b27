"""A damaged file is noticed by its checksum, named, and repaired by computing that file alone again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import xtf
from tests.durability.conftest import small_config
from tests.durability.test_kill import same_run
from xtf.errors import RunError

Damage = Callable[[bytes], bytes]


def flipped(content: bytes) -> bytes:
    """One bit in the middle is another."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def truncated(content: bytes) -> bytes:
    """The last third is gone."""
    return content[: len(content) * 2 // 3]


def emptied(content: bytes) -> bytes:
    """Nothing is left."""
    return b""


DAMAGES: list[Damage] = [flipped, truncated, emptied]
FITTED = {"attributes": {"knowledge_novelty": {}, "xtf_rarity": {"attribute": "rarity"}}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A labelled run, one of whose scorers was fitted."""
    folder = tmp_path_factory.mktemp("whole")
    xtf.run(config_of(folder, tiny_folder))
    return folder


def config_of(folder: Path, model: Path) -> dict[str, object]:
    return {**small_config(folder, model), **FITTED, "output": str(folder / "run")}


def times(run: Path) -> dict[str, int]:
    """When each file of a run was written; of locks nobody asks."""
    files = (path for path in run.rglob("*") if path.is_file() and path.suffix not in (".lock", ".owner"))
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in files}


REPAIRED_BY_SCORING = {
    "tokens/part-00001.parquet": {"tokens/part-00001.parquet", "state/tokens/part-00001.json"},
    "state/tokens/part-00001.json": {"tokens/part-00001.parquet", "state/tokens/part-00001.json"},
    "scores/part-00002.parquet": {"scores/part-00002.parquet", "state/scores/part-00002.json"},
    "state/scores/part-00002.json": {"scores/part-00002.parquet", "state/scores/part-00002.json"},
    "state/tokens/complete.json": {"state/tokens/complete.json"},
    "state/vocabulary.parquet": {"state/vocabulary.parquet"},
    "state/distribution-knowledge_novelty.npz": set[str](),
    "manifest.json": set[str](),
    "config.yaml": set[str](),
}
WRITTEN_EACH_TIME = {
    "manifest.json",
    "config.yaml",
    "state/distribution-knowledge_novelty.npz",
    "state/distribution-xtf_rarity.npz",
    "state/fitted.json",
}
LABELLED_TOGETHER = {
    "labels/part-00001.parquet",
    "state/labels/part-00001.json",
    "state/verdicts/part-00001.parquet",
    "state/verdicts/part-00001.json",
}
REPAIRED_BY_LABELLING = {**dict.fromkeys(LABELLED_TOGETHER, LABELLED_TOGETHER), "state/rules.json": set[str]()}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", list(REPAIRED_BY_SCORING))
def test_scoring_repairs(
    whole: Path, tmp_path: Path, tiny_folder: Path, name: str, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    run, before = tmp_path / "run", times(tmp_path / "run")
    (run / name).write_bytes(damage((run / name).read_bytes()))
    xtf.score(config_of(tmp_path, tiny_folder))
    changed = {one for one, time in times(run).items() if before[one] != time}
    assert changed - WRITTEN_EACH_TIME == REPAIRED_BY_SCORING[name]
    assert name == "config.yaml" or name in WRITTEN_EACH_TIME | changed
    xtf.label(run)
    same_run(run, whole / "run", ["score", "label"])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", sorted(REPAIRED_BY_LABELLING))
def test_labelling_repairs(whole: Path, tmp_path: Path, name: str, damage: Damage) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    run, before = tmp_path / "run", times(tmp_path / "run")
    (run / name).write_bytes(damage((run / name).read_bytes()))
    xtf.label(run)
    changed = {one for one, time in times(run).items() if before[one] != time}
    assert changed - {"manifest.json", "config.yaml", "state/rules.json"} == REPAIRED_BY_LABELLING[name]
    same_run(run, whole / "run", ["label"])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("name", "next_step"),
    [
        ("tokens/part-00001.parquet", "xtf score"),
        ("scores/part-00002.parquet", "xtf score"),
        ("state/distribution-knowledge_novelty.npz", "xtf score"),
        ("state/rules.json", "xtf label"),
        ("manifest.json", "xtf score"),
    ],
)
def test_reading_names_what_is_damaged(whole: Path, tmp_path: Path, name: str, next_step: str, damage: Damage) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match="damaged") as caught:
        xtf.open_run(tmp_path / "run").summary()
    assert str(path) in str(caught.value)
    assert next_step in str(caught.value)


@pytest.mark.parametrize("kind", ["tokens", "scores"])
def test_labels_are_not_made_of_a_run_with_a_hole(whole: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    (tmp_path / "run" / kind / "part-00003.parquet").unlink()
    with pytest.raises(RunError, match=r"part-00003\.parquet: missing.*xtf score"):
        xtf.label(tmp_path / "run")


def test_a_damaged_fit_is_fitted_again(
    whole: Path, tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (fitted,) = (tmp_path / "run/state").glob("fitted-*.safetensors")
    want = fitted.read_bytes()
    fitted.write_bytes(flipped(want))
    (tmp_path / "run/scores/part-00000.parquet").unlink()
    xtf.score(config_of(tmp_path, tiny_folder))
    assert f"{fitted.name}: damaged" in capsys.readouterr().err.replace("\n", "")
    assert fitted.read_bytes() == want
    same_run(tmp_path / "run", whole / "run", ["score"])


def test_a_damaged_manifest_over_other_inputs_is_refused(whole: Path, tmp_path: Path, tiny_folder: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "run/manifest.json").write_bytes(b"{")
    config = {**config_of(tmp_path, tiny_folder), "seed": 5}
    with pytest.raises(RunError, match="made from other inputs"):
        xtf.score(config)


def test_any_flipped_bit_of_any_shard_is_noticed(whole: Path, tmp_path: Path) -> None:
    chance = random.Random(3)
    for _ in range(40):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(whole / "run", tmp_path / "run")
        path = chance.choice(sorted((tmp_path / "run").glob("[ts]*/part-*.parquet")))
        content = bytearray(path.read_bytes())
        place = chance.randrange(len(content))
        content[place] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        with pytest.raises(RunError, match=path.name):
            xtf.open_run(tmp_path / "run").summary()
