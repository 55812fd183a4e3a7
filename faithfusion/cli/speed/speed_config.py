"""What each part of `bench` measures; the options of all parts, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.fit.fit_config import FitConfig
from faithfusion.street.street_config import StreetConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import VideoEditorConfig
from faithfusion.video.plan.plan_options import PlanOptions


@dataclass(frozen=True)
class RasterConfig:
    """Forward and backward of the rasteriser on a synthetic street.

    Attributes:
        num_gaussians: size of the scene.
        width: pixels.
        height: pixels.
        repetitions: the median of so many is printed, after two warm-up runs.
        device: cpu or cuda.
        backend: auto, warp or gsplat (CUDA only).
    """

    num_gaussians: int = 60_000
    width: int = 320
    height: int = 192
    repetitions: int = 9
    device: str = "cpu"
    backend: Literal["auto", "warp", "gsplat"] = "auto"


@dataclass(frozen=True)
class EigCostConfig:
    """Both passes of EIG on the synthetic street of `bench.py raster`, at sizes (Gaussians, width, height).

    Attributes:
        sizes: scenes and images.
        repetitions: the median of so many is printed, after two warm-up runs.
        device: cpu or cuda.
    """

    sizes: tuple[tuple[int, int, int], ...] = (
        (60_000, 320, 192),
        (60_000, 640, 384),
        (15_000, 320, 192),
        (30_000, 320, 192),
        (120_000, 320, 192),
    )
    repetitions: int = 7
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.sizes or self.repetitions < 1:
            raise InputError("bench.py eig", f"{len(self.sizes)} sizes", "at least one size and repetition")


@dataclass(frozen=True)
class FitMemoryConfig:
    """Peak memory and time per step of `fit_scene`, each fit in a process of its own.

    Attributes:
        drive: A drive to fit; empty makes the procedural street of `street`.
        street: The street, as long as the largest of `num_frames`.
        num_frames: Lengths of the drive that are compared.
        steps: Descent steps of every fit.
        ceilings: Numbers of Gaussians, from the start on, that are compared at the first length.
        fit: The fit.
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
    """A generator's steps on a device, measured.

    With weights of random numbers, what tools/plan_memory.py predicts for the same options, offloading aside. Training,
    with `train` only, is the real step in one process (`gpus` and `zero` say nothing): DeepSpeed, the method, and the
    moving average as often as the run moves it. The weights are built in float32 on the device, 4 bytes each.

    Attributes:
        device: auto, cuda or cpu. Peaks are those of CUDA's allocator, without context and fragmentation; the CPU has
            none. Training is on CUDA if there is a device.
        repeats: timed runs; the median counts.
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
        run: Folder of the run; its clip as rendered is used.
        shift_m: Shift of the run, metres to the left.
        camera: Camera of the run.
        weights: See `refine_sequence`.
        out: Folder of the pictures.
        editor: Windows and sampler.
    """

    run: str = "output/long"
    shift_m: float = 3.0
    camera: str = "0"
    weights: str = "wan-tiny"
    out: str = "output/chain"
    editor: VideoEditorConfig = field(default_factory=lambda: VideoEditorConfig(window_frames=49))


@dataclass(frozen=True)
class ColorsConfig:
    """Which pictures.

    Attributes:
        images: pattern of the files of one clip, in order of their names.
        keyframe_every: frames from one key frame to the next.
    """

    images: str
    keyframe_every: int = 8
