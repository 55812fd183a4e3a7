"""What each part of `bench` measures; the options of all parts, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.evaluate.benchmark_config import KnownTruthConfig
from faithfusion.fit.fit_config import FitConfig
from faithfusion.street.street_config import StreetConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import VideoEditorConfig
from faithfusion.video.plan.plan_options import PlanOptions

Size = tuple[int, int, int]
"""The number of Gaussians, and the width and height of the image in pixels."""


@dataclass(frozen=True)
class RasterConfig:
    """Measures forward and backward of the rasteriser on a synthetic street: seconds and the peak of memory.

    Attributes:
        sizes: The sizes of scenes and images (Gaussians, width, height), such as [[1000000, 1920, 1280]].
        repetitions: Minimum, median and maximum of so many runs are printed, after two for warm-up.
        device: Where it runs: cpu or cuda. On cuda gsplat's own rasterisation is measured beside ours.
        backend: The rasteriser: auto, warp or gsplat (CUDA only).
    """

    sizes: tuple[Size, ...] = ((60_000, 320, 192),)
    repetitions: int = 9
    device: str = "cpu"
    backend: Literal["auto", "warp", "gsplat"] = "auto"

    def __post_init__(self) -> None:
        _check("raster", self.sizes, self.repetitions)


@dataclass(frozen=True)
class EigCostConfig:
    """Measures both passes of EIG and a frame of a window on the street of `bench raster`, seconds and peaks of memory.

    Attributes:
        sizes: The sizes of scenes and images (Gaussians, width, height).
        repetitions: Minimum, median and maximum of so many runs are printed, after two for warm-up.
        device: Where it runs: cpu or cuda. On cuda gsplat's own rasterisation is measured beside ours.
    """

    sizes: tuple[Size, ...] = (
        (60_000, 320, 192),
        (60_000, 640, 384),
        (15_000, 320, 192),
        (30_000, 320, 192),
        (120_000, 320, 192),
    )
    repetitions: int = 9
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check("eig", self.sizes, self.repetitions)


@dataclass(frozen=True)
class StepConfig:
    """Measures one step of the fit and of the distillation by kind of work, on the street of `bench raster`.

    Attributes:
        sizes: The sizes of scenes and images (Gaussians, width, height).
        repetitions: Every part runs so many times in turn with the others, after two rounds for warm-up.
        threads: The numbers of threads of the CPU that are compared; a step on cuda is measured once.
        device: Where it runs: cpu or cuda. On cuda gsplat's own rasterisation is measured beside ours.
    """

    sizes: tuple[Size, ...] = ((60_000, 320, 192),)
    repetitions: int = 15
    threads: tuple[int, ...] = (1, 2)
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check("step", self.sizes, self.repetitions)
        if not self.threads or min(self.threads) < 1:
            raise InputError("bench.py step", f"threads {self.threads}", "at least one number of threads, from 1 on")


@dataclass(frozen=True)
class PeersConfig:
    """Measures EIG beside FisherRF's way on one fitted street, and the rasteriser beside gsplat's, in one run.

    Attributes:
        truth: The street, its fit and the true views beside its path; what `bench_eig.py` has made there is used again.
        shift_m: The maps are scored on the true views at this distance, one of the shifts of `truth`.
        sizes: The sizes of scenes and images (Gaussians, width, height) on which gsplat is compared.
        repetitions: Minimum, median and maximum of so many runs are printed, after two for warm-up.
    """

    truth: KnownTruthConfig = field(default_factory=lambda: KnownTruthConfig(seeds=(0,)))
    shift_m: float = 3.0
    sizes: tuple[Size, ...] = ((10_000, 160, 96),)
    repetitions: int = 9

    def __post_init__(self) -> None:
        _check("peers", self.sizes, self.repetitions)
        if self.shift_m not in self.truth.shifts_m or len(self.truth.seeds) != 1:
            found = f"shift {self.shift_m:g} of {self.truth.shifts_m}, {len(self.truth.seeds)} seeds"
            raise InputError("bench.py peers", found, "one of the shifts, and one seed")


def _check(part: str, sizes: tuple[Size, ...], repetitions: int) -> None:
    if not sizes or min(map(min, sizes)) < 1 or repetitions < 1:
        found = f"sizes {sizes}, {repetitions} repetitions"
        raise InputError(f"bench.py {part}", found, "at least one size of positive numbers, and one repetition")


@dataclass(frozen=True)
class StagesConfig:
    """Prints where the time of finished refinements went, stage by stage, one column per run.

    Attributes:
        runs: The folders of the runs, for example of one before a change and one after it.
    """

    runs: tuple[str, ...] = ("output/refine",)


@dataclass(frozen=True)
class FitMemoryConfig:
    """Measures the peak memory and the time per step of `fit_scene`, each fit in a process of its own.

    Attributes:
        drive: The drive to fit. Without it the procedural street of `street` is made.
        street: The street, which is as long as the largest of `num_frames`.
        num_frames: The lengths of the drive that are compared.
        steps: The number of descent steps of every fit.
        ceilings: The numbers of Gaussians, from the start on, that are compared at the first length.
        fit: How the scenes are fitted.
    """

    drive: str = ""
    street: StreetConfig = field(default_factory=StreetConfig)
    num_frames: tuple[int, ...] = (50, 200)
    steps: int = 300
    ceilings: tuple[int, ...] = ()
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        if not self.num_frames or self.steps < 20:
            raise InputError(
                "bench.py memory", f"{len(self.num_frames)} lengths, {self.steps} steps", "1 and 20 of them"
            )


@dataclass(frozen=True)
class CardConfig(PlanOptions):
    """Measures the steps of a generator on a device.

    With weights of random numbers, what tools/plan_memory.py predicts for the same options, offloading aside. Training,
    with `train` only, is the real step in one process (`gpus` and `zero` say nothing): DeepSpeed, the method, and the
    moving average as often as the run moves it. The weights are built in float32 on the device, 4 bytes each.

    Attributes:
        device: Where it runs: auto, cuda or cpu. Peaks are those of CUDA's allocator, without context and
            fragmentation; the CPU has none. Training is on CUDA if there is a device.
        repeats: The median of so many timed runs counts.
    """

    device: str = "auto"
    repeats: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats < 1:
            raise InputError("repeats", self.repeats, "at least 1")


@dataclass(frozen=True)
class ChainConfig:
    """Regenerates the clip of a run of `refine_sequence` on a procedural street in chained windows.

    Attributes:
        run: The folder of the run, whose clip as rendered is used.
        shift_m: The shift of the run in metres to the left.
        camera: The camera of the run.
        weights: The weights of the video model (docs/weights.md).
        out: The folder of the pictures.
        editor: Windows and sampler.
    """

    run: str = "output/long"
    shift_m: float = 3.0
    camera: str = "0"
    weights: str = "wan-tiny"
    out: str = "output/chain"
    editor: VideoEditorConfig = field(default_factory=lambda: VideoEditorConfig(window_frames=49))
