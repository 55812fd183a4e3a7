"""The configuration of `tools/make_pairs.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from faithfusion.clips.clip_config import CHUNK_FRAMES, ColorFormat
from faithfusion.data.split_config import SplitConfig
from faithfusion.eig.config import EigConfig
from faithfusion.fit.fit_config import FitConfig
from faithfusion.street.street_config import StreetConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.window.framing_config import FramingConfig
from faithfusion.window.warp_config import WarpConfig

KINDS_OWN = {
    "street": ("street", "max_shift_m", "num_shifts"),
    "cross_camera": ("cross_camera",),
    "withheld": ("withheld",),
}
WHICH_SHARDS = ("out", "device", "first_seed", "num_streets", "drives")
OF_DRIVES = ("num_frames",)


@dataclass(frozen=True)
class CrossCameraConfig:
    """Kind `cross_camera`: fit some cameras of a rig, render others.

    Attributes:
        fit_cameras: sets of cameras; one fit each. Empty: the drive's first camera alone.
        target_cameras: cameras to render at, but for those of the fit. Empty: all others.
        min_coverage: least share of a target's pixels that the fit saw, against that of its own cameras; targets that
            see less are left out.
        match_brightness: multiply the truth by one gain per channel, so that pixels that the fit knows well have the
            fitted cameras' brightness. Cameras of a rig differ by a few per cent.
    """

    fit_cameras: tuple[tuple[str, ...], ...] = ()
    target_cameras: tuple[str, ...] = ()
    min_coverage: float = 0.3
    match_brightness: bool = True


@dataclass(frozen=True)
class WithheldConfig:
    """Kind `withheld`: fit a part of the time stamps, render the others. Ranges are drawn from for every fit.

    Attributes:
        cameras: cameras to fit and to render at; empty takes all.
        every: fewest and most time stamps from one fitted one to the next.
        gap_frames: fewest and most consecutive time stamps that are left out whole, about once in 50.
        num_fits: fits per drive.
    """

    cameras: tuple[str, ...] = ()
    every: tuple[int, int] = (2, 6)
    gap_frames: tuple[int, int] = (0, 12)
    num_fits: int = 1

    def __post_init__(self) -> None:
        _require_range("withheld.every", self.every, 1)
        _require_range("withheld.gap_frames", self.gap_frames, 0)
        if self.every[0] == 1 and self.gap_frames[0] == 0:
            raise InputError(
                "withheld.every", self.every, "at least 2, or gap_frames of at least 1: something withheld"
            )
        if self.num_fits < 1:
            raise InputError("withheld.num_fits", self.num_fits, "at least 1")


@dataclass(frozen=True)
class PairsConfig:
    """What pairs are made.

    Attributes:
        kind: "street": procedural streets, exact truth beside the path; "cross_camera" and "withheld": recorded drives.
        out: folder of the shards, one per street or drive.
        drives: folders of recorded drives (DriveStudio's layout).
        num_frames: time stamps of every drive from the start; 0 takes all.
        seed: seed of everything that is left to chance, but for which streets there are.
        device: where scenes are fitted; "auto" is CUDA if there is a device.
        first_seed: seed of the first street.
        num_streets: how many streets, of consecutive seeds.
        max_shift_m: shifts are drawn evenly from both sides up to this, metres.
        num_shifts: shifted clips per street.
        fit_steps: fewest and most steps of the fit: pairs of varied quality.
        window_frames: frames of a window, 4k + 1.
        overlap_frames: frames two windows share, 4k + 1.
        sequence_frames: longest clip held in memory at once; windows beyond start a new one.
        num_references: true views per window, of those that were fitted.
        framing: sizes.
        colors: how colours are stored.
        cross_camera: see there.
        withheld: see there.
        split: see `refine_sequence`.
        posterior_stride: see `refine_sequence`.
        street: streets; seed and shifts are set per street.
        fit: fits; the number of steps is set per fit.
        eig: expected information gain.
        warp: recorded views brought into the windows.
    """

    kind: Literal["street", "cross_camera", "withheld"] = "street"
    out: str = "output/pairs"
    drives: tuple[str, ...] = ()
    num_frames: int = 0
    seed: int = 0
    device: str = "auto"
    first_seed: int = 1000
    num_streets: int = 16
    max_shift_m: float = 3.5
    num_shifts: int = 2
    fit_steps: tuple[int, int] = (250, 600)
    window_frames: int = 17
    overlap_frames: int = 1
    sequence_frames: int = 97
    num_references: int = 3
    framing: FramingConfig = field(default_factory=FramingConfig)
    colors: ColorFormat = field(default_factory=ColorFormat)
    cross_camera: CrossCameraConfig = field(default_factory=CrossCameraConfig)
    withheld: WithheldConfig = field(default_factory=WithheldConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    posterior_stride: int = 2
    street: StreetConfig = field(default_factory=lambda: StreetConfig(num_frames=33))
    fit: FitConfig = field(default_factory=FitConfig)
    eig: EigConfig = field(default_factory=EigConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)

    def __post_init__(self) -> None:
        for name in ("posterior_stride", "num_references", "num_streets", "num_shifts"):
            if getattr(self, name) < 1:
                raise InputError(name, getattr(self, name), "at least 1")
        if self.num_frames < 0:
            raise InputError("num_frames", self.num_frames, "0 or a number of time stamps")
        _require_range("fit_steps", self.fit_steps, 1)
        for name in ("window_frames", "overlap_frames"):
            if getattr(self, name) % CHUNK_FRAMES != 1:
                raise InputError(name, getattr(self, name), "4k + 1 frames (1, 5, 9, ..., 49, ...)")
        if not self.overlap_frames < self.window_frames <= self.sequence_frames:
            found = f"{self.overlap_frames}, {self.window_frames} and {self.sequence_frames}"
            raise InputError("overlap_frames, window_frames and sequence_frames", found, "ascending numbers")


def shard_options(config: PairsConfig) -> dict[str, Any]:
    """What the content of a shard depends on beside its street or drive, as JSON data."""
    plain = to_plain(config)
    foreign = [name for kind, names in KINDS_OWN.items() if kind != config.kind for name in names]
    foreign += OF_DRIVES if config.kind == "street" else ()
    options = {key: value for key, value in plain.items() if key not in (*WHICH_SHARDS, *foreign)}
    options["fit"] = {key: value for key, value in plain["fit"].items() if key != "cache_mb"}
    if config.kind == "street":
        set_per_street = ("seed", "shifts_m", "num_workers")
        options["street"] = {key: value for key, value in plain["street"].items() if key not in set_per_street}
    return options


def _require_range(name: str, values: tuple[int, int], least: int) -> None:
    if not least <= values[0] <= values[1]:
        raise InputError(name, list(values), f"two ascending numbers of at least {least}")
