"""The benchmark over a real Ray cluster on this machine: two workers, one of which is killed while it edits."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from run_command import run_command
from tiny_benchmark import REFINE, WAITS, write_benchmark

from faithfusion.cli.benchmark import main

ray = pytest.importorskip("ray")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers on this machine."""
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": paths},
    )
    yield
    ray.shutdown()


def kill_who_waits(marker: Path, killed: list[int]) -> None:
    """Waits until an editor says which process it is in, and kills that process."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        if marker.is_file() and marker.read_text():
            killed.append(int(marker.read_text()))
            os.kill(killed[0], signal.SIGKILL)
            return
        time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(cluster: None, tmp_path: Path) -> None:
    marker, killed = tmp_path / "pid", []
    waiting = {"kind": WAITS, "factor": 0.9, "file": str(marker)}
    write_benchmark(tmp_path, others={}, refine=REFINE | {"editors": [waiting]})
    drives = [{"street": {"seed": 1}}, {"street": {"seed": 2}}, {"scene": str(tmp_path / "recorded")}]
    (tmp_path / "drives.yaml").write_text(yaml.safe_dump(drives))
    killer = threading.Thread(target=kill_who_waits, args=(marker, killed), daemon=True)
    killer.start()
    options = ("--config", tmp_path / "benchmark.yaml")
    result = run_command(main, *options, "--engine", "ray", "--out", tmp_path / "ray", cwd=tmp_path)
    killer.join(timeout=1.0)
    assert result.returncode == 0, result.stderr
    assert killed and killed[0] != os.getpid() and "left out, run" not in result.stderr
    local = run_command(main, *options, "--out", tmp_path / "local", cwd=tmp_path)
    assert local.returncode == 0, local.stderr
    names = [sorted(path.name for path in (tmp_path / out).iterdir() if path.is_file()) for out in ("ray", "local")]
    assert names[0] == names[1] and sum(name.startswith("drive_") for name in names[0]) >= 3
    for name in names[0]:
        ours, theirs = (tmp_path / out / name for out in ("ray", "local"))
        if name.startswith("drive_") and name.endswith(".json"):
            told = [json.loads(path.read_text()) for path in (ours, theirs)]
            assert told[0]["places"] == told[1]["places"] and told[0]["key"] == told[1]["key"], name
        elif not name.endswith((".md", ".tex")):  # which say what the command was
            assert ours.read_bytes() == theirs.read_bytes(), name


@pytest.mark.slow
def test_errors_of_the_user_come_back_in_one_line(cluster: None, tmp_path: Path) -> None:
    write_benchmark(tmp_path, engine="ray")
    (tmp_path / "drives.yaml").write_text(yaml.safe_dump([{"scene": "nowhere"}]))
    result = run_command(main, "--config", tmp_path / "benchmark.yaml", cwd=tmp_path)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("left out: ")]
    assert result.returncode == 2 and len(lines) == 1 and "nowhere" in lines[0]
    assert not (tmp_path / "out").exists()
