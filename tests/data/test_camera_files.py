"""Cameras of 3DGS, nerfstudio and COLMAP files are the same whatever the conventions; bad files end in one line."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference.camera_writers import make_series, write_colmap, write_transforms

from faithfusion.data.camera_files import read_cameras, write_cameras_json
from faithfusion.data.posed_camera import PosedCamera, match_cameras, move_cameras, natural_key
from faithfusion.utils.errors import InputError
from faithfusion.utils.similarity import Similarity

DISTORTED = (0.1, -0.02, 0.003, -0.004, 0.0)


def assert_same(found: list[PosedCamera], expected: list[PosedCamera], **changes: object) -> None:
    assert [camera.name for camera in found] == [camera.name for camera in expected]
    for one, two in zip(found, expected, strict=True):
        assert (one.width, one.height) == (two.width, two.height)
        np.testing.assert_allclose(one.pinhole, changes.get("pinhole", two.pinhole), atol=1e-9)
        np.testing.assert_allclose(one.world_from_camera, two.world_from_camera, atol=1e-9)


def test_cameras_json_round_trip_and_its_meaning(tmp_path: Path) -> None:
    series = make_series(distortion=DISTORTED)
    write_cameras_json(tmp_path / "cameras.json", series)
    assert_same(read_cameras(tmp_path / "cameras.json"), series)
    entries = json.loads((tmp_path / "cameras.json").read_text())
    for entry, camera in zip(entries, series, strict=True):  # a point 2 in front of the camera, 0.3 to its right
        point = np.array(entry["position"]) + np.array(entry["rotation"]) @ [0.3, 0.0, 2.0]
        local = np.linalg.inv(camera.world_from_camera) @ [*point, 1.0]
        np.testing.assert_allclose(local[:3], [0.3, 0.0, 2.0], atol=1e-9)


def test_cameras_json_as_3dgs_writes_it(tmp_path: Path) -> None:
    """Without a principal point it is the middle; names have no suffix, test views come first, the order is by name."""
    entry = {"width": 64, "height": 48, "rotation": np.eye(3).tolist(), "fx": 50, "fy": 49}
    entries = [entry | {"id": i, "img_name": name, "position": [i, 0, 0]} for i, name in enumerate(("b9", "b10", "a1"))]
    (tmp_path / "cameras.json").write_text(json.dumps(entries))
    cameras = read_cameras(tmp_path / "cameras.json")
    assert [camera.name for camera in cameras] == ["a1", "b9", "b10"]
    assert [camera.world_from_camera[0, 3] for camera in cameras] == [2, 0, 1]
    assert cameras[0].pinhole == (50, 49, 32, 24, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("per_frame", [False, True])
def test_transforms_json(tmp_path: Path, per_frame: bool) -> None:
    series = make_series(distortion=DISTORTED)
    write_transforms(tmp_path / "transforms.json", series, per_frame)
    assert_same(read_cameras(tmp_path / "transforms.json"), series)


def test_transforms_json_of_opengl_looks_along_minus_z(tmp_path: Path) -> None:
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    (tmp_path / "t.json").write_text(json.dumps({"fl_x": 50, "w": 64, "h": 48, "frames": [frame]}))
    (camera,) = read_cameras(tmp_path / "t.json")
    np.testing.assert_array_equal(camera.world_from_camera[:3, :3], np.diag([1.0, -1.0, -1.0]))
    assert camera.pinhole == (50, 50, 32, 24, 0, 0, 0, 0, 0)


def test_transforms_json_with_a_field_of_view_and_sizes_from_images(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "train" / "r_0.png")
    frame = {"file_path": "./train/r_0", "transform_matrix": np.eye(4).tolist()}
    (tmp_path / "t.json").write_text(json.dumps({"camera_angle_x": math.pi / 2, "frames": [frame]}))
    (camera,) = read_cameras(tmp_path / "t.json")
    assert (camera.width, camera.height) == (64, 48)
    np.testing.assert_allclose(camera.pinhole[:4], [32, 32, 32, 24])


def test_worlds_of_nerfstudio(tmp_path: Path) -> None:
    """File = 2 * (A original); normalised = s * (T A^-1 file), s given for the original's unit."""
    original = make_series(distortion=DISTORTED)
    applied = np.array([[1.0, 0, 0, 0.5], [0, 0, 1, 0], [0, -1, 0, 0]])
    in_file = move_cameras(original, Similarity(applied[:, :3], 2.0 * applied[:, 3], 2.0))
    path, parser = tmp_path / "transforms.json", tmp_path / "dataparser_transforms.json"
    write_transforms(path, in_file, applied_transform=applied.tolist(), applied_scale=2.0)
    assert_same(read_cameras(path), in_file)
    assert_same(read_cameras(path, original_world=True), original)
    turn = np.array([[0.0, 1, 0, 3], [-1, 0, 0, 4], [0, 0, 1, 5]])  # T_norm, on the poses of the file
    whole = turn @ np.vstack([applied, [0, 0, 0, 1]])
    parser.write_text(json.dumps({"transform": whole.tolist(), "scale": 0.25 * 2.0}))
    expected = move_cameras(in_file, Similarity(turn[:, :3], 0.25 * turn[:, 3], 0.25))
    assert_same(read_cameras(path, dataparser_transforms=parser), expected)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"])
def test_colmap(tmp_path: Path, model: str, binary: bool) -> None:
    series = make_series(distortion=DISTORTED)
    write_colmap(tmp_path / "sparse" / "0", series, model, binary=binary)
    fx, fy, cx, cy, k1, k2, p1, p2, _ = series[0].pinhole
    expected = {
        "SIMPLE_PINHOLE": (fx, fx, cx, cy, 0, 0, 0, 0, 0),
        "PINHOLE": (fx, fy, cx, cy, 0, 0, 0, 0, 0),
        "SIMPLE_RADIAL": (fx, fx, cx, cy, k1, 0, 0, 0, 0),
        "RADIAL": (fx, fx, cx, cy, k1, k2, 0, 0, 0),
        "OPENCV": (fx, fy, cx, cy, k1, k2, p1, p2, 0),
    }[model]
    for folder in (tmp_path, tmp_path / "sparse" / "0"):
        assert_same(read_cameras(folder), series, pinhole=expected)


def refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_cameras(path)
    assert "\n" not in str(caught.value)


def test_bad_json_files_end_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    refused(path, "no such file")
    good = {
        "img_name": "a",
        "width": 4,
        "height": 4,
        "position": [0, 0, 0],
        "rotation": np.eye(3).tolist(),
        "fx": 1,
        "fy": 1,
    }
    frame = {"file_path": "a", "transform_matrix": np.eye(4).tolist()}
    for content, match in (
        ("{", "cannot be read"),
        ("{}", "without frames"),
        ("[]", "no cameras"),
        ("[3]", "camera 0"),
        (json.dumps([{k: v for k, v in good.items() if k != "rotation"}]), "no key 'rotation'"),
        (json.dumps([good | {"rotation": (2 * np.eye(3)).tolist()}]), "not rigid"),
        (json.dumps([good | {"position": [0, 0]}]), "cannot be read"),
        (json.dumps([good | {"fx": 0}]), "positive"),
        (json.dumps([good, good]), "two cameras named 'a'"),
        (json.dumps({"frames": [{"file_path": "a"}], "fl_x": 3, "w": 4, "h": 4}), "no key 'transform_matrix'"),
        (json.dumps({"frames": [frame], "w": 4, "h": 4}), "fl_x"),
        (json.dumps({"frames": [frame], "fl_x": 3, "w": 4, "h": 4, "camera_model": "EQUIRECTANGULAR"}), "EQUIRECT"),
    ):  # fmt: skip
        path.write_text(content)
        refused(path, match)


def test_bad_colmap_models_end_in_one_line(tmp_path: Path) -> None:
    refused(tmp_path, "no cameras.bin")
    series = make_series(4)
    for number, (name, change, match) in enumerate((
        ("images.bin", lambda b: b[:-9], "damaged"),
        ("images.bin", lambda b: b[:100], "damaged"),
        ("cameras.bin", lambda b: b[:20], "damaged"),
        ("cameras.bin", lambda b: b.replace(b"\x01\x00\x00\x00", b"\x05\x00\x00\x00", 2), "damaged|model 5"),
        ("cameras.txt", lambda b: b.replace(b"PINHOLE", b"OPENCV_FISHEYE"), "4 parameters; expected 8 of OPENCV_FIS"),
        ("cameras.txt", lambda b: b.replace(b"PINHOLE", b"FOV"), "camera model FOV"),
        ("cameras.txt", lambda b: b.replace(b" 23.0", b""), "3 parameters"),
        ("images.txt", lambda b: b.replace(b" 7 front", b" 8 front", 1), "camera 8"),
        ("images.txt", lambda b: b.replace(b" 7 front", b" x front", 1), "damaged"),
    )):  # fmt: skip
        folder = tmp_path / f"model-{number}"
        write_colmap(folder, series, "PINHOLE", binary=name.endswith("bin"))
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        refused(folder, match)


def test_names_sort_with_their_numbers_and_match() -> None:
    assert sorted(["img_10", "img_9", "img"], key=natural_key) == ["img", "img_9", "img_10"]
    series = make_series(3)
    assert match_cameras(series, "front/*_1.png") == [series[1]]
    with pytest.raises(InputError, match="fits none of 3"):
        match_cameras(series, "back/*")
