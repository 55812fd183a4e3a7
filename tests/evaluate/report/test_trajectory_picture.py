"""The picture of a new trajectory: what it shows lies where it should; the tool that draws it writes or refuses."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.new_path import clip_path
from faithfusion.data.path_hits import PathHit
from faithfusion.data.trajectory_config import TrajectoryEntry
from faithfusion.evaluate.report.trajectory_picture import RECORDED, draw_preview, path_difference, preview_figure
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError

TOOL = Path(__file__).resolve().parents[3] / "tools" / "preview_trajectory.py"
LANE_CHANGE = (TrajectoryEntry(shift_m=3.0, over_m=(5.0, 20.0)), TrajectoryEntry(yaw_deg=10.0, raise_m=0.5))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    return read_drive(write_tiny_clip(tmp_path_factory.mktemp("drive") / "tiny", num_frames=25))


def test_the_difference_is_told_in_the_recorded_egos_axes(clip: DriveClip) -> None:
    difference = path_difference(clip_path(clip, LANE_CHANGE))
    assert np.abs(difference[:, 0]).max() < 1e-5
    assert difference[[0, 5, 20, 24], 1] == pytest.approx([0.0, 0.0, 3.0, 3.0], abs=1e-3)
    assert difference[:, 2] == pytest.approx([0.5] * 25, abs=1e-5)
    assert difference[:, 3] == pytest.approx([10.0] * 25, abs=1e-4)


def test_lines_and_arrows_lie_on_the_paths(clip: DriveClip) -> None:
    figure = preview_figure(clip, "0", clip_path(clip, LANE_CHANGE))
    plan, left, up, yaw = figure.axes
    lines = {line.get_label(): line.get_xydata() for line in plan.lines}
    old, new = lines["recorded path, m driven"], lines["new path"]
    assert old[:, 1] == pytest.approx([0.0] * 25, abs=1e-4)  # the drive goes from left to right
    assert old[:, 0] == pytest.approx(np.arange(25), abs=1e-4)
    np.testing.assert_allclose(np.linalg.norm(new[-3:] - old[-3:], axis=1), 3.0, atol=1e-4)
    assert (new[-3:, 1] > 2.0).all()  # left of it
    (arrows,) = [item for item in plan.collections if hasattr(item, "U")]
    turned = np.degrees(np.arctan2(arrows.V, arrows.U))
    headings = np.degrees(0.02 * np.linspace(0, 24, len(turned)).round())
    assert turned == pytest.approx(headings + 10.0, abs=1e-3)
    assert left.lines[0].get_ydata()[-1] == pytest.approx(3.0, abs=1e-3)
    assert up.lines[0].get_ydata()[-1] == pytest.approx(0.5, abs=1e-5)
    assert yaw.lines[0].get_ydata()[-1] == pytest.approx(10.0, abs=1e-4)
    assert plan.get_aspect() == 1.0
    assert any(text.get_text().endswith(" m") for text in plan.texts)  # the scale


def test_points_and_boxes_are_drawn_where_they_are(clip: DriveClip) -> None:
    plan = preview_figure(clip, "0", clip_path(clip, LANE_CHANGE)).axes[0]
    points = plan.collections[0].get_offsets()
    assert len(points) == 25 * 200
    boxes = [patch.get_xy()[:4].mean(0) for patch in plan.patches]
    assert boxes[1] == pytest.approx([6.0, 3.0], abs=1e-3)  # the parked car of the tiny clip


def test_hits_are_marked_and_told(clip: DriveClip) -> None:
    path = clip_path(clip, LANE_CHANGE)
    hit = PathHit("through Vehicle 1", 10.0, 14.0)
    figure = preview_figure(clip, "1", path, [hit])
    outlines = figure.axes[0].collections[-2].get_paths()
    assert len(outlines) == 5
    assert "Vehicle 1 from 10 to 14 m driven" in figure.get_supxlabel()


def test_the_picture_has_the_colours_of_its_paths(clip: DriveClip) -> None:
    picture = draw_preview(clip, "0", clip_path(clip, LANE_CHANGE))
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    blue = np.array([int(RECORDED[i : i + 2], 16) for i in (1, 3, 5)])
    assert (np.abs(picture.astype(int) - blue).max(-1) < 8).sum() > 100


def test_a_drive_without_lidar_and_boxes_is_drawn_too(tmp_path: Path) -> None:
    bare = read_drive(write_tiny_clip(tmp_path / "bare", optional=False))
    assert draw_preview(bare, "1", clip_path(bare, [TrajectoryEntry(shift_m=2.0)])).std() > 0


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_the_tool_writes_a_picture_and_warns(
    clip: DriveClip, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    main = runpy.run_path(str(TOOL))["main"]
    out = tmp_path / "new" / name
    main(["--scene", str(clip.root), "--trajectory", "[{shift_m: 3}]", "--out", str(out)])
    said = capsys.readouterr().err
    assert "warning: The new path passes" in said and "Vehicle 1" in said and str(out) in said
    assert [path.name for path in out.parent.iterdir()] == [name]
    if name == "a.png":
        assert min(Image.open(out).size) > 300
    else:
        assert "<svg" in out.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scene", "nowhere"), "nowhere"),
        (("--trajectory", "[]"), "--trajectory: nothing"),
        (("--trajectory", "[{shift_m: 99}]"), "99 m from the recorded path"),
        (("--camera", "7"), "no camera '7'"),
        (("--out", "picture.docx"), "picture.docx"),
        (("--num_frames", "99"), "99"),
    ],
)
def test_the_tool_refuses_before_it_writes(
    clip: DriveClip, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    main = runpy.run_path(str(TOOL))["main"]
    out = tmp_path / "new" / "a.png"
    with pytest.raises(InputError) as refusal:
        main(["--scene", str(clip.root), "--trajectory", "[{shift_m: 3}]", "--out", str(out), *options])
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert not out.parent.exists()
