"""Proof obligation 6: the benchmark's command on a small street, with truth beside the path; and the calibration's."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.eig.calibrate import calibration_from_plain
from faithfusion.evaluate.eig.scores import OURS, ViewMaps, mean_scores, score_shift, worst_decile_deviation

TOOLS = Path(__file__).resolve().parents[3] / "tools"
STREET = """
seeds: [3]
shifts_m: [-3.0, 3.0]
frame_stride: 4
street: {num_frames: 13, width: 96, height: 64, samples_per_pixel: 1, lidar_beams: 24, lidar_columns: 240,
  num_moving_cars: 1, num_workers: 1}
fit: {steps: 150, half_resolution_steps: 40, initialise: {max_gaussians: 6000, sky_height: 32}}
"""
STEREO = "stereo_fit: {steps: 20, initialise: {max_gaussians: 200, sky_height: 8}}\n"


def run(tool: str, *arguments: str) -> None:
    runpy.run_path(str(TOOLS / tool))["main"](list(arguments))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eig_benchmark")
    (folder / "config.yaml").write_text(STREET + STEREO + f"out: {folder / 'run'}\ndocs: {folder / 'docs'}\n")
    stereo = write_tiny_clip(folder / "stereo", num_frames=12)
    run("bench_eig.py", "--config", str(folder / "config.yaml"), "--stereo", str(stereo))
    return folder


def test_the_table_has_every_map_and_ours_knows_the_error_best(workspace: Path) -> None:
    rows = json.loads((workspace / "run" / "street_3" / "scores.json").read_text())
    assert [row["shift_m"] for row in rows] == [-3.0, 3.0]
    for row in rows:
        scores = row["methods"]
        assert set(scores) > {OURS, "published code", "published formula", "random"}
        others = [value["ause"] for name, value in scores.items() if not name.startswith(OURS)]
        assert scores[OURS]["ause"] < 0.8 * min(others)
        assert scores[OURS]["ause_without_sky"] < 0.6
        assert scores[OURS]["spearman"] > 0.3
        assert abs(scores["random"]["spearman"]) < 0.1
    page = (workspace / "docs" / "README.md").read_text()
    assert f"| {OURS} |" in page
    assert "| stereo | " in page
    for name in ("sparsification_3m.png", "reliability.png", "street_3_maps_+3m.png"):
        assert (workspace / "docs" / name).stat().st_size > 10_000, name


def test_the_stereo_truth_is_as_far_away_as_its_camera(workspace: Path) -> None:
    (row,) = json.loads((workspace / "run" / "stereo" / "scores.json").read_text())
    assert row["shift_m"] == pytest.approx(-0.5, abs=0.02)


def test_a_finished_benchmark_is_resumed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (workspace / "run" / "street_3" / "scores.json").stat().st_mtime_ns
    run("bench_eig.py", "--config", str(workspace / "config.yaml"), "--stereo", str(workspace / "stereo"))
    assert capsys.readouterr().err.count("done before, resumed") == 5  # street, fit, scores; fit, scores
    assert (workspace / "run" / "street_3" / "scores.json").stat().st_mtime_ns == before


def test_calibration_uses_the_same_scenes_and_writes_rising_curves(workspace: Path, capsys) -> None:  # noqa: ANN001
    path = workspace / "curves.json"
    street = workspace / "street.yaml"
    street.write_text(STREET)
    options = ["--out", str(workspace / "run"), "--file", str(path), "--levels", "[1, 16, 256]"]
    run("calibrate_eig.py", "--config", str(street), *options)
    said = capsys.readouterr().err
    assert said.count("done before, resumed") == 2
    plain = json.loads(path.read_text())
    calibration = calibration_from_plain(plain)
    assert calibration.distances_m == (0.0, 3.0)
    assert calibration.pixels_per_observation in (1.0, 16.0, 256.0)
    assert len(plain["withheld_sq_errors"]) == len(plain["eig_nats"])
    near, far = (calibration.expected_sq_error(torch.tensor([1.0]), d).item() for d in (0.0, 3.0))
    assert 0.0 < near <= far


def test_scores_of_a_map_that_is_the_error_are_perfect() -> None:
    error = torch.linspace(0.0, 0.2, 600).reshape(20, 30)
    sky = torch.zeros(20, 30, dtype=torch.bool)
    sky[:5] = True
    picture = torch.zeros(20, 30, 3)
    view = ViewMaps(picture, picture, {OURS: error, "worst": -error}, error.square(), error, error.square(), sky)
    row = score_shift("made up", 3.0, [view, view], 0.1)
    assert row.methods[OURS]["spearman"] == pytest.approx(1.0)
    assert row.methods[OURS]["ause"] == pytest.approx(0.0, abs=1e-9)
    assert row.methods["worst"]["spearman"] == pytest.approx(-1.0)
    assert row.marked_share == pytest.approx(0.5, abs=0.01)
    assert row.covered_error_share == pytest.approx(0.75, abs=0.01)
    assert worst_decile_deviation(row) == pytest.approx(0.0, abs=1e-5)
    np.testing.assert_allclose(mean_scores([row, row])[OURS]["ause"], row.methods[OURS]["ause"])
