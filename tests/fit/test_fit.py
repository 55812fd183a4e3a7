"""The fit: it learns, it resumes bit for bit, it survives numbers that are not finite."""

import dataclasses
import json
import runpy
from pathlib import Path

import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_valid_mask
from faithfusion.eig.calibrate import calibration_from_plain
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.fit.fit import drive_extent_m, fit_scene, view_order
from faithfusion.fit.fit_config import FitConfig, OptimiserConfig
from faithfusion.fit.optimiser import MAX_SKIPPED, SceneOptimiser
from faithfusion.fit.supervised_view import ViewLoader, halve_view, load_view
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_config import DensifyConfig, InitialiseConfig
from faithfusion.scene.scene_file import load_scene, scene_tensors
from faithfusion.types import DriveClip
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "reconstruct.py"
CONFIG = FitConfig(
    steps=40,
    half_resolution_steps=10,
    checkpoint_every=15,
    initialise=InitialiseConfig(max_gaussians=200, sky_height=8, num_frames=4),
    densify=DensifyConfig(start_step=10, stop_step=35, every_steps=10, max_gaussians=260, grow_gradient=1e-6),
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    return read_drive(write_tiny_clip(tmp_path_factory.mktemp("drive") / "clip", num_frames=5))


def make_optimiser(clip: DriveClip, **kwargs: object) -> SceneOptimiser:
    scene = initialise_scene(clip, clip.frames, CONFIG.initialise)
    return SceneOptimiser(scene, OptimiserConfig(), num_steps=700, extent_m=10.0, **kwargs)


def test_fit_learns_grows_and_keeps_the_ceiling(clip: DriveClip) -> None:
    start = initialise_scene(clip, clip.frames, CONFIG.initialise)
    scene, log = fit_scene(clip, clip.frames, CONFIG)
    before, after = (score_frames(s, clip.frames)["all"]["psnr_db"] for s in (start, scene))
    assert after > before + 1.5
    assert start.gaussians.num < scene.gaussians.num <= 260
    assert len(log.losses) == 40 and log.num_gaussians == scene.gaussians.num
    assert {"photometric", "depth", "sky", "exposure", "ground"} == set(log.losses[-1])
    assert len(scene.node_ids) == scene.gaussians.num and not scene.gaussians.means.requires_grad


def test_a_killed_fit_ends_with_the_same_scene(clip: DriveClip, tmp_path: Path, monkeypatch) -> None:
    whole, _ = fit_scene(clip, clip.frames, CONFIG)
    state = tmp_path / "state.safetensors"
    step = SceneOptimiser.step

    def dying_step(self: SceneOptimiser, view: object) -> dict[str, float]:
        if self.num_steps == 32:
            raise KeyboardInterrupt
        return step(self, view)

    monkeypatch.setattr(SceneOptimiser, "step", dying_step)
    with pytest.raises(KeyboardInterrupt):
        fit_scene(clip, clip.frames, CONFIG, state_path=state)
    monkeypatch.setattr(SceneOptimiser, "step", step)
    resumed, log = fit_scene(clip, clip.frames, CONFIG, state_path=state)
    assert log.resumed_at == 30
    expected = scene_tensors(whole)
    for name, tensor in scene_tensors(resumed).items():
        assert torch.equal(tensor, expected[name]), name


def test_a_state_of_another_run_is_not_taken(clip: DriveClip, tmp_path: Path) -> None:
    optimiser = make_optimiser(clip)
    optimiser.save(tmp_path / "state.safetensors", "run a")
    assert not make_optimiser(clip).resume(tmp_path / "state.safetensors", "run b")
    assert not make_optimiser(clip).resume(tmp_path / "none.safetensors", "run a")
    assert make_optimiser(clip).resume(tmp_path / "state.safetensors", "run a")


def test_a_step_that_is_not_finite_changes_nothing(clip: DriveClip, capsys: pytest.CaptureFixture[str]) -> None:
    optimiser = make_optimiser(clip)
    view = load_view(clip, clip.frames[2])
    bad = dataclasses.replace(view, image=torch.full_like(view.image, torch.nan))
    before = {name: tensor.clone() for name, tensor in scene_tensors(optimiser.scene()).items()}
    assert optimiser.step(bad) == {} and optimiser.num_steps == 0
    for name, tensor in scene_tensors(optimiser.scene()).items():
        assert torch.equal(tensor, before[name])
    assert f"time {view.time_index}: loss not finite" in capsys.readouterr().err
    assert optimiser.step(view)["photometric"] > 0
    with pytest.raises(FloatingPointError, match="in a row"):
        for _ in range(MAX_SKIPPED + 1):
            optimiser.step(bad)


def test_rates_rise_during_the_warm_up(clip: DriveClip) -> None:
    scene, view = initialise_scene(clip, clip.frames, CONFIG.initialise), load_view(clip, clip.frames[0])
    config = OptimiserConfig(warmup_steps=4)
    optimiser, moved = SceneOptimiser(scene, config, num_steps=10**9, extent_m=10.0), []
    for _ in range(6):
        before = optimiser.sky.detach().clone()
        optimiser.step(view)
        moved.append(float((optimiser.sky.detach() - before).abs().max()) / config.sky_lr)
    # one view again and again: Adam moves by about its rate
    assert moved == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0], rel=0.1)


def test_weight_zero_moves_no_gaussian(clip: DriveClip) -> None:
    optimiser = make_optimiser(clip)
    view = load_view(clip, clip.frames[0])
    before = optimiser.scene().gaussians.means.detach().clone()
    optimiser.step(dataclasses.replace(view, pixel_weight=torch.zeros_like(view.pixel_weight)))
    assert torch.equal(before, optimiser.scene().gaussians.means)


def test_views_leave_out_the_ego_vehicle_and_halve(clip: DriveClip) -> None:
    view = load_view(clip, clip.frames[3])
    assert (view.pixel_weight[-2:] == 0).all() and (view.pixel_weight[:12] == 1).all()
    assert view.lidar_depth_m is not None and view.sky_mask is not None
    half = halve_view(view)
    assert half.image.shape == (12, 16, 3) and (half.camera.width, half.camera.height) == (16, 12)
    torch.testing.assert_close(half.image[3, 5], view.image[6:8, 10:12].mean((0, 1)))
    torch.testing.assert_close(half.camera.intrinsics[:2], view.camera.intrinsics[:2] / 2)
    block = view.lidar_depth_m.reshape(12, 2, 16, 2).transpose(1, 2).flatten(2)
    for values, nearest in zip(block.reshape(-1, 4), half.lidar_depth_m.reshape(-1), strict=True):
        hits = values[values > 0]
        assert nearest == (hits.min() if len(hits) else 0)
    assert ViewLoader(clip, clip.frames).view(3, half=True).image.shape == half.image.shape


def test_dynamic_pixels_count_only_where_boxes_carry_them(clip: DriveClip) -> None:
    """The mask covers the lower left; a moving car that is made wide enough to carry it makes it count."""
    moving = next(track for track in clip.tracks if track.is_moving)
    wide = dataclasses.replace(moving, size_m=torch.tensor([1.0, 60.0, 60.0]))
    for tracks, counts in (((), 0), ((moving,), 0), ((wide,), 1), ((dataclasses.replace(wide, is_moving=False),), 0)):
        view = load_view(dataclasses.replace(clip, tracks=tracks), clip.frames[0])
        assert view.pixel_weight[14, 2] == counts and view.pixel_weight[14, 20] == 1


def test_what_the_lens_never_saw_does_not_count(tmp_path: Path) -> None:
    bent = read_drive(write_tiny_clip(tmp_path / "clip", optional=False, distortion=(0.4, 0.0, 0.0, 0.0, 0.0)))
    valid = load_valid_mask(bent.frames[0])
    assert valid is not None and 0.3 < valid.float().mean() < 0.99
    assert torch.equal(load_view(bent, bent.frames[0]).pixel_weight > 0, valid)


def test_views_read_ahead_are_the_same_and_errors_come_through(clip: DriveClip) -> None:
    requests = [(3, False), (0, True), (3, True), (1, False)]
    loader = ViewLoader(clip, clip.frames)
    plain = [loader.view(index, half=half) for index, half in requests]
    for ahead in (0, 1, 3, 9):
        for view, expected in zip(ViewLoader(clip, clip.frames).stream(requests, num_ahead=ahead), plain, strict=True):
            assert view.time_index == expected.time_index and torch.equal(view.image, expected.image)
    with pytest.raises(IndexError):
        list(loader.stream([(0, False), (len(clip.frames), False)], num_ahead=2))


def test_cache_is_bounded_by_its_bytes(clip: DriveClip) -> None:
    loader = ViewLoader(clip, clip.frames, cache_mb=0)
    first = loader.view(0)
    assert loader.view(0) is first
    for index in range(1, 4):
        loader.view(index)
    assert loader.view(0) is not first


def test_order_of_views_is_a_permutation_per_epoch() -> None:
    order = [view_order(7, step, seed=3) for step in range(14)]
    assert sorted(order[:7]) == sorted(order[7:]) == list(range(7)) and order[:7] != order[7:]


def test_extent_and_device(clip: DriveClip) -> None:
    assert drive_extent_m(clip.frames) == 10.0
    camera = clip.frames[0].camera
    far = torch.eye(4)
    far[0, 3] = 400.0
    moved = dataclasses.replace(clip.frames[0], camera=dataclasses.replace(camera, world_from_camera=far))
    assert drive_extent_m([clip.frames[0], moved]) == 30.0
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="toaster"):
        choose_device("toaster")


def test_reconstruct_tool_writes_everything_and_resumes(
    clip: DriveClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(TOOL))["main"]
    small = ["--steps", "12", "--initialise.max_gaussians", "120", "--initialise.sky_height", "8"]
    arguments = ["--scene", str(clip.root), "--out", str(tmp_path / "run"), *small]
    main(arguments)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        *("config.yaml", "scene.safetensors", "scene_fitted.safetensors", "scene.ply"),
        *("metrics.json", "held_out.png", "state.json"),
    }
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["held_out"]) >= {"all", "camera 0", "camera 1"}
    scene, metadata = load_scene(tmp_path / "run" / "scene.safetensors")
    assert metadata["fit"]["steps"] == 12 and scene.gaussians.num == metrics["gaussians"]
    assert metadata["assessed_on"]["cameras"] == ["0", "1"]
    assert calibration_from_plain(metadata["calibration"]).distances_m[0] == 0.0
    written_ns = (tmp_path / "run" / "scene.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    main(arguments)
    assert "resumed" in capsys.readouterr().err
    assert (tmp_path / "run" / "scene.safetensors").stat().st_mtime_ns == written_ns


def test_reconstruct_tool_refuses_in_one_line(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scene", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["reconstruct.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "run").exists()
