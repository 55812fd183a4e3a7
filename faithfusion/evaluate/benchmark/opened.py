"""What every drive of a benchmark needs, opened once: the editors of each method, and the networks that measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faithfusion.data.fingerprint import drive_fingerprint
from faithfusion.distill.weights.registry import ORACLE, weight_of
from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import BenchmarkDrive, at_shift
from faithfusion.evaluate.benchmark.nets import Nets, file_key, open_nets
from faithfusion.evaluate.benchmark.places import has_labels
from faithfusion.evaluate.driving.drive_references import drive_road_lines
from faithfusion.pipeline.inputs import check_drive
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import config_hash
from faithfusion.video.editors.registry import OpenedEditors, open_each


@dataclass(frozen=True)
class Opened:
    """Editors by method, and networks."""

    editors: Mapping[str, OpenedEditors]
    nets: Nets


def open_all(config: BenchmarkConfig, nets: Nets | None = None) -> Opened:
    """Opens editors and networks. Raises InputError for weights that are missing or do not fit."""
    chains = {method: config.editors_of(method) for method in config.methods}
    return Opened(open_each(chains, str(choose_device(config.refine.device))), nets or open_nets(config))


def check_drives(config: BenchmarkConfig, drives: Sequence[BenchmarkDrive], opened: Opened) -> dict[str, str]:
    """Returns by drive what its results depend on, as a hash.

    Raises InputError, before anything is written, for a drive that cannot be refined so, for a detector if no drive has
    boxes and LiDAR, and for a lane net if none has a map.
    """
    for method in config.methods.values():
        if method.weight and weight_of(method.weight) is weight_of(ORACLE):
            raise InputError("benchmark.others", ORACLE, "weights that do not know the truth")
    keys, labelled, mapped = {}, False, False
    for drive in drives:
        content: object = ""
        for shift_m in config.shifts_m:
            read, facts = check_drive(at_shift(drive.refine, shift_m))
            for editors in opened.editors.values():
                editors.check(facts)
        if read is not None:
            content = drive_fingerprint(read.clip, read.clip.frames)
        labelled |= read is None or has_labels(read.clip)
        mapped |= read is None or drive_road_lines(read.clip) is not None
        keys[drive.name] = _key(config, drive, opened, content)
    if opened.nets.detector is not None and not labelled:
        raise InputError(
            "benchmark.detector", "no drive has boxes and LiDAR", "at least one that has: NTA-IoU needs them"
        )
    if opened.nets.lane_net is not None and not mapped:
        raise InputError("benchmark.lane_net", "no drive with a map", "one at least: NTL-IoU needs its lines")
    return keys


def _key(config: BenchmarkConfig, drive: BenchmarkDrive, opened: Opened, content: object) -> str:
    refine = drive.refine
    unused = {"out", "scene", "gaussians", "editors", "device"} | ({"street"} if refine.scene else set())
    options = {name: value for name, value in vars(refine).items() if name not in unused}
    given = config.methods
    methods = {name: [given[name].weight, given[name].no_eig, of.identity] for name, of in opened.editors.items()}
    return config_hash(options, config.shifts_m, methods, opened.nets.key, content, file_key(refine.gaussians or ""))
