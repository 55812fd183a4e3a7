"""`tools/check_scene.py`: every broken scene is named by the verdict line, sound ones pass."""

import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from broken_drives import BROKEN, REMARKED, change_matrices, change_pictures, exchange, make_sound_drive, turn
from PIL import Image
from run_command import run_command

from faithfusion.check.check_clip import CheckResult, check_clip
from faithfusion.check.evidence import NUM_SAMPLES
from faithfusion.check.findings import Level
from faithfusion.cli import check_scene
from faithfusion.data.drive_reader import read_drive

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_scene.py"
FEW = 3  # time stamps; the faults are plain, fewer samples find them as well


@pytest.fixture(scope="session")
def sound_drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound_drive(tmp_path_factory.mktemp("check") / "drive")


@pytest.fixture
def drive(sound_drive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_drive, tmp_path / "drive"))


def check(root: Path, num_samples: int = FEW) -> CheckResult:
    return check_clip(read_drive(root), num_samples=num_samples)


def test_a_sound_street_passes(sound_drive: Path) -> None:
    result = check(sound_drive, NUM_SAMPLES)
    assert result.verdict == "ok: nothing wrong was found"
    notes = "\n".join(finding.line() for finding in result.findings)
    for part in ("scans agree with the poses", "camera 0: agrees with LiDAR", "camera 2: agrees", "boxes within 30 m"):
        assert part in notes


@pytest.mark.parametrize("name", BROKEN)
def test_the_fault_of_a_broken_scene_is_named(drive: Path, name: str) -> None:
    damage, expected = BROKEN[name]
    damage(drive)
    result = check(drive)
    assert re.search(expected, result.verdict), result.verdict
    assert result.is_broken and "\n" not in result.verdict


@pytest.mark.parametrize("name", REMARKED)
def test_what_costs_quality_is_a_remark(drive: Path, name: str) -> None:
    damage, expected = REMARKED[name]
    damage(drive)
    result = check(drive)
    assert re.search(expected, result.verdict), result.verdict
    assert not result.is_broken


def test_a_drive_without_lidar_boxes_and_masks_is_usable(drive: Path) -> None:
    for folder in ("lidar", "instances", "sky_masks", "dynamic_masks"):
        shutil.rmtree(drive / folder)
    result = check(drive)
    assert result.verdict.startswith("usable: 1 remark: images: there is no LiDAR")
    missing = {finding.text for finding in result.findings if finding.subject == "missing"}
    assert missing == {"lidar", "boxes", "sky masks", "dynamic masks", "ego masks"}


def test_inverted_sky_is_found_without_lidar(drive: Path) -> None:
    shutil.rmtree(drive / "lidar")
    change_pictures(drive / "sky_masks", lambda mask: 255 - mask)
    assert "sky masks are inverted: the sky lies below" in check(drive).verdict


def test_one_frame_is_checked_as_far_as_it_goes(sound_drive: Path) -> None:
    result = check_clip(read_drive(sound_drive, num_frames=1), num_samples=FEW)
    assert not result.is_broken
    assert any(f.level is Level.NOTE and "one frame only" in f.text for f in result.findings)


def test_a_real_drive_passes_and_its_faults_are_named(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "kitti_0001"
    assert check(source).verdict == "ok: nothing wrong was found"
    swapped = Path(shutil.copytree(source, tmp_path / "swapped", copy_function=shutil.copyfile))
    for path in sorted((swapped / "images").glob("*_0.jpg")):
        exchange(path, path.with_name(path.name.replace("_0", "_1")))
    assert check(swapped).verdict.startswith("broken: cameras 0 and 1: are swapped")
    turned = Path(shutil.copytree(source, tmp_path / "turned", copy_function=shutil.copyfile))
    change_matrices(turned / "extrinsics", lambda pose: pose @ turn(1, 3.0), ("0",))
    assert check(turned).verdict.startswith("broken: camera 0: extrinsics are turned by about 3 degrees")


def test_the_command_draws_a_sound_drive(sound_drive: Path, tmp_path: Path) -> None:
    result = run_command(check_scene.main, sound_drive, "--cameras", "0", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "ok: nothing wrong was found"
    assert all(line.startswith("note: ") for line in lines[:-1])
    out = tmp_path / "output" / "check" / "drive"
    assert sorted(p.name for p in out.iterdir()) == ["camera_0.png", "camera_1.png", "check.html", "overhead.png"]
    page = (out / "check.html").read_text()
    assert "nothing wrong was found" in page and page.count("data:image/") == 3
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    picture = np.asarray(Image.open(out / "camera_0.png"))
    assert picture.shape[1] > 600 and picture.std() > 20


def test_the_command_draws_a_broken_drive_and_says_so_with_its_exit_code(drive: Path, tmp_path: Path) -> None:
    change_pictures(drive / "images", np.zeros_like)
    out = tmp_path / "pictures"
    result = run_command(check_scene.main, drive, "--out", out, cwd=tmp_path)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert result.stdout.splitlines()[-1].startswith("broken: cameras 0, 1, 2: images are black")
    assert (out / "check.html").is_file() and (out / "overhead.png").is_file()


@pytest.mark.parametrize("kind", ["no folder", "empty folder", "missing pose", "unknown camera"])
def test_nothing_is_written_for_what_is_no_drive(
    kind: str, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other" if "folder" in kind else drive
    if kind == "empty folder":
        path.mkdir()
    if kind == "missing pose":
        (drive / "ego_pose" / "003.txt").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["check_scene.py", str(path), "--cameras", "7" if kind == "unknown camera" else "0"]
    )
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(TOOL), run_name="__main__")
    said = capsys.readouterr()
    assert stopped.value.code == 2 and not said.err
    assert len(said.out.splitlines()) == 1 and said.out.startswith(f"broken: {path}")
    assert not (tmp_path / "output").exists()
