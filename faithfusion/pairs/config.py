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
        fit_cameras: The sets of cameras that are fitted, one fit each. Without them the drive's first camera alone is.
        target_cameras: The cameras that are rendered at, but for those of the fit. Without them all others are.
        min_coverage: The fit saw at least this share of a target's pixels, against that of its own cameras; targets
            that it saw less of are left out.
        match_brightness: Multiplies the truth by one gain per channel, so that pixels that the fit knows well have the
            brightness of the fitted cameras. Cameras of a rig differ by a few per cent.
    """

    fit_cameras: tuple[tuple[str, ...], ...] = ()
    target_cameras: tuple[str, ...] = ()
    min_coverage: float = 0.3
    match_brightness: bool = True


@dataclass(frozen=True)
class WithheldConfig:
    """Kind `withheld`: fit a part of the time stamps, render the others. Ranges are drawn from for every fit.

    Attributes:
        cameras: The cameras that are fitted and rendered at. Without them all are.
        every: The fewest and the most time stamps from one fitted one to the next.
        gap_frames: The fewest and the most consecutive time stamps that are left out whole, about once in 50.
        num_fits: The number of fits per drive.
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
        kind: "street" makes procedural streets with exact truth beside the path; "cross_camera" and "withheld" take
            recorded drives.
        out: The folder of the shards, one per street or drive.
        drives: The folders of recorded drives.
        num_frames: So many time stamps of every drive are used from the start; 0 takes all.
        seed: The seed of everything that is left to chance, but for which streets there are.
        device: Where scenes are fitted; "auto" is CUDA if there is a device.
        first_seed: The seed of the first street.
        num_streets: The number of streets, which have consecutive seeds.
        max_shift_m: Shifts are drawn evenly from both sides up to so many metres.
        num_shifts: The number of shifted clips per street.
        fit_steps: The fewest and the most steps of a fit, so that the pairs differ in quality.
        window_frames: The number of frames of a window, 4k + 1.
        overlap_frames: Two windows share so many frames, 4k + 1 of them.
        sequence_frames: The longest clip that is held in memory at once; windows beyond it start a new one.
        num_references: A window has so many true views of those that were fitted.
        framing: The sizes of the pictures.
        colors: How colours are stored.
        cross_camera: What kind "cross_camera" fits and renders.
        withheld: What kind "withheld" fits and renders.
        split: The frames that are kept back to calibrate EIG.
        posterior_stride: One of so many training frames of a camera enters the EIG posterior.
        street: The streets, whose seed and shifts are set per street.
        fit: The fits, whose number of steps is set per fit.
        eig: The expected information gain.
        warp: The recorded views that are brought into the windows.
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
