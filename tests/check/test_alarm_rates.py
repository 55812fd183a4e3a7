"""How often `check_scene` accuses a sound drive, and how often it finds a broken one: streets of other seeds than the
one it was made with, recorded drives, and all of them with frames left out. Run with `-m slow -s` to see the rates."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from broken_drives import BROKEN, SMALL_STREET

from faithfusion.check.check_clip import check_clip
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.kitti.kitti_config import KittiConfig
from faithfusion.data.kitti.prepare_raw import prepare_kitti
from faithfusion.street.writer import make_street
from faithfusion.utils.progress import say

pytestmark = pytest.mark.slow
SOUND_SEEDS = range(2, 10)
BROKEN_SEEDS = (2, 3)
LEAST_FOUND = 0.9
EVERY = 10


def street(root: Path, seed: int, num_frames: int) -> Path:
    make_street(dataclasses.replace(SMALL_STREET, seed=seed, num_frames=num_frames), root)
    (root / "layout.json").write_text('{"layout": "waymo"}')
    return root


def leave_out(source: Path, root: Path) -> Path:
    """The drive without every tenth frame, numbered anew and without time stamps."""
    total = len(list((source / "ego_pose").glob("[0-9][0-9][0-9].txt")))
    new = {t: i for i, t in enumerate(t for t in range(total) if t % EVERY != EVERY // 2)}
    for path in source.rglob("*"):
        place, match = path.relative_to(source), re.fullmatch(r"(\d{3})(.*)", path.name)
        if not path.is_file() or "truth" in place.parts or (match and int(match[1]) not in new):
            continue
        place = place.with_name(f"{new[int(match[1])]:03d}{match[2]}") if match else place
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, root / place)
    marker = root / "layout.json"
    if marker.is_file():
        kept = {name: value for name, value in json.loads(marker.read_text()).items() if name != "times_s"}
        marker.write_text(json.dumps(kept))
    _renumber_boxes(root / "instances", new)
    return root


def _renumber_boxes(folder: Path, new: dict[int, int]) -> None:
    path = folder / "instances_info.json"
    if not path.is_file():
        return
    info, kept = json.loads(path.read_text()), {}
    for key, box in info.items():
        notes = box["frame_annotations"]
        chosen = [i for i, t in enumerate(notes["frame_idx"]) if t in new]
        notes = {name: [values[i] for i in chosen] for name, values in notes.items()}
        notes["frame_idx"] = [new[t] for t in notes["frame_idx"]]
        kept |= {key: box | {"frame_annotations": notes}} if chosen else {}
    path.write_text(json.dumps(kept))
    (folder / "frame_instances.json").unlink(missing_ok=True)


def verdicts(drives: dict[str, Callable[[], Path]]) -> dict[str, str]:
    """What is said of every drive and of the same without every tenth frame."""
    found = {}
    for name, make in drives.items():
        root = make()
        found[name] = check_clip(read_drive(root)).verdict
        thinned = leave_out(root, root.with_name(root.name + "_thinned"))
        found[f"{name} without every tenth frame"] = check_clip(read_drive(thinned)).verdict
    return found


def no_false_alarm(found: dict[str, str]) -> None:
    false = {name: text for name, text in found.items() if text.startswith("broken")}
    say(f"\nfalse alarms: {len(false)} of {len(found)} sound drives")
    assert not false


def test_sound_streets_are_not_accused(tmp_path: Path) -> None:
    no_false_alarm(
        verdicts({f"street {seed}": lambda s=seed: street(tmp_path / f"{s}", s, 30) for seed in SOUND_SEEDS})
    )


def test_recorded_drives_are_not_accused(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "kitti_raw" / "2011_09_26" / "2011_09_26_drive_0027_sync"
    if not source.is_dir():
        pytest.skip("needs KITTI's drive 0027")

    def prepared() -> Path:
        prepare_kitti(source, tmp_path / "0027", KittiConfig())
        return tmp_path / "0027"

    def copied() -> Path:
        return Path(shutil.copytree(shared_data / "kitti_0001", tmp_path / "0001", copy_function=shutil.copyfile))

    no_false_alarm(verdicts({"0001": copied, "0027": prepared}))


def test_broken_streets_are_found(tmp_path: Path) -> None:
    missed = []
    for seed in BROKEN_SEEDS:
        sound = street(tmp_path / f"sound_{seed}", seed, SMALL_STREET.num_frames)
        for name, (damage, _) in BROKEN.items():
            root = Path(shutil.copytree(sound, tmp_path / "broken"))
            damage(root)
            missed += [] if check_clip(read_drive(root), num_samples=3).is_broken else [f"street {seed}: {name}"]
            shutil.rmtree(root)
    total = len(BROKEN) * len(BROKEN_SEEDS)
    say(f"\ntrue alarms: {total - len(missed)} of {total} broken drives; missed: {missed}")
    assert len(missed) <= (1.0 - LEAST_FOUND) * total
