"""Pairs of the three kinds from drives of a few pixels: what is true is what was recorded."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from tiny_clip import write_tiny_clip
from tiny_run import FIT, SPLIT, STREET

from faithfusion.clips.manifest import read_manifest
from faithfusion.clips.store import ShardFolder, read_shard
from faithfusion.clips.windows import Span
from faithfusion.config import parse_config
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image
from faithfusion.eig.assess import training_view
from faithfusion.evaluate.report.pair_sheet import sheet_rows, write_pair_sheet
from faithfusion.pairs.config import CrossCameraConfig, PairsConfig, WithheldConfig, shard_options
from faithfusion.pairs.kinds import camera_pairs, fitted_times, sparse_fits
from faithfusion.pairs.make import make_pairs
from faithfusion.pairs.scene import grouped_spans
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import report_progress
from faithfusion.window.framing_config import FramingConfig

REPOSITORY = Path(__file__).resolve().parents[2]
TINY_FIT = dataclasses.replace(
    FIT, checkpoint_every=2, initialise=InitialiseConfig(max_gaussians=200, sky_height=8, num_frames=4)
)
TINY = PairsConfig(fit=TINY_FIT, fit_steps=(6, 9), window_frames=5, drives=("absent",), kind="withheld")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("drives") / "tiny", num_frames=13)


def no_picture(_path: Path) -> None:
    pass


def recorded(drive: Path, camera: str, span: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Recorded frames, cut to 32x16, and which of their pixels count."""
    clip = read_drive(drive)
    frames = [clip.frame(t, camera) for t in range(*span)]
    masks = torch.stack([training_view(clip, frame).mask for frame in frames])
    return torch.stack([load_image(frame) for frame in frames])[:, 4:20], masks[:, 4:20]


def require_truth(window: Window, colors: torch.Tensor, valid: torch.Tensor) -> None:
    assert valid.any() and not valid.all()
    torch.testing.assert_close(window.truth[valid], colors[valid], atol=0.51 / 255, rtol=0)
    assert torch.equal(window.truth[~valid], window.render[~valid])
    assert not window.eig.expected_sq_error[~valid].any()
    assert (window.eig.expected_sq_error[valid] > 0).all()


def shown_answer(window: Window) -> torch.Tensor:
    """Per frame, the share of the pixels with a warped view that show the true colour."""
    shown = window.warped.trust > 0
    same = (window.warped.colors - window.truth).abs().amax(-1) < 2.0 / 255
    return (same & shown).sum((0, 2, 3)) / shown.sum((0, 2, 3)).clamp_min(1)


def test_cross_camera_truth_is_the_other_camera(drive: Path, tmp_path: Path) -> None:
    cross = CrossCameraConfig(fit_cameras=(("0",), ("1",)), match_brightness=False)
    config = dataclasses.replace(
        TINY, kind="cross_camera", out=str(tmp_path), drives=(str(drive),), cross_camera=cross, sequence_frames=9
    )
    (path,) = make_pairs(config, no_picture)
    shard, clip = read_shard(path), read_drive(drive)
    assert path.name == "tiny_cross_camera.safetensors"
    facts = shard.provenance
    assert [fit["cameras"] for fit in facts["fits"]] == [["0"], ["1"]] and facts["skipped"] == []
    assert all(6 <= fit["steps"] <= 9 for fit in facts["fits"])
    assert [(entry["camera"], entry["first_time"]) for entry in facts["sequences"]] == [
        ("1", 0), ("1", 8), ("0", 0), ("0", 8)
    ]  # fmt: skip
    starts = [0, 4, 8] * 2
    assert len(shard) == len(starts)
    for index, start in enumerate(starts):
        window, camera, fitted = shard[index], *(("1", "0") if index < 3 else ("0", "1"))
        require_truth(window, *recorded(drive, camera, (start, start + 5)))
        for number in range(5):
            expected = clip.frame(start + number, camera).camera
            assert torch.equal(window.poses.world_from_camera[number], expected.world_from_camera)
            assert window.poses.intrinsics[number, 1, 2] == expected.intrinsics[1, 2] - 4
        assert window.references.shape == (3, 16, 32, 3)
        for image, pose in zip(window.references, window.reference_poses.world_from_camera, strict=True):
            times = [t for t in range(13) if torch.equal(clip.frame(t, fitted).camera.world_from_camera, pose)]
            assert len(times) == 1 and times[0] % 8 != 4  # what is held out is not fitted
            colors, _ = recorded(drive, fitted, (times[0], times[0] + 1))
            torch.testing.assert_close(image, colors[0], atol=0.51 / 255, rtol=0)


def test_cameras_that_see_too_little_are_left_out_and_stay_so(drive: Path, tmp_path: Path) -> None:
    cross = CrossCameraConfig(min_coverage=9.0)
    config = dataclasses.replace(TINY, kind="cross_camera", out=str(tmp_path), drives=(str(drive),), cross_camera=cross)
    for _ in range(2):
        assert make_pairs(config, no_picture) == []
    (listed,) = [entry for path in tmp_path.glob("pairs_*.json") for entry in read_manifest(path)]
    assert listed.skipped and len(list(tmp_path.iterdir())) == 1


def test_withheld_truth_is_what_the_fit_did_not_see(drive: Path, tmp_path: Path) -> None:
    withheld = WithheldConfig(cameras=("1",), every=(2, 3), num_fits=2)
    config = dataclasses.replace(TINY, out=str(tmp_path), drives=(str(drive),), withheld=withheld)
    (path,) = make_pairs(config, write_pair_sheet)
    shard = read_shard(path)
    assert path.with_suffix(".png").is_file() and len(shard) == 6
    for index in range(6):
        start = 4 * (index % 3)
        require_truth(shard[index], *recorded(drive, "1", (start, start + 5)))
        assert shown_answer(shard[index]).max() < 0.1, "no fitted frame finds its own picture"
        own, shown = shard[index].poses.world_from_camera, shard[index].reference_poses.world_from_camera
        assert not (own[:, None] == shown).all((-1, -2)).any(), "nor is it given among the references"
    assert (shard[0].warped.trust > 0).any((0, 2, 3)).all()
    fits = shard.provenance["fits"]
    assert len(fits) == 2 and all(3 <= len(fit["times"]) <= 7 for fit in fits)
    clip = read_drive(drive, camera_names=("1",))
    for fit in sparse_fits(clip, config):
        seen, calibrating = ({frame.time_index for frame in frames} for frames in (fit.train, fit.calibration))
        assert seen <= set(fit.times) and calibrating and not seen & calibrating


def test_street_truth_is_exact(tmp_path: Path) -> None:
    config = PairsConfig(
        out=str(tmp_path), first_seed=3, num_streets=1, street=STREET, split=SPLIT, fit=FIT, fit_steps=(20, 20),
        window_frames=5, num_shifts=2, num_references=2,
    )  # fmt: skip
    (path,) = make_pairs(config, no_picture)
    shard = read_shard(path)
    shifts_m = [entry["shift_m"] for entry in shard.provenance["sequences"]]
    assert path.name == "street_0003.safetensors" and len(shard) == 2 and shifts_m[0] > 0 > shifts_m[1]
    for window in (shard[0], shard[1]):
        assert window.truth.shape == (5, 48, 64, 3) and window.references.shape == (2, 48, 64, 3)
        assert 0.0 < (window.truth - window.render).abs().mean() < 0.2
        assert window.warped.colors.shape == (4, 5, 48, 64, 3)
        shown = window.warped.trust[0] > 0.5
        assert shown.float().mean() > 0.2
        error = (window.warped.colors[0] - window.truth).abs().mean(-1)[shown].mean()
        assert error < 0.95 * (window.render - window.truth).abs().mean(-1)[shown].mean()  # 20 steps of a fit


class GivenUpError(Exception):
    """Stands for the end of the process."""


def give_up_at(label: str, count: int) -> Callable[[str, int, int], None]:
    def report(found: str, done: int, _total: int) -> None:
        if found == label and done == count:
            raise GivenUpError

    return report


def test_a_run_that_was_given_up_continues_where_it_was(tmp_path: Path) -> None:
    drives = tuple(str(write_tiny_clip(tmp_path / name, num_frames=9)) for name in ("a", "b"))
    out = tmp_path / "pairs"
    config = dataclasses.replace(TINY, out=str(out), drives=drives, withheld=WithheldConfig(every=(2, 2)))
    with report_progress(give_up_at("fit b", 5)), pytest.raises(GivenUpError):
        make_pairs(config, no_picture)
    first = out / "a_withheld.safetensors"
    stamp = first.stat().st_mtime_ns
    states = list(out.glob(".b_withheld.*.work/fit_0.safetensors"))
    assert len(states) == 1
    (out / ".a_withheld.0badf00d.work").mkdir()  # as of a kill between the finished shard and the end of its workspace
    with pytest.raises(InputError, match="b_withheld.safetensors: shard 2 of 2"):
        ShardFolder(out)
    steps = []
    with report_progress(lambda label, done, total: steps.append((label, done, total))):
        paths = make_pairs(config, no_picture)
    assert [path.name for path in paths] == ["a_withheld.safetensors", "b_withheld.safetensors"]
    assert first.stat().st_mtime_ns == stamp
    total = read_shard(paths[1]).provenance["fits"][0]["steps"]
    assert ("fit b", 0, total - 4) in steps and not any(label == "fit a" for label, *_ in steps)
    assert not list(out.glob(".*")) and len(ShardFolder(out)) == 2 * 2 * 2
    again = tmp_path / "again"
    make_pairs(dataclasses.replace(config, out=str(again)), no_picture)
    for path in paths:
        for number in range(4):
            there, here = read_shard(again / path.name)[number], read_shard(path)[number]
            assert torch.equal(there.render, here.render) and torch.equal(there.eig.eig_nats, here.eig.eig_nats)


@pytest.mark.slow
def test_a_killed_tool_continues(tmp_path: Path) -> None:
    drives = [str(write_tiny_clip(tmp_path / name, num_frames=9)) for name in ("a", "b", "c")]
    out, options = tmp_path / "pairs", tmp_path / "options.yaml"
    options.write_text(yaml.safe_dump({"fit": to_plain(TINY_FIT), "fit_steps": [60, 60], "window_frames": 5}))
    command = [sys.executable, "tools/make_pairs.py", "--config", options, "--kind", "withheld", "--out", out]
    command += ["--withheld.every", "[2, 2]", "--drives", *drives]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    while not (out / "b_withheld.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stamp = (out / "a_withheld.safetensors").stat().st_mtime_ns
    assert not (out / "c_withheld.safetensors").exists()
    subprocess.run(command, cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, check=True)
    assert (out / "a_withheld.safetensors").stat().st_mtime_ns == stamp
    assert len(ShardFolder(out).shards) == 3 and len(list(out.glob("[!.]*.png"))) == 3
    assert not list(out.glob(".*.work"))


def test_what_cannot_work_is_said_before_anything_is_made(drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def refuse(match: str, **changes: object) -> None:
        config = dataclasses.replace(TINY, out=str(out), drives=(str(drive),))
        with pytest.raises(InputError, match=match):
            make_pairs(dataclasses.replace(config, **changes), no_picture)
        assert not out.exists()

    refuse("no camera '7'", kind="cross_camera", cross_camera=CrossCameraConfig(target_cameras=("7",)))
    refuse("another to render at", kind="cross_camera", cross_camera=CrossCameraConfig(fit_cameras=(("0", "1"),)))
    refuse("no camera '7'", withheld=WithheldConfig(cameras=("7",)))
    refuse("at least one window of 17", window_frames=17)
    refuse("would be fitted", withheld=WithheldConfig(cameras=("0",), every=(9, 9)))
    refuse("no such folder", drives=(str(tmp_path / "absent"),))
    refuse("several folders called tiny", drives=(str(drive), str(drive)))
    refuse("framing", framing=FramingConfig(downscale=2))
    refuse("the drives to make withheld pairs of", drives=())
    refuse("none for streets", kind="street")


def test_the_tool_takes_drives_as_a_shell_gives_them() -> None:
    for drives in (["--drives", "a b", "c", "--out", "x"], ["--out", "x", "--drives", '["a b", "c"]']):
        assert parse_config(PairsConfig, ["--kind", "withheld", *drives]).drives == ("a b", "c")
    assert parse_config(PairsConfig, ["--kind", "withheld", "--drives", "a"]).drives == ("a",)


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong, match in (
        ({"window_frames": 16}, "window_frames"),
        ({"overlap_frames": 21}, "ascending"),
        ({"sequence_frames": 9}, "ascending"),
        ({"fit_steps": (9, 3)}, "fit_steps"),
        ({"num_references": 0}, "num_references"),
        ({"num_frames": -1}, "num_frames"),
    ):
        with pytest.raises(InputError, match=match):
            PairsConfig(**wrong)
    for wrong in ({"every": (0, 3)}, {"every": (1, 3), "gap_frames": (0, 0)}, {"num_fits": 0}):
        with pytest.raises(InputError, match="withheld"):
            WithheldConfig(**wrong)


def test_shards_of_other_options_are_not_taken_for_these(drive: Path, tmp_path: Path) -> None:
    withheld = WithheldConfig(cameras=("0",), every=(2, 2))
    config = dataclasses.replace(TINY, out=str(tmp_path), drives=(str(drive),), withheld=withheld)
    make_pairs(config, no_picture)
    with pytest.raises(InputError, match="was made with window_frames = 5; expected 9"):
        make_pairs(dataclasses.replace(config, window_frames=9), no_picture)
    same = dataclasses.replace(config, fit=dataclasses.replace(config.fit, cache_mb=16))
    assert json.dumps(shard_options(same)) == json.dumps(shard_options(config))
    with report_progress(give_up_at("fit tiny", 0)):
        assert len(make_pairs(same, no_picture)) == 1


@pytest.mark.parametrize("num_frames", [9, 25, 49, 200])
def test_a_sparse_fit_sees_both_sides_of_its_gaps(num_frames: int) -> None:
    config = WithheldConfig(every=(2, 6), gap_frames=(0, 12))
    largest = set()
    for seed in range(60):
        times = sorted(fitted_times(num_frames, config, torch.Generator().manual_seed(seed)))
        steps = [b - a for a, b in zip(times, times[1:], strict=False)]
        assert len(times) >= 3 and min(steps) >= 2 and times[0] < 6 and times[-1] >= num_frames - 6
        assert max(steps) < min(12, num_frames // 4) + 2 * 6  # a gap begins and ends between fitted ones
        largest.add(max(steps))
    assert len(largest) > 2 or num_frames == 9


def test_every_camera_of_a_set_is_fitted_and_the_others_are_targets(drive: Path) -> None:
    clip = dataclasses.replace(read_drive(drive), camera_names=("0", "1", "2"))
    config = dataclasses.replace(TINY, kind="cross_camera")
    assert camera_pairs(clip, config) == [(("0",), ("1", "2"))]
    cross = CrossCameraConfig(fit_cameras=(("0", "2"), ("1",)), target_cameras=("1", "2"))
    pairs = camera_pairs(clip, dataclasses.replace(config, cross_camera=cross))
    assert pairs == [(("0", "2"), ("1",)), (("1",), ("2",))]


def test_windows_go_together_as_far_as_they_touch_and_fit() -> None:
    spans = [Span(0, 9), Span(8, 17), Span(16, 25), Span(40, 49)]
    assert grouped_spans(spans, 17) == [spans[:2], spans[2:3], spans[3:]]
    assert grouped_spans(spans, 97) == [spans[:3], spans[3:]]
    assert grouped_spans(spans, 9) == [[span] for span in spans]


def test_a_sheet_shows_at_most_twelve_windows() -> None:
    assert sheet_rows(3) == [0, 1, 2]
    rows = sheet_rows(100)
    assert len(rows) == 12 and rows[0] == 0 and rows[-1] == 99
