"""The main program, whole, on a street small enough for a test: it ends, resumes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_command import Finished, run_command
from tiny_generator import tiny_generator

from faithfusion.cli import evaluate, refine_sequence
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.weights.generator_file import save_generator

SMALL = """
seed: 1
cameras: ["0"]
street: {seed: 1, num_frames: 9, width: 64, height: 48, samples_per_pixel: 1, lidar_beams: 16, lidar_columns: 120,
  camera_names: ["0", "1"], num_moving_cars: 1, num_workers: 1}
fit: {steps: 12, half_resolution_steps: 4, initialise: {max_gaussians: 1500}}
distill: {schedule: {target_shift_m: 1.0, step_m: 0.5, steps_per_stage: 4}}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refine")
    (folder / "small.yaml").write_text(SMALL)
    save_generator(folder / "weights.safetensors", tiny_generator(trained=True), ErrorProfile(), {})
    return folder


def editors(workspace: Path, **options: object) -> list[str]:
    """The option that names the tiny video model of the workspace, and the fixer after it."""
    wan = {
        "kind": "wan",
        "weights": str(workspace / "weights.safetensors"),
        "window_frames": 9,
        "sampler": {"steps": 2},
    }
    return ["--editors", json.dumps([wan | options, {"kind": "fixer"}])]


def arguments(workspace: Path, *options: str) -> list[str]:
    inputs = ["--config", str(workspace / "small.yaml"), *editors(workspace)]
    return [*inputs, "--out", str(workspace / "run"), *options]


def refine(workspace: Path, *options: str) -> Finished:
    return run_command(refine_sequence.main, *arguments(workspace, *options), cwd=workspace)


def test_a_drive_goes_in_and_video_scene_and_report_come_out(workspace: Path) -> None:
    first = refine(workspace)
    assert first.returncode == 0, first.stderr
    assert " left" in first.stderr
    out = workspace / "run"
    for name in ("before.mp4", "edit.mp4", "after.mp4", "eig.mp4", "comparison.mp4", "scene.safetensors", "scene.ply"):
        assert (out / name).stat().st_size > 0, name
    assert "<video" in (out / "report.html").read_text()
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["metrics"]["at +1.00 m: after"]["psnr_db"] > 5.0  # against the truth of the street
    for name in ("before", "after"):
        unused = metrics["metrics"][f"cameras that were not used: {name}"]
        assert unused["psnr_db"] == unused["psnr_db camera 1"] > 5.0 and "psnr_db camera 0" not in unused
        assert "psnr_db camera 1" not in metrics["metrics"][f"recorded lane, held-out: {name}"]
    assert (out / "trajectory.png").stat().st_size > 0
    page = (out / "report.html").stat().st_mtime_ns
    again = refine(workspace)
    assert again.returncode == 0 and "finished before" in again.stderr
    assert (out / "report.html").stat().st_mtime_ns == page
    (out / "metrics.md").unlink()
    again = refine(workspace)
    assert again.returncode == 0 and (out / "metrics.md").is_file()
    assert again.stderr.count("resumed") == 6  # street, fit, calibrate, unrefined clip and two shifts
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    measured = run_command(evaluate.main, "--run", "run", cwd=workspace)
    assert measured.returncode == 0, measured.stderr
    assert "resumed" not in measured.stderr  # it only reads
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.safetensors")} == written
    assert json.loads((out / "metrics.json").read_text())["metrics"] == metrics["metrics"]
    (out / "drive" / "intrinsics" / "1.txt").write_text("broken")  # of a camera that is not used
    changed = refine(workspace, "--distill.schedule.steps_per_stage", "5")
    assert changed.returncode == 0
    assert "cameras that were not used are not compared" in changed.stderr
    assert changed.stderr.count("resumed") == 4  # only the shifts are made again


def test_any_trajectory_can_be_asked_for(workspace: Path) -> None:
    """A lane change with a turned rig, beyond the reach of truth, through the fit of the run above."""
    lane_change = "[{shift_m: -8, over_m: [1, 6]}, {yaw_deg: 5}]"
    result = refine(workspace, "--trajectory", lane_change, "--distill.schedule.step_m", "4", "--out", "lane")
    assert result.returncode == 0, result.stderr
    assert "trajectory 2 of 2: regenerating 9 frames" in result.stderr
    out = workspace / "lane"
    metrics = json.loads((out / "metrics.json").read_text())
    assert "shift -8.00 m over 1-6 m, yaw +5.0 deg" in metrics["title"]
    assert "psnr_db" not in metrics["metrics"]["on the new trajectory: after"]
    assert metrics["metrics"]["on the new trajectory: after"]["psnr_to_render_lowest_eig_decile_db"] > 0
    assert any("shifts of the whole drive only" in note for note in metrics["notes"])
    assert (out / "trajectory.png").stat().st_size > 0
    assert "<h2>Trajectory</h2>" in (out / "report.html").read_text()
    assert (out / "drive" / "truth" / "+0.00m").is_dir() and not (out / "drive" / "truth" / "-8.00m").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trajectory", "[{shift_n: 3}]"), "shift_n"),
        (("--trajectory", "[{shift_m: .nan}]"), "trajectory.shift_m: nan"),
        (("--trajectory", "[{raise_m: 11}]"), "11 m from the recorded path"),
        (("--trajectory", "[{shift_m: 3, over_m: [4, 2]}]"), "[4.0, 2.0]"),
        (("--trajectory", "[{shift_m: 3, over_m: [1, 50]}]"), "m that were driven"),
        (("--trajectory", "[{poses: nowhere.txt}]"), "nowhere.txt"),
        (("--trajectory", "[{poses: a}, {poses: b}]"), "at most one file"),
        (("--distill.schedule.target_shift_m", "50"), "50"),
        (("--fit.stepz", "3"), "stepz"),
        (("--scene", "nowhere"), "nowhere"),
        (("--editors", "[]"), "at least one entry"),
        (("--editors", "[{kind: painter}]"), "painter"),
        (("--editors", "[{kind: wan, weights: nothing.safetensors}]"), "nothing.safetensors"),
        (("--editors", "[{kind: wan, window_frames: 10}]"), "4k + 1"),
        (("--editors", "[{kind: wan, window_frames: 49}]"), "49"),
        (("--editors", "[{kind: wan, window_frames: 1}]"), "5, 9"),
        (("--editors", "[{kind: wan, window_frames: 9, sampler: {guidance: 5}}]"), "negative prompt"),
        (("--camera", "7"), "7"),
        (("--cameras", '["7"]'), "cameras: 7"),
        (("--split.held_out_every", "1"), "held_out_every: 1"),
        (("--device", "cuda:99"), "cuda:99"),
        (("--num_frames", "10"), "at most the street's 9"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    workspace: Path, options: tuple[str, ...], message: str
) -> None:
    out = workspace / "bad"
    with pytest.raises(InputError) as refusal:
        refine_sequence.main(arguments(workspace, "--out", str(out), *options))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not out.exists()


def test_refusals_are_one_line_with_exit_code_2(workspace: Path) -> None:
    (workspace / "file").write_text("not a folder")
    result = refine(workspace, "--out", str(workspace / "file" / "run"))
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and "can be created and written to" in lines[0]
