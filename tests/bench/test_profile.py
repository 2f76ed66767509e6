"""A profile: what ONNX Runtime wrote is read right, a board's is believed only where it makes sense."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tasks import finish, refuse
from tonearm.bench.stats.node_parts import parts
from tonearm.bench.sweep.profile import MAX_NODES, profile_case
from tonearm.device.errors import AgentError
from tonearm.device.loopback import serve
from tonearm.device.releases import Release, install
from tonearm.device.runtimes.provision import Site, prepare
from tonearm.device.ssh.connection import Connection
from tonearm.export.write import export_bundle
from tonearm.models.catalogue import load
from tonearm.runtime.bundle import Bundle, Provenance
from tonearm.runtime.errors import SessionError
from tonearm.runtime.profile import node_times

REQUEST = {"task": "profile", "block": 64, "threads": 1, "steps": 4}
SAID = {"steps": 4, "step_ns": 9000, "plain_ns": 3000, "profiler_ns": 1000}
NODE = {"name": "decoder.gru/gru", "op": "GRU", "ns": 5000}


def ran(name: str, op: str, index: int, start: int, duration: int) -> dict[str, Any]:
    """One run of a node, as ONNX Runtime writes it."""
    about = {"op_name": op, "node_index": str(index), "input_type_shape": [{"float": [1, 16]}, {"int64": [1]}]}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": start, "dur": duration, "args": about}


def written(steps: list[list[int]]) -> str:
    """A profile of steps with these durations of each node, and what else there is in one."""
    events: list[dict[str, Any]] = [{"cat": "Session", "name": "model_run", "ts": 0, "dur": 900, "args": {}}]
    for step in steps:
        for index, duration in enumerate(step):
            fence = {"cat": "Node", "name": f"n{index}_fence_before", "ts": 0, "dur": 3, "args": {"op_name": "Add"}}
            events += [fence, ran(f"n{index}", "Add", index, 0, duration)]
    return json.dumps(events)


@given(
    st.integers(1, 5).flatmap(
        lambda nodes: st.lists(st.lists(st.integers(0, 10**6), min_size=nodes, max_size=nodes), min_size=1, max_size=9)
    ),
    st.data(),
)
def test_the_last_steps_of_every_node_are_read(steps: list[list[int]], data: st.DataObject) -> None:
    last = data.draw(st.integers(1, len(steps)))
    nodes, times = node_times(written(steps), last)
    assert nodes == [(f"n{index}", "Add") for index in range(len(steps[0]))]
    assert times.T.tolist() == [[1000 * duration for duration in step] for step in steps[-last:]]


def test_nodes_inside_a_node_are_counted_with_it() -> None:
    step = [ran("before", "Add", 0, 10, 5), ran("inner", "Mul", 0, 17, 2), ran("choice", "If", 1, 16, 9)]
    nodes, times = node_times(json.dumps([*step, ran("after", "Add", 2, 25, 1)]), 1)
    assert [name for name, _ in nodes] == ["before", "choice", "after"]
    assert times[:, 0].tolist() == [5000, 9000, 1000]


@pytest.mark.parametrize("text", ["", "[", "7", "[]", '[{"cat": "Node", "name": "a_kernel_time"}]', '{"cat": "Node"}'])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(SessionError, match="profile"):
        node_times(text, 1)


def test_a_profile_of_fewer_steps_is_refused() -> None:
    with pytest.raises(SessionError, match="does not hold 3 steps of every node: ask for fewer steps"):
        node_times(written([[1, 2], [3, 4]]), 3)


def test_the_runner_profiles_every_node_and_leaves_no_file(tmp_path: Path, golden_bundle: Bundle) -> None:
    found = finish(tmp_path, golden_bundle, **REQUEST)["profile"]
    assert found["steps"] == 4
    assert found["step_ns"] > 0
    assert found["plain_ns"] > 0
    assert {"GRU", "Gemm", "Conv", "MatMul"} < {node["op"] for node in found["nodes"]}
    assert all(node["ns"] >= found["profiler_ns"] >= 0 for node in found["nodes"])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["record.json", "request.json"]


def test_a_block_without_a_graph_is_refused(tmp_path: Path, golden_bundle: Bundle) -> None:
    assert refuse(tmp_path, golden_bundle, **REQUEST | {"block": 128})[0] == "BundleError"


def test_a_board_profiles_the_teacher_and_the_student(
    loopback: Connection, golden_bundle: Bundle, tmp_path: Path
) -> None:
    teacher = export_bundle(load("hpn-156"), "hpn-156", tmp_path / "hpn-156", [64], weights=Provenance("random")).bundle
    site = prepare(loopback)
    for bundle in (golden_bundle, teacher):
        found = profile_case(loopback, site, install(loopback, bundle), 64, 1, steps=20)
        sums = parts(found["nodes"])
        assert set(sums) == {"decoder", "synth", "noise", "reverb"}
        assert sum(sums.values()) == sum(node["ns"] for node in found["nodes"])
        assert all(sums.values())


def told(folder: Path, profile: object) -> dict[str, Any]:
    """What is made of a profile that a board sends."""
    script = folder / "bin" / "python3"
    script.parent.mkdir()
    answer = "TONEARM-1 " + json.dumps({"profile": profile, "files": []})
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(answer)}\nexec /bin/cat >/dev/null\n")
    script.chmod(0o755)
    site = Site({"root": "/home/pi/.tonearm"}, "runtimes/a", "runners/b")
    with serve(folder, str(script.parent)) as endpoint, Connection("pi", endpoint) as connection:
        return profile_case(connection, site, Release("releases/a/b", 0), 64, 1, 4)


def test_the_profilers_own_time_is_taken_off_every_node(tmp_path: Path) -> None:
    small = {"name": "./slice/GatherSliceToSplitFusion", "op": "Split", "ns": 999.6}
    found = told(tmp_path, {**SAID, "nodes": [NODE, small]})
    assert found["nodes"] == [{**NODE, "part": "decoder", "ns": 3000}, {**small, "part": "other", "ns": 0}]
    assert {key: found[key] for key in SAID} == SAID


def test_what_would_move_the_cursor_is_not_shown(tmp_path: Path) -> None:
    found = told(tmp_path, {**SAID, "nodes": [{**NODE, "name": "\x1b[2Jdecoder/a", "op": "G\nRU" + "x" * 999}]})
    [node] = found["nodes"]
    assert node["name"] == "?[2Jdecoder/a"
    assert node["op"].isprintable()
    assert len(node["op"]) == 400


@pytest.mark.parametrize(
    "profile",
    [
        7,
        None,
        SAID,
        {**SAID, "nodes": []},
        {**SAID, "nodes": "decoder"},
        {**SAID, "nodes": [NODE] * (MAX_NODES + 1)},
        {**SAID, "nodes": [7]},
        {**SAID, "nodes": [{**NODE, "ns": -1}]},
        {**SAID, "nodes": [{**NODE, "ns": math.nan}]},
        {**SAID, "nodes": [{**NODE, "ns": 10**400}]},
        {**SAID, "nodes": [{**NODE, "ns": "5"}]},
        {**SAID, "step_ns": math.inf, "nodes": [NODE]},
        {**SAID, "steps": True, "nodes": [NODE]},
    ],
    ids=range(13),
)
def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path, profile: object) -> None:
    with pytest.raises(AgentError, match=r"^pi: it sent an invalid profile"):
        told(tmp_path, profile)
