"""What the benchmarks measure, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from faithfusion.data.split_config import SplitConfig
from faithfusion.eig.config import EigConfig
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pipeline.config import RefineConfig
from faithfusion.street.street_config import StreetConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import EditorConfig


@dataclass(frozen=True)
class KnownTruthConfig:
    """Scenes with truth.

    Attributes:
        out: The folder of drives, scenes and results; a killed run continues there.
        seeds: The seeds of the procedural streets.
        shifts_m: The true front view is compared at these distances, in metres to the left.
        stereo: A drive whose first camera is fitted and whose second one is the truth. Without it there are streets
            only.
        frame_stride: One of so many time stamps is compared.
        posterior_stride: One of so many training frames of a camera enters the posterior.
        street: The streets, whose seed and shifts are set per scene.
        device: Where scenes are fitted; "auto" is CUDA if there is a device.
        split: The frames that are withheld from the fits.
        fit: The fits of the streets.
        stereo_fit: The fit of the stereo drive.
        eig: The expected information gain.
    """

    out: str = "output/bench_eig"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    shifts_m: tuple[float, ...] = (-6.0, -3.0, -1.5, 1.5, 3.0, 6.0)
    stereo: str = ""
    frame_stride: int = 6
    posterior_stride: int = 2
    street: StreetConfig = field(default_factory=StreetConfig)
    device: str = "auto"
    split: SplitConfig = field(default_factory=SplitConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    stereo_fit: FitConfig = field(default_factory=FitConfig)
    eig: EigConfig = field(default_factory=EigConfig)

    def __post_init__(self) -> None:
        if not self.shifts_m or 0.0 in self.shifts_m or self.frame_stride < 1 or self.posterior_stride < 1:
            found = f"shifts_m = {self.shifts_m}, frame_stride = {self.frame_stride}"
            raise InputError("known truth", found, "shifts other than 0 and positive strides")


@dataclass(frozen=True)
class SceneBenchmarkConfig:
    """Which variants are compared where.

    Attributes:
        variants: The files of fit options (`configs/scene/variants`), each with what differs from the defaults.
        out: The folder of streets, scenes and the table; a killed run continues there.
        seeds: The seeds of the procedural streets.
        shifts_m: The true front view is compared at these distances, in metres to the left.
        frame_stride: One of so many time stamps is compared.
        street: The streets, whose seed and shifts are set per scene.
        device: Where scenes are fitted; "auto" is CUDA if there is a device.
        split: The frames that are withheld from the fits.
    """

    variants: tuple[str, ...]
    out: str = "output/bench_scene"
    seeds: tuple[int, ...] = (0, 1)
    shifts_m: tuple[float, ...] = (-3.0, 3.0)
    frame_stride: int = 4
    street: StreetConfig = field(default_factory=StreetConfig)
    device: str = "auto"
    split: SplitConfig = field(default_factory=lambda: SplitConfig(stretch_frames=0))

    def __post_init__(self) -> None:
        if not self.variants or not self.seeds or not self.shifts_m or self.frame_stride < 1:
            found = f"{len(self.variants)} variants, {len(self.seeds)} seeds, shifts {self.shifts_m}"
            raise InputError("bench_scene", found, "at least one of each and a positive frame_stride")
        names = [Path(variant).stem for variant in self.variants]
        if len(set(names)) != len(names):
            raise InputError("bench_scene variants", ", ".join(names), "files of different names")


@dataclass(frozen=True, kw_only=True)
class EigBenchmarkConfig(KnownTruthConfig):
    """What is measured.

    Attributes:
        editor: Its `regenerate_rms` is the threshold that is tested.
        docs: A folder for a copy of the page with its figures. Without it there is no copy.
    """

    editor: EditorConfig = field(default_factory=EditorConfig)
    docs: str = ""


@dataclass(frozen=True)
class RealDrive:
    """A recorded drive.

    Attributes:
        scene: The folder of the drive.
        num_frames: So many time stamps are used from the start; 0 takes all.
    """

    scene: str
    num_frames: int = 0


@dataclass(frozen=True, kw_only=True)
class RealBenchmarkConfig:
    """Which recorded drives are refined and scored, in both directions of their first two cameras.

    Attributes:
        drives: The drives, such as [{scene: drives/mine, num_frames: 33}].
        out: The folder of runs and results; a killed run continues there.
        frame_stride: One of so many frames is scored.
        editor_frames: So many frames of the true camera, from the middle of the drive, are repaired by the editors.
        refine: The runs; drive, cameras and folder are set for each, and what you leave open is chosen for the drive.
    """

    drives: tuple[RealDrive, ...]
    out: str = "output/bench_real"
    frame_stride: int = 4
    editor_frames: int = 17
    refine: RefineConfig = field(default_factory=RefineConfig)

    def __post_init__(self) -> None:
        if not self.drives or self.frame_stride < 1 or self.editor_frames < 1:
            found = f"{len(self.drives)} drives, frame_stride = {self.frame_stride}, {self.editor_frames} frames"
            raise InputError("bench_real", found, "at least one of each")
        for name in ("scene", "cameras", "camera", "num_frames"):
            if getattr(self.refine, name):
                raise InputError(f"refine.{name}", getattr(self.refine, name), "nothing: `drives` says it")


@dataclass(frozen=True, kw_only=True)
class StreetCalibrationConfig(KnownTruthConfig):
    """Streets to calibrate on; apart from those that anything is developed or measured on.

    Attributes:
        file: The file that the curves are written to.
        levels: The noise levels (pixels per observation) that are tried.
    """

    out: str = "output/calibrate_eig"
    seeds: tuple[int, ...] = (1000, 1001, 1002)
    file: str = "faithfusion/eig/default_calibration.json"
    levels: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
