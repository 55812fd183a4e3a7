"""tools/bench.py raster, eig and peers: every piece of work is in the tables, with its spread and peak of memory."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.cli.bench import main
from faithfusion.cli.speed.cost import MIB, cost_of, peak_mib
from faithfusion.cli.speed.gsplat_peer import GSPLAT, gsplat_picture, gsplat_torch_projection
from faithfusion.cli.speed.gsplat_trainer import gsplat_trained
from faithfusion.cli.speed.raster import street_camera, street_cloud
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_image
from faithfusion.data.splits import SplitConfig, split_clip
from faithfusion.evaluate.eig.scores import FISHER_GAIN, FISHER_SEEN, OURS
from faithfusion.render import render
from faithfusion.render.project import project
from faithfusion.render.render_view import render_view
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import Gaussians
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import psnr_db

SIZES = ["--sizes", "[[600, 48, 32], [300, 32, 24]]", "--repetitions", "3"]
TINY = """
truth:
  seeds: [3]
  shifts_m: [-3.0, 3.0]
  frame_stride: 4
  device: cpu
  street: {num_frames: 9, width: 64, height: 48, samples_per_pixel: 1, lidar_beams: 16, lidar_columns: 120,
    num_moving_cars: 1, camera_names: ["0"], num_workers: 1}
  fit: {steps: 40, half_resolution_steps: 10, initialise: {max_gaussians: 1500, sky_height: 16}}
"""


def rows_of(text: str) -> list[list[str]]:
    """The cells of all lines of tables but their heads."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if any(re.fullmatch(r"-?\d+\.\d+", cell) for cell in cells)]


def assert_ordered(cells: list[str]) -> None:
    least, median, most, peak = map(float, cells)
    assert 0 < least <= median <= most and peak > 50  # MiB; torch alone takes more


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_rasteriser_is_measured_at_every_size(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["raster", *SIZES, "--device", device])
    text = capsys.readouterr().out
    assert "600 Gaussians at 48x32 on " in text and "300 Gaussians at 32x24 on " in text
    rows, names = rows_of(text), ["forward", "forward + backward", *([GSPLAT] if device == "cuda" else [])]
    assert [name for name, *_ in rows] == 2 * names
    if device == "cpu":
        for _, *cells in rows:
            assert_ordered(cells)
        assert float(rows[1][2]) > float(rows[0][1])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_eig_and_a_frame_of_a_window_are_measured(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["eig", *SIZES, "--device", device])
    rows = rows_of(capsys.readouterr().out)
    names = ["forward + backward", *([GSPLAT] if device == "cuda" else [])]
    names += ["posterior pass", "pixel map", "frame of a window"]
    assert [(num, image, name) for num, image, _, name, *_ in rows] == [
        (num, image, name) for num, image in (("600", "48x32"), ("300", "32x24")) for name in names
    ]
    for *_, least, median, most, peak, ratio, _ in rows:
        assert float(least) <= float(median) <= float(most) and float(peak) > 0 and float(ratio) > 0
    assert rows[0][-2] == "1.000" and float(rows[len(names) - 1][-2]) > float(rows[len(names) - 2][-2])


@pytest.mark.gpu
def test_a_step_on_a_card_stands_beside_gsplat(capsys: pytest.CaptureFixture[str]) -> None:
    main(["step", *SIZES, "--device", "cuda"])
    text = capsys.readouterr().out
    assert text.count(f"| {GSPLAT} |") == text.count("| step of the fit |") == 2


def test_stages_of_two_runs_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, stages in {"old": {"street": 9.0, "fit": 20.0}, "new": {"fit": 7.4}}.items():
        run = tmp_path / name
        run.mkdir()
        entries = {stage: {"key": "", "seconds": seconds} for stage, seconds in stages.items()}
        (run / "state.json").write_text(json.dumps(entries))
        (run / "report.html").touch()
        os.utime(run / "state.json", (100.0, 100.0))
        os.utime(run / "report.html", (103.0, 103.0))
    main(["stages", "--runs", f'["{tmp_path}/old", "{tmp_path}/new"]'])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines == ["| street | 9 |  |", "| fit | 20 | 7 |", "| report | 3 | 3 |", "| all | 32 | 10 |"]


def test_peers_are_timed_and_scored_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "peers.yaml").write_text(TINY + f"  out: {tmp_path / 'run'}\n")
    main(["peers", "--config", str(tmp_path / "peers.yaml"), "--sizes", "[[600, 48, 32]]", "--repetitions", "2"])
    text = capsys.readouterr().out
    rows = {name: cells for name, *cells in rows_of(text)}
    kinds = ["EIG, posterior per training view", "FisherRF, posterior per training view"]
    kinds += ["EIG, map of a new view", "FisherRF, both maps of a new view"]
    others = ["ours, projection", "gsplat in plain torch, projection", "ours, forward + backward"]
    fits = ["ours", "gsplat's trainer"]
    assert list(rows) == [*kinds, OURS, FISHER_GAIN, FISHER_SEEN, *fits, *others]
    for name in fits:
        seconds, num_gaussians, held_out_db, beside_db = map(float, rows[name])
        assert seconds >= 0 and num_gaussians > 100 and 5.0 < beside_db < 50.0 and 5.0 < held_out_db < 50.0
    for name in (*kinds, *others):
        assert_ordered(rows[name])
    for peer in (FISHER_GAIN, FISHER_SEEN):
        assert float(rows[OURS][0]) > float(rows[peer][0]) and float(rows[OURS][1]) < float(rows[peer][1])
    assert "2 true views at +3 m" in text


@pytest.mark.slow
def test_gsplats_trainer_learns_and_grows(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "drive", num_frames=9))
    frames = split_clip(clip, SplitConfig()).train
    start = initialise_scene(clip, frames, InitialiseConfig(max_gaussians=600, sky_height=16)).gaussians
    psnr = []
    for steps in (1, 620):  # its density control starts after 500
        scene, seconds = gsplat_trained(clip, frames, start, steps, 0, torch.device("cpu"))
        images = [render_view(scene, frame.camera, frame.time_index).color.clamp(0, 1) for frame in frames[:4]]
        psnr.append(sum(psnr_db(i.detach(), load_image(f)) for i, f in zip(images, frames[:4], strict=True)) / 4)
        assert seconds > 0 and (scene.gaussians.num == start.num) == (steps == 1)
    assert psnr[1] > psnr[0] + 3.0


def test_gsplat_projects_the_same() -> None:
    gaussians, camera = street_cloud(500), street_camera(96, 64)
    ours, seen = project(gaussians, camera), None
    means2d, conics, depths = gsplat_torch_projection(gaussians, camera)
    seen = ours.radii > 0
    assert seen.sum() > 100
    torch.testing.assert_close(means2d[seen], ours.means2d[seen], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(conics[seen], ours.conics[seen], rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(depths[seen], ours.depths[seen])


@pytest.mark.gpu
def test_gsplat_draws_the_same() -> None:
    gaussians = Gaussians(**{name: value.cuda() for name, value in vars(street_cloud(5000)).items()})
    camera, background = street_camera(96, 64).to("cuda"), torch.full((64, 96, 3), 0.5, device="cuda")
    color, depth = gsplat_picture(gaussians, camera, background)
    ours = render(gaussians, camera, background, backend="warp")
    assert (color - ours.color).abs().mean() < 2e-3
    assert (depth - ours.depth).abs().mean() < 2e-2 * ours.depth.mean()


def test_the_peak_is_that_of_the_work() -> None:
    cpu = torch.device("cpu")
    large, small = (peak_mib(lambda size=size: torch.ones(size * MIB // 4).sum(), cpu) for size in (256, 1))
    assert 200 < large - small < 300
    cost = cost_of(lambda: None, 3, "cpu")
    assert cost.min_s <= cost.median_s <= cost.max_s < 0.1


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["raster", "--sizes", "[]"], "at least one size"),
        (["eig", "--sizes", "[[0, 32, 24]]"], "positive numbers"),
        (["step", "--repetitions", "0"], "one repetition"),
        (["peers", "--shift_m", "2.0"], "one of the shifts"),
        (["stages", "--runs", '["nowhere"]'], "finished run"),
    ],
)
def test_bad_options_are_refused(argv: list[str], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        main(argv)
