"""Comparing ways to reconstruct: regions of a true view, pooled scores, and the command on a small street."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.evaluate.benchmark_config import SceneBenchmarkConfig
from faithfusion.evaluate.metrics.surface_scores import moving_ids, score_regions, true_regions
from faithfusion.evaluate.scene_benchmark import markdown_table, run_scene_benchmark
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_file import load_scene
from faithfusion.street.truth import load_truth
from faithfusion.utils.errors import InputError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bench_scene.py"
STREET = """
seeds: [3]
shifts_m: [3.0]
frame_stride: 4
street: {num_frames: 9, width: 96, height: 64, samples_per_pixel: 1, lidar_beams: 24, lidar_columns: 240,
  num_moving_cars: 1, camera_names: ["0"], num_workers: 1}
"""
FIT = "{steps: 60, half_resolution_steps: 20, initialise: {max_gaussians: 3000, sky_height: 16, ground: %s}}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene_benchmark")
    for ground in ("discs", "neighbours"):
        (folder / f"{ground}.yaml").write_text(FIT % ground)
    variants = f"variants: [{folder / 'discs.yaml'}, {folder / 'neighbours.yaml'}]\n"
    (folder / "config.yaml").write_text(STREET + variants + f"out: {folder / 'run'}\n")
    runpy.run_path(str(TOOL))["main"](["--config", str(folder / "config.yaml")])
    return folder


def test_the_command_scores_every_variant_by_region_and_resumes(workspace: Path, capsys) -> None:
    table = (workspace / "run" / "README.md").read_text()
    assert "| discs |" in table and "| neighbours |" in table and "beside, road" in table
    scene_path = workspace / "run" / "discs" / "street_3" / "scene.safetensors"
    written_ns = scene_path.stat().st_mtime_ns
    runpy.run_path(str(TOOL))["main"](["--config", str(workspace / "config.yaml")])
    assert "fit: done before" in capsys.readouterr().err and scene_path.stat().st_mtime_ns == written_ns


def test_scores_are_pooled_over_pixels(workspace: Path) -> None:
    clip = read_drive(workspace / "run" / "street_3")
    scene, _ = load_scene(workspace / "run" / "discs" / "street_3" / "scene.safetensors")
    scores = score_regions(scene, clip, "0", 3.0, 4)
    errors = []
    for t in (2, 6):
        color = render_view(scene, shifted_cameras(clip, "0", 3.0)[t], t).color.detach().clamp(0, 1)
        errors.append((color - load_truth(clip.root, 3.0, "0", t).color).square().flatten())
    assert scores["everything"].psnr_db == pytest.approx(float(-10 * torch.cat(errors).mean().log10()), abs=1e-3)
    assert scores["everything"].num_pixels == 2 * 96 * 64
    stored = json.loads((workspace / "run" / "discs" / "street_3" / "scores.json").read_text())
    assert stored["beside, everything"] == pytest.approx(scores["everything"].psnr_db, abs=1e-3)
    with pytest.raises(InputError, match="no such folder"):
        score_regions(scene, clip, "0", 5.0, 4)


def test_regions_of_a_street_are_what_they_say(workspace: Path) -> None:
    clip = read_drive(workspace / "run" / "street_3")
    view, camera = load_truth(clip.root, 3.0, "0", 4), shifted_cameras(clip, "0", 3.0)[4]
    ids = moving_ids(clip.root)
    regions = true_regions(view, camera, ids)
    assert 0.1 < regions["road"].float().mean() < 0.6 and not regions["road"][:20].any()
    assert 0 < regions["markings"].sum() < 0.3 * regions["road"].sum()
    assert (regions["markings"] <= regions["road"]).all() and not (regions["road"] & view.sky).any()
    assert not regions["people"].any() and len(ids["vehicles"]) == 1
    assert torch.equal(regions["vehicles"], view.instance_ids == ids["vehicles"].copy().pop())
    for row, column in torch.nonzero(regions["road"])[::97].tolist():
        K = camera.intrinsics
        ray = torch.tensor([(column + 0.5 - K[0, 2]) / K[0, 0], (row + 0.5 - K[1, 2]) / K[1, 1], 1.0])
        point = camera.world_from_camera[:3, :3] @ (ray * view.depth[row, column]) + camera.world_from_camera[:3, 3]
        assert abs(float(point[2])) < 0.031


def test_wrong_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 variants"):
        SceneBenchmarkConfig(variants=())
    with pytest.raises(InputError, match="files of different names"):
        SceneBenchmarkConfig(variants=("a/x.yaml", "b/x.yaml"))
    config = SceneBenchmarkConfig(variants=(str(tmp_path / "none.yaml"),), out=str(tmp_path / "out"))
    with pytest.raises(InputError):
        run_scene_benchmark(config)
    assert not (tmp_path / "out").exists()


def test_table_leaves_gaps_where_a_variant_has_no_score() -> None:
    table = markdown_table({"a": {"x": 1.0, "y": 2.0}, "b": {"y": 3.0}})
    assert table.splitlines()[-1] == "| b |  | 3.00 |"
