"""What is said when there is no Ray, no cluster, or no room in it; nothing here starts one."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import ray

import xtf
from tests.conftest import Cli, tiny_config, write_config
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.attribute import registry
from xtf.cluster.connection import Cluster, Room, room_in
from xtf.cluster.failures import attempt, raise_failure
from xtf.config import ModelConfig
from xtf.errors import ClusterError, ConfigError, DataError, XTFError


def room(nodes: list[dict[str, float]], free: dict[str, float] | None = None, **engine: Any) -> Room:
    everything = {kind: sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    return room_in(nodes, everything if free is None else free, xtf.RayEngine(**engine), "auto")


@pytest.mark.parametrize(
    ("nodes", "engine", "expected"),
    [
        ([{"CPU": 2.0}], {}, Room(1, 2, 0)),
        ([{"CPU": 2.0}], {"num_cpus": 1}, Room(2, 1, 0)),
        ([{"CPU": 16.0}, {"CPU": 6.0}], {}, Room(5, 4, 0)),
        ([{"CPU": 16.0}, {"CPU": 6.0}], {"actors": 3}, Room(3, 4, 0)),
        ([{"CPU": 8.0, "GPU": 4.0}, {"CPU": 64.0}], {}, Room(4, 1, 1)),
        ([{"CPU": 8.0, "GPU": 2.0}], {"num_gpus": 0.5}, Room(4, 1, 0.5)),
        ([{"CPU": 8.0, "GPU": 2.0}], {"num_gpus": 0.6}, Room(2, 1, 0.6)),
        ([{"CPU": 3.0, "GPU": 2.0}], {"num_gpus": 0.1}, Room(3, 1, 0.1)),
        ([{"CPU": 8.0, "GPU": 2.0}], {"num_gpus": 0}, Room(2, 4, 0)),
        ([{"CPU": 0.0}, {"CPU": 1.0}], {}, Room(1, 1, 0)),
    ],
)
def test_as_many_actors_as_find_room(nodes: list[dict[str, float]], engine: dict[str, Any], expected: Room) -> None:
    assert room(nodes, **engine) == expected


def test_work_of_others_leaves_less_room() -> None:
    assert room([{"CPU": 16.0}], {"CPU": 8.5}).actors == 2


@pytest.mark.parametrize(
    ("nodes", "free", "engine"),
    [
        ([{"CPU": 2.0}], None, {"num_cpus": 4}),
        ([{"CPU": 2.0}], None, {"num_gpus": 1}),
        ([{"CPU": 2.0}, {"CPU": 2.0}], None, {"num_cpus": 3}),
        ([{"CPU": 2.0}], {"CPU": 0.5}, {"num_cpus": 1}),
        ([], None, {}),
    ],
)
def test_a_cluster_without_room_is_refused(nodes: Any, free: Any, engine: dict[str, Any]) -> None:
    with pytest.raises(ClusterError, match=r"too small: an actor, which holds one model, takes .*--num-cpus"):
        room(nodes, free, **engine)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"address": "ray://head:10001"}, "Run the command on a machine of the cluster"),
        ({"address": " "}, "HOST:PORT"),
        ({"num_gpus": -1.0}, "--num-gpus -1: expected"),
        ({"num_gpus": 2.0}, "lies on one device"),
        ({"num_cpus": 0.0}, "--num-cpus 0: expected"),
        ({"num_cpus": float("nan")}, "--num-cpus nan"),
        ({"actors": 0}, "--actors 0: expected"),
    ],
)
def test_numbers_and_addresses_that_cannot_be_meant(engine: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        xtf.RayEngine(**engine)


@pytest.mark.parametrize(
    ("device", "engine", "message"),
    [
        ("cuda:1", {}, "Ray that gives each actor its device"),
        ("cpu", {"num_gpus": 1.0}, "model.device is cpu"),
        ("cuda", {"num_gpus": 0.0}, "model.device is cuda"),
    ],
)
def test_devices_that_contradict_the_engine(device: str, engine: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cluster(xtf.RayEngine(**engine), ModelConfig(path="m", device=device))


def a_free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "spark"], "--engine spark: expected plain or ray"),
        (["--num-gpus", "0.5"], "--num-gpus: only with --engine ray"),
        (["--address", "auto", "--actors", "2"], "--address, --actors: only with"),
        (["--engine", "ray", "--shard", "1/2"], "--shard: not with --engine ray"),
        (["--engine", "ray", "--address", "head"], "--address head: expected auto or HOST:PORT"),
        (["--engine", "ray", "--num-cpus", "x"], "--num-cpus"),
    ],
)
def test_options_that_do_not_go_together(
    cli: Cli, tmp_path: Path, tiny_folder: Path, options: list[str], message: str
) -> None:
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    outcome = cli("score", path, *options)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_an_address_where_nobody_answers(
    cli: Cli, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    outcome = cli("score", path, "--engine", "ray", "--address", f"127.0.0.1:{a_free_port()}")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "no Ray cluster answers there" in outcome.err


def test_without_ray_it_says_how_to_install_it(
    cli: Cli, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xtf.cluster.connection.find_spec", lambda name: None)
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    outcome = cli("score", path, "--engine", "ray")
    assert (outcome.code, "pip install 'xtf-tokens[ray]'" in outcome.err) == (2, True)


def test_a_cluster_of_its_own_is_silent_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, Any] = {}

    def init(address: str, **options: Any) -> None:
        started.update(options, address=address, statistics=os.environ["RAY_USAGE_STATS_ENABLED"])

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: started.update(ended=True))
    with Cluster(xtf.RayEngine(), ModelConfig(path="m")) as cluster:
        assert cluster.ray is ray
    wanted = {"address": "local", "include_dashboard": False, "statistics": "0", "log_to_driver": False, "ended": True}
    assert {name: started[name] for name in wanted} == wanted


def test_what_is_there_needs_no_cluster(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "ray", property(lambda self: pytest.fail("connected")))
    settings = tiny_config(tmp_path, tiny_folder)
    assert xtf.score(settings).is_scored
    assert xtf.score(settings, engine="ray").is_scored


@pytest.mark.parametrize("given", [{"model": True, "tokenizer": True}, {"attributes": {}}, {"shard": "1/2"}])
def test_objects_do_not_travel(tmp_path: Path, tiny_folder: Path, given: dict[str, Any]) -> None:
    if "model" in given:
        given = {"model": tiny_model("llama"), "tokenizer": tiny_tokenizer()}
    if "attributes" in given:
        given = {"attributes": {"mine": registry.build("random", {})}}
    with pytest.raises(ConfigError, match="engine='ray'"):
        xtf.score(tiny_config(tmp_path, tiny_folder), engine="ray", **given)


def test_mistakes_come_back_as_what_they_were() -> None:
    def work(text: str) -> str:
        if text:
            raise DataError(text)
        return "done"

    assert attempt(work, "") == ("done", "")
    _, failure = attempt(work, "row 3: it's bad")
    with pytest.raises(DataError, match=re.escape("row 3: it's bad")):
        raise_failure(failure)
    with pytest.raises(XTFError, match="on another: what"):
        raise_failure('{"kind": "Strange", "text": "what", "host": "another"}')
    raise_failure("")
