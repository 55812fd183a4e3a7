"""Training pairs: a degraded render, its EIG and true views nearby, and the true clip there. One shard per street or
recorded drive, so that nothing of a drive that is held out is trained on."""

from __future__ import annotations

import functools
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithfusion.clips.manifest import ListedShard, read_manifest, write_manifest
from faithfusion.clips.store import CutSequence, read_shard, write_shard
from faithfusion.clips.windows import training_spans
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.splits import split_clip
from faithfusion.pairs.config import PairsConfig, shard_options
from faithfusion.pairs.kinds import (
    camera_pairs,
    cross_camera_sequences,
    sparse_fits,
    street_sequences,
    withheld_sequences,
)
from faithfusion.street.street_config import check_config
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import config_hash
from faithfusion.utils.progress import say, track
from faithfusion.window.framing import framing_of

NO_PAIRS = "no camera is left that sees enough"
SequenceMaker = Callable[[Path, dict[str, Any]], Iterator[CutSequence]]
"""From a folder for what is in between; fills in the provenance while it goes."""


@dataclass(frozen=True)
class PlannedShard:
    """A shard to be made. `root`: of its recorded drive."""

    name: str
    make: SequenceMaker
    root: Path | None = None


def planned_shards(config: PairsConfig) -> list[PlannedShard]:
    """All shards of a configuration, in order.  Raises InputError without drives, for drives with streets, and for
    drives whose folders have the same name."""
    if (config.kind == "street") == bool(config.drives):
        expected = "none for streets" if config.drives else f"the drives to make {config.kind} pairs of"
        raise InputError("drives", list(config.drives), expected)
    if config.kind == "street":
        seeds = range(config.first_seed, config.first_seed + config.num_streets)
        return [PlannedShard(f"street_{s:04d}", functools.partial(street_sequences, s, config)) for s in seeds]
    work = cross_camera_sequences if config.kind == "cross_camera" else withheld_sequences
    roots = [Path(drive) for drive in config.drives]
    names = [f"{root.resolve().name}_{config.kind}" for root in roots]
    for name in names:
        if names.count(name) > 1:
            raise InputError("drives", f"several folders called {name.removesuffix('_' + config.kind)}", "own names")
    return [
        PlannedShard(name, functools.partial(work, root, config), root) for name, root in zip(names, roots, strict=True)
    ]


def make_pairs(config: PairsConfig, finish: Callable[[Path], None]) -> list[Path]:
    """Makes the shards that are not there yet; `finish(path)` is called for each and writes a picture beside it.

    The same call again continues after a kill. Returns all shards. Raises InputError for what cannot work before
    anything is made, and for a shard that was made with other options.
    """
    out, plans = Path(config.out), planned_shards(config)
    listed = _open_list(config, plans)
    to_do = [plan for plan in plans if not (listed[plan.name].num_bytes or listed[plan.name].skipped)]
    check_inputs(config, to_do)
    _save_list(config, plans, listed)
    started, made = time.monotonic(), 0
    for plan in plans:
        path = out / listed[plan.name].file
        if plan not in to_do:  # its run was killed between the finished shard and the end of its workspace
            _remove_workspaces(path)
        else:
            left = _time_left(time.monotonic() - started, made, len(to_do))
            say(f"{plan.name}: shard {plans.index(plan) + 1} of {len(plans)}{left}")
            listed[plan.name] = make_shard(plan, path, config)
            _save_list(config, plans, listed)
            made += 1
        if not listed[plan.name].skipped and not path.with_suffix(".png").is_file():
            finish(path)
    return [out / listed[plan.name].file for plan in plans if not listed[plan.name].skipped]


def make_shard(plan: PlannedShard, path: Path, config: PairsConfig) -> ListedShard:
    """Writes one shard, or says why there is none."""
    facts: dict[str, Any] = {"kind": config.kind, "options": shard_options(config)}
    workspace = path.with_name(f".{plan.name}.{config_hash(facts)[:8]}.work")
    _remove_workspaces(path, keep=workspace)  # of runs with other options that were given up
    workspace.mkdir(parents=True, exist_ok=True)
    sequences = plan.make(workspace, facts)
    first = next(sequences, None)
    if first is not None:
        write_shard(path, itertools.chain([first], sequences), facts, color_format=config.colors)
    shutil.rmtree(workspace)
    return ListedShard(path.name, skipped=NO_PAIRS) if first is None else _listed(path)


def _remove_workspaces(path: Path, keep: Path | None = None) -> None:
    for workspace in path.parent.glob(f".{path.stem}.*.work"):
        if workspace != keep:
            shutil.rmtree(workspace)


def check_inputs(config: PairsConfig, plans: Sequence[PlannedShard]) -> None:
    """Reads what the user gave.  Raises InputError for a street, a drive or a camera that cannot work."""
    if config.kind == "street":
        check_config(config.street)
        training_spans(config.street.num_frames, config.window_frames, config.overlap_frames)
        return
    for plan in track(plans, "check drives"):
        clip = read_drive(plan.root, num_frames=config.num_frames or None)
        if config.kind == "cross_camera":
            wanted = {name for fit, targets in camera_pairs(clip, config) for name in (*fit, *targets)}
        else:
            wanted = set(config.withheld.cameras or clip.camera_names)
        clip = read_drive(plan.root, num_frames=config.num_frames or None, camera_names=sorted(wanted))
        if config.kind == "withheld":
            sparse_fits(clip, config)
        else:
            split_clip(clip, config.split)
        training_spans(clip.num_frames, config.window_frames, config.overlap_frames)
        for name in clip.camera_names:
            framing_of(clip.frame(0, name).camera, config.framing)


def _list_path(config: PairsConfig, plans: Sequence[PlannedShard]) -> Path:
    key = config_hash(shard_options(config), [plan.name for plan in plans])
    return Path(config.out) / f"pairs_{key[:8]}.json"


def _open_list(config: PairsConfig, plans: Sequence[PlannedShard]) -> dict[str, ListedShard]:
    """What is there already.  Raises InputError for a damaged shard or one of other options."""
    path, options = _list_path(config, plans), shard_options(config)
    skipped = {shard.file for shard in read_manifest(path) if shard.skipped} if path.is_file() else ()
    listed = {}
    for plan in plans:
        file = Path(config.out) / f"{plan.name}.safetensors"
        listed[plan.name] = ListedShard(file.name, skipped=NO_PAIRS if file.name in skipped else "")
        if file.is_file():
            _require_same_options(file, read_shard(file).provenance.get("options", {}), options)
            listed[plan.name] = _listed(file)
    return listed


def _require_same_options(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key in sorted(found.keys() | wanted.keys()):
        if config_hash(found.get(key)) != config_hash(wanted.get(key)):
            expected = f"{wanted.get(key)}, or a new folder"
            raise InputError(path, f"was made with {key} = {found.get(key)}", expected)


def _listed(path: Path) -> ListedShard:
    return ListedShard(path.name, path.stat().st_size, len(read_shard(path)))


def _save_list(config: PairsConfig, plans: Sequence[PlannedShard], listed: dict[str, ListedShard]) -> None:
    write_manifest(_list_path(config, plans), [listed[plan.name] for plan in plans])


def _time_left(seconds: float, made: int, total: int) -> str:
    return f", about {seconds / made * (total - made) / 60.0:.0f} minutes left" if made else ""
