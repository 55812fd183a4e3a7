"""Gaussians that were trained elsewhere: refined as fitted ones are, and written back as they came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from run_command import Finished, run_command
from safetensors.torch import load_file
from tiny_generator import tiny_generator

from faithfusion.cli import export_scene, refine_sequence
from faithfusion.pipeline.given_scene import write_back
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.scene.splat_files import import_gaussians, scene_before_color
from faithfusion.utils.similarity import Similarity
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.weights.generator_file import save_generator

SMALL = """
cameras: ["0"]
street: {seed: 1, num_frames: 9, width: 64, height: 48, samples_per_pixel: 1, lidar_beams: 16, lidar_columns: 120,
  camera_names: ["0", "1"], num_workers: 1}
fit: {steps: 12, half_resolution_steps: 4, initialise: {max_gaussians: 1500}}
distill: {schedule: {target_shift_m: 1.0, step_m: 1.0, steps_per_stage: 4}}
editors: [{kind: wan, weights: weights.safetensors, window_frames: 9, sampler: {steps: 1}}]
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and the Gaussians that it had fitted in files of their own."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "small.yaml").write_text(SMALL)
    save_generator(folder / "weights.safetensors", tiny_generator(trained=True), ErrorProfile(), {})
    first = refine(folder, "fitted")
    assert first.returncode == 0, first.stderr
    (folder / "given.safetensors").write_bytes((folder / "fitted/scene_fitted.safetensors").read_bytes())
    export = ["--scene_checkpoint", "given.safetensors", "--out", "given.ply", "--z_up", "true"]
    assert run_command(export_scene.main, *export, cwd=folder).returncode == 0
    return folder


def refine(folder: Path, out: str, *options: str) -> Finished:
    return run_command(refine_sequence.main, "--config", "small.yaml", "--out", out, *options, cwd=folder)


def refine_given(folder: Path, out: str, gaussians: str) -> Finished:
    return refine(folder, out, "--scene", "fitted/drive", "--gaussians", gaussians)


def test_a_given_scene_goes_the_way_of_a_fitted_one(workspace: Path) -> None:
    done = refine_given(workspace, "given", "given.safetensors")
    assert done.returncode == 0, done.stderr
    assert "dB on 5 recorded frames" in done.stderr and "fit: " not in done.stderr
    ours, fitted = (load_file(workspace / name / "scene.safetensors") for name in ("given", "fitted"))
    assert ours.keys() == fitted.keys() and all(torch.equal(value, fitted[name]) for name, value in ours.items())
    assert "were given, not fitted here" in (workspace / "given/metrics.md").read_text()
    assert "were given" not in (workspace / "fitted/metrics.md").read_text()
    again = refine_given(workspace, "given", "given.safetensors")
    assert "finished before" in again.stderr


def test_a_ply_comes_back_refined(workspace: Path) -> None:
    done = refine_given(workspace, "from_ply", "given.ply")
    assert done.returncode == 0, done.stderr
    given, refined = (import_gaussians(workspace / name) for name in ("given.ply", "from_ply/refined.ply"))
    scene, _ = load_scene(workspace / "from_ply/scene.safetensors")
    torch.testing.assert_close(refined.means, gaussians_at(scene, 0).means)
    assert refined.num >= given.num and not torch.equal(refined.means[: given.num], given.means)
    assert scene.sky.texture.max() > 0.1, "estimated from the pictures"


@pytest.mark.parametrize("name", ["front.PLY", "front.compressed.ply", "front.spz"])
def test_it_goes_back_to_the_world_and_the_format_of_the_import(workspace: Path, tmp_path: Path, name: str) -> None:
    file = import_gaussians(workspace / "given.ply")
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    move = Similarity(turn, np.array([5.0, -3.0, 1.0]), 2.0)
    scene = scene_before_color(move_gaussians(file, move))
    facts = {"imported_from": name, "drive_from_file": move.to_plain()}
    save_scene(tmp_path / "scene_fitted.safetensors", scene, facts)
    path = write_back(Path("scene.safetensors"), tmp_path / "scene_fitted.safetensors", scene)
    assert path is not None and path.name == f"refined{name.removeprefix('front').lower()}"
    back = import_gaussians(path)
    order, expected = back.means[:, 0].argsort(), file.means[:, 0].argsort()
    torch.testing.assert_close(back.means[order][:, 0], file.means[expected][:, 0], atol=0.1, rtol=0.0)
    torch.testing.assert_close(back.log_scales.mean(), file.log_scales.mean(), atol=0.05, rtol=0.0)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--gaussians", "given.ply"), "gaussians: given.ply; expected the drive that they show, too (scene)"),
        (("--scene", "fitted/drive", "--gaussians", "none.ply"), "none.ply: no such file"),
        (("--scene", "fitted/drive", "--gaussians", "weights.safetensors"), "weights.safetensors: format"),
        (("--scene", "fitted/drive", "--gaussians", "small.yaml"), "small.yaml: suffix '.yaml'"),
    ],
)
def test_what_cannot_be_refined_is_said_before_anything_is_written(
    workspace: Path, options: tuple[str, ...], line: str
) -> None:
    done = refine(workspace, "refused", *options)
    assert done.returncode == 2 and line in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (workspace / "refused").exists()
