"""Waymo's parquet files as streams in any order, and one line for every damage."""

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
import made_up_tfrecord
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from made_up_waymo import FIRST_US, NUM_FRAMES, SEGMENT, STEP_US, write_segment

from faithfusion.data.drive_map import read_drive_map
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.drive_writer import write_frame
from faithfusion.data.waymo import components, parquet_rows
from faithfusion.data.waymo.parquet_rows import FrameRows, Table
from faithfusion.data.waymo.prepare_segment import prepare_segment
from faithfusion.data.waymo.waymo_config import WaymoConfig
from faithfusion.utils.errors import InputError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_waymo.py"
CONFIG = WaymoConfig(cameras=(0, 1, 3))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segment(tmp_path_factory.mktemp("waymo") / "training")


def _table_of_times(folder: Path, times: list[int], *, row_group_size: int = 1000) -> Table:
    kind = pa.list_(pa.float64(), 16)
    transforms = pa.array([np.full(16, float(i)) for i in range(len(times))], kind)
    columns = {components.SEGMENT: ["s"] * len(times), components.TIME: times}
    path = folder / "vehicle_pose" / "s.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(
        pa.table(columns | {components.VEHICLE_POSE.columns[0]: transforms}), path, row_group_size=row_group_size
    )
    return Table(folder, components.VEHICLE_POSE, "s")


ORDERS = {
    "in order": [t // 3 for t in range(60)],
    "neighbours mixed": [t // 3 for pair in range(0, 60, 6) for t in range(pair + 5, pair - 1, -1)],
    "backwards": [t // 3 for t in range(59, -1, -1)],
    "shuffled": np.random.default_rng(0).permutation(np.repeat(np.arange(20), 3)).tolist(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_rows_of_a_time_are_found_in_any_order_and_few_are_kept(tmp_path: Path, order: str) -> None:
    times = ORDERS[order]
    rows = FrameRows(_table_of_times(tmp_path, times, row_group_size=7))
    for time in [*range(3, 20), 25]:
        found = [parquet_rows.values(row, components.VEHICLE_POSE.columns[0])[0] for row in rows.at(time)]
        assert sorted(found) == [i for i, at in enumerate(times) if at == time]
        assert len(rows._kept) <= parquet_rows.FRAMES_AHEAD + 1


def test_a_file_in_order_is_read_once(tmp_path: Path, monkeypatch) -> None:
    table, passes = _table_of_times(tmp_path, ORDERS["neighbours mixed"]), []
    whole = table.rows
    monkeypatch.setattr(table, "rows", lambda: passes.append(1) or whole())
    rows = FrameRows(table)
    assert sum(len(rows.at(time)) for time in range(20)) == 60
    assert len(passes) == 1


def test_long_files_are_not_held_in_memory(tmp_path: Path) -> None:
    blob, path = np.random.default_rng(0), tmp_path / "camera_image" / "s.parquet"
    path.parent.mkdir()
    columns = {
        components.SEGMENT: ["s"] * 40,
        components.TIME: list(range(40)),
        components.CAMERA: [1] * 40,
        components.CAMERA_IMAGE.columns[0]: pa.array([blob.bytes(1_000_000) for _ in range(40)], pa.binary()),
        components.CAMERA_IMAGE.columns[1]: pa.array([np.eye(4).ravel()] * 40, pa.list_(pa.float64(), 16)),
    }
    pq.write_table(pa.table(columns), path, row_group_size=4)
    del columns
    before = pa.total_allocated_bytes()
    rows = FrameRows(Table(tmp_path, components.CAMERA_IMAGE, "s"))
    held = [pa.total_allocated_bytes() - before for time in range(40) if rows.at(time)]
    assert len(held) == 40 and max(held) < 20_000_000  # a few row groups of the file's ten


def test_names_instead_of_numbers_are_understood() -> None:
    for value, expected in (("SIDE_LEFT", 3), (4, 3), ("SELFIE", -1)):
        row = {components.CAMERA: pa.scalar(value)}
        assert parquet_rows.number(row, components.CAMERA, components.CAMERA_NAMES) == expected


def _file(root: Path, tag: str) -> Path:
    return root / tag / f"{SEGMENT}.parquet"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def _rename(path: Path, old: str, new: str) -> None:
    _edit(path, lambda table: table.rename_columns([name.replace(old, new) for name in table.column_names]))


def _spoil_image(path: Path, *, last: bytes) -> None:
    def change(table: pa.Table) -> pa.Table:
        images = table["[CameraImageComponent].image"].to_pylist()
        index = table.column_names.index("[CameraImageComponent].image")
        return table.set_column(index, table.column_names[index], pa.array([*images[:-1], last], pa.binary()))

    _edit(path, change)


def _spoil_shape(path: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        name = "[LiDARComponent].range_image_return1.shape"
        shapes = pa.array([[9, 9, 4]] * len(table), pa.list_(pa.int32(), 3))
        return table.set_column(table.column_names.index(name), name, shapes)

    _edit(path, change)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "vehicle_pose: no such folder; expected the component folders"),
    "no images": (lambda r: shutil.rmtree(r / "camera_image"), "camera_image/.*: no such file"),
    "no calibration": (lambda r: _file(r, "camera_calibration").unlink(), "camera_calibration/.*: no such file"),
    "no lidar calibration": (lambda r: shutil.rmtree(r / "lidar_calibration"), "lidar_calibration/.*: no such file"),
    "no pixel poses": (lambda r: shutil.rmtree(r / "lidar_pose"), "lidar_pose/.*: no such file"),
    "lidar of other segments": (lambda r: _file(r, "lidar").rename(r / "lidar/a.parquet"), "lidar/.*: no such file"),
    "cut images": (lambda r: _cut(_file(r, "camera_image")), "camera_image/.*: cannot be read .*a whole parquet file"),
    "cut poses": (lambda r: _cut(_file(r, "vehicle_pose")), "vehicle_pose/.*: cannot be read"),
    "empty lidar file": (lambda r: _file(r, "lidar").write_bytes(b""), "lidar/.*: cannot be read"),
    "no parquet": (lambda r: _file(r, "lidar_box").write_text("boxes"), "lidar_box/.*: cannot be read"),
    "other column": (
        lambda r: _rename(_file(r, "camera_image"), "].image", "].jpeg"),
        r"no column \[CameraImageComponent\].image; expected Waymo v2's columns of camera_image",
    ),
    "other lidar column": (lambda r: _rename(_file(r, "lidar"), "return1", "ri1"), r"no column \[LiDARComponent\]"),
    "other key": (lambda r: _rename(_file(r, "lidar_box"), "laser_object_id", "id"), "no column key.laser_object_id"),
    "no frame with all images": (
        lambda r: _edit(_file(r, "camera_image"), lambda t: t.filter(pa.compute.equal(t["key.camera_name"], 1))),
        "no frame with an image of every camera",
    ),
    "null image": (lambda r: _spoil_image(_file(r, "camera_image"), last=b""), "FRONT_LEFT: cannot be opened"),
    "no image": (lambda r: _spoil_image(_file(r, "camera_image"), last=b"abc"), "FRONT_LEFT: cannot be opened"),
    "missing pixel poses": (lambda r: _edit(_file(r, "lidar_pose"), lambda t: t.slice(0, 1)), "no poses at time"),
    "uncalibrated laser": (lambda r: _edit(_file(r, "lidar_calibration"), lambda t: t.slice(1, 1)), "no laser 3"),
    "shape": (lambda r: _spoil_shape(_file(r, "lidar")), "numbers in shape .9, 9, 4.; expected rows x columns"),
    "another segment inside": (
        lambda r: _edit(_file(r, "lidar"), lambda t: t.set_column(0, components.SEGMENT, pa.array(["x"] * len(t)))),
        "rows of segment x; expected segment",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line_and_leaves_nothing(data: Path, tmp_path: Path, case: str) -> None:
    root = tmp_path / "training"
    shutil.copytree(data, root)
    damage, message = DAMAGE[case]
    damage(root)
    with pytest.raises(InputError, match=message) as caught:
        prepare_segment(root, tmp_path / "out" / "drive", CONFIG, segment=SEGMENT)
    assert "\n" not in str(caught.value) and "; expected " in str(caught.value)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_an_interrupted_run_leaves_nothing_and_can_be_repeated(data: Path, tmp_path: Path, monkeypatch) -> None:
    calls = []

    def dying_write(*args: object, **kwargs: object) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write_frame(*args, **kwargs)

    monkeypatch.setattr("faithfusion.data.waymo.prepare_segment.write_frame", dying_write)
    config = WaymoConfig(cameras=(0,), lidar="top", masks=False)
    with pytest.raises(KeyboardInterrupt):
        prepare_segment(data, tmp_path / "out" / "drive", config)
    assert len(calls) == 2 and not any((tmp_path / "out").iterdir())
    prepare_segment(data, tmp_path / "out" / "drive", config)
    assert read_drive(tmp_path / "out" / "drive").num_frames == NUM_FRAMES


def test_parts_that_were_not_downloaded_are_left_out(data: Path, tmp_path: Path, capsys) -> None:
    for tag in ("vehicle_pose", "camera_image", "camera_calibration"):
        shutil.copytree(data / tag, tmp_path / "training" / tag)
    prepare_segment(tmp_path / "training", tmp_path / "drive", CONFIG)
    clip = read_drive(tmp_path / "drive")
    assert clip.missing == ("sky masks", "dynamic masks", "ego masks", "lidar", "boxes")
    said = capsys.readouterr().err
    assert "no lidar, so no LiDAR" in said and "no lidar_box, so no boxes" in said


def test_segments_windows_and_cameras_that_do_not_exist(data: Path, tmp_path: Path) -> None:
    cases = [
        (CONFIG, "nothing", f"no segment nothing; expected one of {SEGMENT}"),
        (WaymoConfig(cameras=(2,)), None, "no camera FRONT_RIGHT"),
        (WaymoConfig(cameras=(0,), frames=3), None, "frames 0 to 2; expected frames 0 to 1"),
        (WaymoConfig(cameras=(0,), start=2), None, "expected frames 0 to 1"),
    ]
    for config, segment, message in cases:
        with pytest.raises(InputError, match=message):
            prepare_segment(data, tmp_path / "drive", config, segment=segment)
    for wrong in ({"cameras": (5,)}, {"cameras": (0, 0)}, {"cameras": ()}, {"frames": 0}, {"start": -1}):
        with pytest.raises(InputError):
            WaymoConfig(**wrong)


def test_what_is_there_is_kept(data: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "drive"
    prepare_segment(data, out, CONFIG)
    before = (out / "lidar" / "000.bin").stat().st_mtime_ns
    prepare_segment(data, out, CONFIG)
    assert "already there" in capsys.readouterr().err
    with pytest.raises(InputError, match="holds another segment or other options"):
        prepare_segment(data, out, WaymoConfig(cameras=(0,)))
    assert (out / "lidar" / "000.bin").stat().st_mtime_ns == before
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="is not a prepared Waymo segment"):
        prepare_segment(data, tmp_path / "mine", CONFIG)


MAP_LINE = [(255.0, -118.0, 30.0), (270.0, -110.0, 30.0)]
MAP_FRAMES = [
    made_up_tfrecord.frame(SEGMENT, FIRST_US, made_up_tfrecord.road_line(1, MAP_LINE), offset=(0.5, 0.0, 0.0)),
    made_up_tfrecord.frame(SEGMENT, FIRST_US + STEP_US, offset=(0.25, 0.0, 0.0)),
]


def test_a_map_is_written_and_added_to_a_finished_drive(data: Path, tmp_path: Path, capsys) -> None:
    config = WaymoConfig(cameras=(0,), lidar="none", masks=False)
    later = WaymoConfig(cameras=(0,), lidar="none", masks=False, start=1)
    map_file = made_up_tfrecord.write_records(tmp_path / "segment.tfrecord", MAP_FRAMES)
    prepare_segment(data, tmp_path / "drive", config, map_file=map_file)
    prepare_segment(data, tmp_path / "later", later)
    assert read_drive_map(tmp_path / "later") is None
    prepare_segment(data, tmp_path / "later", later, map_file=map_file)
    assert capsys.readouterr().err.count("map_lines.json: 1 lines, map features of segment.tfrecord") == 2
    for name, offsets in (("drive", [[0.5, 0, 0], [0.25, 0, 0]]), ("later", [[0.25, 0, 0]])):
        drive_map = read_drive_map(tmp_path / name)
        np.testing.assert_array_equal(drive_map.lines[0].points_m, MAP_LINE)
        np.testing.assert_array_equal(drive_map.offsets_m, offsets)


def test_a_cut_map_leaves_nothing(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    map_file = made_up_tfrecord.write_records(tmp_path / "segment.tfrecord", MAP_FRAMES)
    map_file.write_bytes(map_file.read_bytes()[:-3])
    options = ["--data", str(data), "--out", str(tmp_path / "drive"), "--cameras", "0", "--map", str(map_file)]
    monkeypatch.setattr(sys, "argv", [str(TOOL), *options])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(TOOL), run_name="__main__")
    said = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2 and not (tmp_path / "drive").exists()
    assert "segment.tfrecord, record 1: the file ends after 1 of 4 bytes; expected a whole" in said[-1]
    assert [line.startswith("error: ") for line in said].count(True) == 1


def test_without_pyarrow_the_line_says_what_to_install(data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r'pyarrow: not installed; expected pip install "faithfusion\[waymo\]"'):
        prepare_segment(data, tmp_path / "drive", CONFIG)


def test_the_tool_prepares_and_refuses(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    options = ["--data", str(data), "--out", str(tmp_path / "drive"), "--cameras", "1", "--frames", "1", "--no_masks"]
    runpy.run_path(str(TOOL))["main"]([*options, "--frame_poses", "--lidar", "top"])
    facts = json.loads((tmp_path / "drive" / "waymo.json").read_text())
    assert facts["config"]["cameras"] == [1] and facts["config"]["image_poses"] is False
    assert read_drive(tmp_path / "drive").num_frames == 1
    monkeypatch.setattr(sys, "argv", [str(TOOL), *options, "--segment", "other"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert exit_.value.code == 2 and "error: " in capsys.readouterr().err


def test_frames_that_lack_an_image_are_left_out_and_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(data, tmp_path / "data")
    times = sorted(set(pq.read_table(_file(folder, "camera_image"))["key.frame_timestamp_micros"].to_pylist()))

    def without_one(table: pa.Table) -> pa.Table:
        keys = zip(table["key.frame_timestamp_micros"].to_pylist(), table["key.camera_name"].to_pylist(), strict=True)
        return table.filter(pa.array([key != (times[1], 2) for key in keys]))

    _edit(_file(folder, "camera_image"), without_one)
    prepare_segment(folder, tmp_path / "drive", CONFIG)
    assert f"1 of {NUM_FRAMES} frames lack an image" in capsys.readouterr().err
    clip, facts = read_drive(tmp_path / "drive"), json.loads((tmp_path / "drive" / "waymo.json").read_text())
    assert clip.num_frames == NUM_FRAMES - 1 and facts["times_us"] == [times[0], *times[2:]]
    prepare_segment(data, tmp_path / "whole", CONFIG)
    whole = read_drive(tmp_path / "whole")
    for t, before in enumerate((0, *range(2, NUM_FRAMES))):
        assert clip.frame(t, "0").image_path.read_bytes() == whole.frame(before, "0").image_path.read_bytes()
        assert clip.lidar_paths[t].read_bytes() == whole.lidar_paths[before].read_bytes()
    expected = whole.world_from_ego[[0, *range(2, NUM_FRAMES)]]
    np.testing.assert_allclose(clip.world_from_ego.numpy(), expected.numpy(), atol=1e-4)
