"""The benchmark of drives, whole, on tiny drives: it ends, continues, shares and refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from run_command import Finished, run_command
from tiny_benchmark import REFINE, SHADE, WAITS, write_benchmark, write_detector, write_lane_net

from faithfusion.cli.benchmark import main
from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark.config import BenchmarkConfig, MethodConfig
from faithfusion.evaluate.benchmark.drives import read_drives
from faithfusion.evaluate.result_files import claim
from faithfusion.pipeline.config import RefineConfig
from faithfusion.utils.media import read_image

pytest.importorskip("torchmetrics")
ROOT = Path(__file__).resolve().parents[3]
ROWS = ["truth", "no refinement", "default: video", "default: scene", "dark: video", "dark: scene"]


def benchmark(folder: Path, *options: object) -> Finished:
    return run_command(main, "--config", folder / "benchmark.yaml", *options, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished benchmark with all networks."""
    folder = tmp_path_factory.mktemp("benchmark")
    detector = {
        "weights": str(write_detector(folder / "detector.pth")),
        "kind": "torchvision",
        "model": "ssdlite320_mobilenet_v3_large",
    }
    write_benchmark(folder, lane_net=str(write_lane_net(folder / "lanes.pth")), detector=detector)
    done = benchmark(folder)
    assert done.returncode == 0, done.stderr
    return folder


def lines_of(folder: Path, section: str) -> dict[str, dict]:
    sections = json.loads((folder / "out" / "benchmark.json").read_text())
    (found,) = (entry["lines"] for entry in sections if entry["section"].startswith(section))
    return {line["row"]: line for line in found}


def test_drives_go_in_and_one_table_comes_out(folder: Path) -> None:
    out = folder / "out"
    streets = lines_of(folder, "streets, 1 m to the left (2 drives, 10 pictures of 64 x 48)")
    assert list(streets) == ROWS
    values = {
        row: {key: cell[0] for key, cell in line.items() if isinstance(cell, list)} for row, line in streets.items()
    }
    assert values["truth"]["psnr_db"] == 100.0 and values["truth"]["ssim"] == pytest.approx(1.0)
    assert values["no refinement"]["psnr_db"] > values["dark: video"]["psnr_db"] + 1.0
    assert values["dark: scene"]["psnr_db"] != values["default: scene"]["psnr_db"]
    for key in ("flicker", "ntl_iou", "lane_iou", "recall"):
        assert all(key in row for row in values.values()), key
    low, high = streets["no refinement"]["psnr_db"][1:]
    assert low < values["no refinement"]["psnr_db"] < high
    recorded = lines_of(folder, "recorded drives, 1 m to the left (1 drive, 5 pictures of 64 x 48)")
    assert list(recorded) == ROWS[1:]
    assert "psnr_db" not in recorded["default: video"] and "flicker" in recorded["default: video"]
    others = lines_of(folder, "recorded drives, cameras that were not fitted")
    assert list(others) == [*ROWS[:2], "default: scene after +1 m", "dark: scene after +1 m"]
    assert others["no refinement"]["psnr_db"][0] > 5.0 and "psnr_db" not in others["truth"]
    page = (out / "benchmark.md").read_text()
    assert "recorded: no NTL-IoU (no map_lines.json" in page and "| default: video |" in page
    assert "one_street_+1m.png" in page and read_image(out / "one_street_+1m.png").shape[2] == 3
    table = (out / "benchmark.tex").read_text()
    widths = {line.count("&") for line in table.splitlines() if line.endswith(r"\\") and "multicolumn" not in line}
    assert len(widths) == 1 and table.count(r"\begin{tabular}{lrr") == 1
    assert not any((out / "work").glob("*/"))  # what is large is gone


def test_done_drives_are_not_made_again(folder: Path) -> None:
    out = folder / "out"
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("drive_*")}
    table = (out / "benchmark.json").read_bytes()
    again = benchmark(folder)
    assert again.returncode == 0 and again.stderr.count("done before") == 3
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("drive_*")} == before
    assert (out / "benchmark.json").read_bytes() == table


def test_a_drive_that_another_process_makes_is_left_to_it(tmp_path: Path) -> None:
    write_benchmark(tmp_path)
    entries = [{"scene": str(tmp_path / "recorded")}]
    (tmp_path / "drives.yaml").write_text(yaml.safe_dump(entries))
    with claim(tmp_path / "out" / "work" / "recorded.lock"):
        result = benchmark(tmp_path)
    assert result.returncode == 2
    assert "recorded: another process is at it" in result.stderr and "no finished drive" in result.stderr


def test_a_killed_run_goes_on_and_ends_with_the_same_files(tmp_path: Path) -> None:
    """Killed while a drive is edited; the fit is not done again, and the results are those of a run in one go."""
    marker, entries = tmp_path / "pid", [{"street": {"seed": 1}}]
    waiting = {"kind": WAITS, "factor": 0.9, "file": str(marker)}
    options = write_benchmark(tmp_path, others={}, refine=REFINE | {"editors": [waiting]})
    (tmp_path / "drives.yaml").write_text(yaml.safe_dump(entries))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "benchmark.py"), *options], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 300
        while not marker.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.poll() is None and marker.is_file()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not list((tmp_path / "out").glob("drive_*"))
    result = benchmark(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "fit: done before, resumed" in result.stderr and "calibrate: done before, resumed" in result.stderr
    whole = benchmark(tmp_path, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    for name in ("drive_street_1.safetensors", "benchmark.json", "street_1_+1m.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    results = [json.loads((tmp_path / name / "drive_street_1.json").read_text()) for name in ("out", "whole")]
    assert results[0]["places"] == results[1]["places"]


@pytest.mark.parametrize(
    ("changes", "entries", "message"),
    [
        ({"shifts_m": [0.0]}, None, "at least one shift other than 0"),
        ({"others": {"a/b": {"weight": "eig"}}}, None, "a/b"),
        ({"others": {"default": {"weight": "eig"}}}, None, "another name"),
        ({"others": {"a": {"weight": "oracle"}}}, None, "weights that do not know the truth"),
        ({"others": {"a": {"weight": "heavy"}}}, None, "heavy"),
        ({"others": {"a": {"weight": "eig", "no_eig": True}}}, None, "no weight"),
        ({"others": {"a": {"editors": [{"kind": "painter"}]}}}, None, "painter"),
        ({"lane_net": "nowhere.pth"}, None, "nowhere.pth"),
        ({"detector": {"weights": "nowhere.onnx"}}, None, "nowhere.onnx"),
        ({"drives": "nowhere.yaml"}, None, "nowhere.yaml: cannot be read"),
        ({}, [], "no list of drives"),
        ({}, {"drives": 3}, "no list of drives"),
        ({}, [{"street": {"seed": 1}}, {"street": {"seed": 1}}], "2 drives named 'street_1'"),
        ({}, [{"scene": "nowhere"}], "nowhere"),
        ({}, [{"street": {"sead": 1}}], "sead"),
        ({}, [{"trajectory": [{"shift_m": 3}]}], "trajectory"),
        ({}, [{"name": "a/b"}], "a/b"),
        ({"shifts_m": [9.0]}, [{"street": {"seed": 1}}], "9"),
        ({"engine": "slurm"}, None, "engine"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_written(
    changes: dict, entries: object, message: str, tmp_path: Path
) -> None:
    write_benchmark(tmp_path, **changes)
    if entries is not None:
        (tmp_path / "drives.yaml").write_text(yaml.safe_dump(entries))
    result = benchmark(tmp_path)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("left out: ")]
    assert result.returncode == 2 and len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_networks_need_a_drive_that_they_can_be_measured_on(tmp_path: Path) -> None:
    write_benchmark(tmp_path, lane_net=str(write_lane_net(tmp_path / "lanes.pth")))
    (tmp_path / "drives.yaml").write_text(yaml.safe_dump([{"scene": str(tmp_path / "recorded")}]))
    result = benchmark(tmp_path)
    assert result.returncode == 2 and "no drive with a map" in result.stderr


def test_a_drive_may_have_options_of_its_own(tmp_path: Path) -> None:
    options = write_benchmark(tmp_path)
    own = [{"street": {"seed": 7}, "fit": {"steps": 9}, "group": "night"}, {"scene": "kitti"}]
    (tmp_path / "drives.yaml").write_text(yaml.safe_dump({"drives": own}))
    street, kitti = read_drives(parse_config(BenchmarkConfig, options))
    assert (street.name, street.slug, street.group) == ("street 7", "street_7", "night")
    assert (street.refine.street.seed, street.refine.street.width, street.refine.fit.steps) == (7, 64, 9)
    assert street.refine.fit.half_resolution_steps == REFINE["fit"]["half_resolution_steps"]
    assert (kitti.name, kitti.group, kitti.refine.fit.steps) == ("kitti", "recorded drives", 6)
    assert kitti.refine.editors == ({"kind": SHADE, "factor": 0.9},)


def test_a_method_may_do_without_eig() -> None:
    refine = MethodConfig(no_eig=True).refine_of(RefineConfig())
    assert (refine.distill.weight, refine.distill.metric) == ("uniform", "parameters")
    assert refine.editor.composite.faithful_share == 0.0
    assert MethodConfig().refine_of(RefineConfig()) == RefineConfig()
    assert MethodConfig(weight="released").refine_of(RefineConfig()).distill.weight == "released"
