"""Six layouts, one drive: found without being told, and read to the same geometry."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_layouts import (
    BOX_SIZE,
    FACTS,
    NUM_FRAMES,
    Facts,
    points_vehicle,
    rigid,
    vehicle_from_camera,
    world_from_box,
    write_as,
)
from PIL import Image
from tiny_clip import ego_pose, write_tiny_clip

from faithfusion.data.drive_reader import clip_from_dataset_world, read_drive
from faithfusion.data.images import load_dynamic_mask
from faithfusion.data.layout_evidence import find_layout
from faithfusion.data.layouts import LAYOUTS
from faithfusion.data.lidar import load_points_world
from faithfusion.data.trajectories import shift_camera
from faithfusion.types import DriveClip
from faithfusion.utils.errors import InputError


@pytest.fixture(scope="module", params=list(FACTS))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DriveClip:
    return read_drive(write_as(request.param, tmp_path_factory.mktemp("drives") / request.param))


def _truth_from_clip(clip: DriveClip) -> np.ndarray:
    """The clip's world to the vehicle at the first frame, through the front camera, which both know."""
    return vehicle_from_camera(0) @ np.linalg.inv(clip.frame(0, "0").camera.world_from_camera.double().numpy())


def test_the_layout_is_found_by_what_lies_in_the_folder(clip: DriveClip) -> None:
    assert clip.layout == clip.root.name
    assert len(clip.camera_names) == FACTS[clip.layout].num_cameras == len(LAYOUTS[clip.layout].cameras)
    assert clip.num_frames == NUM_FRAMES


def test_cameras_are_where_they_were(clip: DriveClip) -> None:
    start = np.linalg.inv(ego_pose(0))
    for frame in clip.frames:
        expected = start @ ego_pose(frame.time_index) @ vehicle_from_camera(int(frame.camera_name))
        found = _truth_from_clip(clip) @ frame.camera.world_from_camera.double().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_points_are_where_they_were(clip: DriveClip) -> None:
    for t in (0, 3):
        motion = np.linalg.inv(ego_pose(0)) @ ego_pose(t)
        expected = points_vehicle(t) @ motion[:3, :3].T + motion[:3, 3]
        pose = _truth_from_clip(clip)
        found = load_points_world(clip, t).double().numpy() @ pose[:3, :3].T + pose[:3, 3]
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_boxes_are_where_they_were_with_x_along_their_length(clip: DriveClip) -> None:
    (track,) = clip.tracks
    torch.testing.assert_close(track.size_m, torch.from_numpy(BOX_SIZE).float())
    for t in range(NUM_FRAMES):
        found = _truth_from_clip(clip) @ track.world_from_box[t].double().numpy()
        np.testing.assert_allclose(found, np.linalg.inv(ego_pose(0)) @ world_from_box(t), atol=2e-4)


def test_the_ego_looks_forward_with_left_on_its_y_axis(clip: DriveClip) -> None:
    torch.testing.assert_close(clip.world_from_ego[0], torch.eye(4), atol=1e-6, rtol=0)
    np.testing.assert_allclose(_truth_from_clip(clip)[:3, :3], np.eye(3), atol=1e-6)  # world z is up, x ahead
    camera = clip.frame(2, "0").camera
    moved = shift_camera(camera, clip.world_from_ego[2], 3.0)
    aside = camera.world_from_camera[:3, :3].T @ (moved.world_from_camera[:3, 3] - camera.world_from_camera[:3, 3])
    torch.testing.assert_close(aside, torch.tensor([-3.0, 0.0, 0.0]), atol=1e-4, rtol=0)  # the camera's -x


def test_the_world_moves_as_the_clip_says(clip: DriveClip) -> None:
    np.testing.assert_allclose(
        clip_from_dataset_world(clip.root) @ world_from_box(1), clip.tracks[0].world_from_box[1], atol=1e-4
    )


def test_a_marker_and_an_argument_decide(tmp_path: Path) -> None:
    root = write_as("argoverse", tmp_path / "drive")
    (root / "layout.json").write_text('{"layout": "kitti", "frame_rate_hz": 20}')
    clip = read_drive(root)
    assert (clip.layout, clip.frame_rate_hz) == ("kitti", 20.0)
    assert read_drive(root, layout="argoverse").layout == "argoverse"


def test_without_lidar_and_boxes_the_shapes_of_pictures_tell(tmp_path: Path) -> None:
    for name in FACTS:
        assert read_drive(write_as(name, tmp_path / name, optional=False)).layout == name


def _crop_all(root: Path) -> None:
    for path in (root / "images").iterdir():
        Image.open(path).resize((40, 40)).save(path)


def test_an_ambiguous_folder_is_refused_with_the_choices(tmp_path: Path) -> None:
    root = write_as("kitti", tmp_path / "drive", optional=False, num_cameras=1)
    _crop_all(root)
    with pytest.raises(
        InputError, match="fits the layouts kitti and argoverse and nuplan; expected a layout.json"
    ) as e:
        read_drive(root)
    assert "\n" not in str(e.value)
    scans = write_as("kitti", tmp_path / "scans")
    _crop_all(scans)
    with pytest.raises(InputError, match="fits the layouts kitti and argoverse; .* NAME one of kitti, argoverse"):
        read_drive(scans)


def test_a_folder_that_fits_no_layout_is_refused(tmp_path: Path) -> None:
    root = write_as("pandaset", tmp_path / "drive")
    for path in (root / "extrinsics").iterdir():
        np.savetxt(path, rigid(np.eye(3), np.zeros(3)))
    with pytest.raises(InputError, match="fits no known layout: extrinsics per frame with flu axes, 6 cameras"):
        read_drive(root)


def test_a_camera_that_looks_down_leaves_the_axes_to_the_others(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive")
    down = rigid(np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]), np.zeros(3))
    np.savetxt(root / "extrinsics" / "0.txt", down)
    assert find_layout(root).name == "waymo"


BAD_MARKERS = {
    "unknown name": ('{"layout": "comma"}', "layout 'comma'; expected one of waymo, nuscenes, kitti"),
    "no object": ("[1]", "expected .*NAME"),
    "other keys": ('{"layouts": "kitti"}', "expected .*NAME"),
    "cut": ('{"layout": ', "cannot be read"),
    "rate": ('{"layout": "kitti", "frame_rate_hz": -1}', "frame_rate_hz -1"),
}


@pytest.mark.parametrize("case", BAD_MARKERS)
def test_bad_markers_are_refused(tmp_path: Path, case: str) -> None:
    text, message = BAD_MARKERS[case]
    root = write_tiny_clip(tmp_path / "drive", optional=False)
    (root / "layout.json").write_text(text)
    with pytest.raises(InputError, match=f"layout.json: .*{message}"):
        read_drive(root)


def test_parts_of_a_layout_that_are_missing_are_named(tmp_path: Path) -> None:
    root = write_as("nuscenes", tmp_path / "drive")
    with pytest.raises(InputError, match="layout 'av2'"):
        read_drive(root, layout="av2")
    with pytest.raises(InputError, match="ego_pose: no such folder"):
        read_drive(root, layout="pandaset")
    (root / "lidar_pose" / "002.txt").unlink()
    with pytest.raises(InputError, match="lidar_pose/002.txt: no such file"):
        read_drive(root)
    shutil.rmtree(root / "lidar_pose")
    with pytest.raises(InputError, match="lidar_pose/000.txt: no such file"):
        read_drive(root)
    (root / "extrinsics" / "003_1.txt").unlink()
    shutil.rmtree(root / "lidar")
    with pytest.raises(InputError, match="extrinsics/003_1.txt: no such file"):
        read_drive(root)


def test_a_scan_of_another_row_size_is_named(tmp_path: Path) -> None:
    root = write_as("pandaset", tmp_path / "drive")
    np.zeros(7, np.float32).tofile(root / "lidar" / "001.bin")
    with pytest.raises(
        InputError, match=r"001.bin: 28 bytes; expected a positive multiple of 20 \(float32 rows of 5\)"
    ):
        read_drive(root, layout="pandaset")


def test_fine_masks_come_before_coarse_ones(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path / "drive")
    (root / "fine_dynamic_masks" / "all").mkdir(parents=True)
    for path in (root / "dynamic_masks" / "all").iterdir():
        Image.new("L", (32, 24), 255).save(root / "fine_dynamic_masks" / "all" / path.name)
    assert load_dynamic_mask(read_drive(root).frames[0]).all()


NEW_LAYOUT = """
from faithfusion.data.layouts import Layout

MYCAR = Layout(
    name="mycar",
    cameras=("front", "left", "right"),
    image_sizes=((900, 600),) * 3,
    scan_columns=7,
    frame_rate_hz=25.0,
)
"""


def test_a_new_layout_is_one_file_and_its_name_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mycar.py").write_text(NEW_LAYOUT)
    monkeypatch.setitem(LAYOUTS, "mycar", runpy.run_path(str(tmp_path / "mycar.py"))["MYCAR"])
    monkeypatch.setitem(FACTS, "mycar", Facts(3, ((90, 60),) * 3, 7))
    clip = read_drive(write_as("mycar", tmp_path / "mycar"))
    assert clip.frame_rate_hz == 25.0
    test_the_layout_is_found_by_what_lies_in_the_folder(clip)
    test_cameras_are_where_they_were(clip)
    test_points_are_where_they_were(clip)
    test_boxes_are_where_they_were_with_x_along_their_length(clip)


def test_the_table_names_every_camera_once() -> None:
    for layout in LAYOUTS.values():
        assert len(set(layout.cameras)) == len(layout.cameras) == len(layout.image_sizes)
    assert list(LAYOUTS) == list(FACTS)
