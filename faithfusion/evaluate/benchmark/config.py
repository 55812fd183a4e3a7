"""What the benchmark of drives compares: drives, shifts, methods, and the networks that measure."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Literal

from faithfusion.pipeline.config import RefineConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import EditorEntry, require_kinds

DEFAULT = "default"
"""The name of the refinement that `refine` describes."""
NAME = re.compile(r"[\w ,.%()+-]+")


@dataclass(frozen=True)
class MethodConfig:
    """One way to refine a drive, as `refine` does but for what is given here.

    Attributes:
        editors: What edits the renders, with entries as those of `refine.editors`; empty takes those.
        weight: The weight of the distillation; empty takes `refine.distill.weight`.
        no_eig: Uses EIG nowhere: no pixel is kept for being known well, the weights are uniform, and the distillation
            moves each parameter by itself.
    """

    editors: tuple[EditorEntry, ...] = ()
    weight: str = ""
    no_eig: bool = False

    def __post_init__(self) -> None:
        if self.no_eig and self.weight:
            raise InputError(
                "benchmark.others", f"weight: {self.weight} beside no_eig", "no weight: it is uniform then"
            )

    def refine_of(self, refine: RefineConfig) -> RefineConfig:
        """The options of a refinement by this method."""
        editors, distill, editor = self.editors or refine.editors, refine.distill, refine.editor
        if self.weight:
            distill = dataclasses.replace(distill, weight=self.weight)
        if self.no_eig:
            distill = dataclasses.replace(distill, weight="uniform", metric="parameters")
            editor = dataclasses.replace(editor, composite=dataclasses.replace(editor.composite, faithful_share=0.0))
        return dataclasses.replace(refine, editors=editors, distill=distill, editor=editor)


@dataclass(frozen=True)
class DetectorConfig:
    """The network that looks for vehicles, for NTA-IoU. Nothing is downloaded.

    Attributes:
        weights: The file of the network; empty leaves NTA-IoU out.
        kind: "yolox" is an ONNX file of YOLOX, "ultralytics" a YOLO of ultralytics (the user's own installation, AGPL)
            and "torchvision" a state dict of the detection network `model`.
        model: The name of torchvision's network.
        squares: Looks at overlapping squares of the picture instead of the picture stretched to 480 x 320, which is
            the published rule: for small detectors and wide pictures.
        classes: The names of COCO's classes that count as vehicles.
    """

    weights: str = ""
    kind: Literal["yolox", "ultralytics", "torchvision"] = "yolox"
    model: str = ""
    squares: bool = False
    classes: tuple[str, ...] = ("car", "bus")

    def __post_init__(self) -> None:
        if not self.classes:
            raise InputError("detector.classes", "none", "at least one of COCO's classes")


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Which drives are refined how, and what measures them.

    Attributes:
        drives: The file of the drives (docs/benchmark.md): a list of names, each with the options of `refine` that are
            its own, such as {name: street 3, street: {seed: 3}} or {name: kitti, scene: DRIVE, cameras: ["0"]}.
        shifts_m: The camera drives at these distances, in metres to the left, each refined by itself.
        out: The folder of the table and of the results per drive; a killed run continues there.
        others: What is compared with the refinement of `refine`, which is called "default": other editors and weights,
            by name.
        detector: The network that looks for vehicles.
        lane_net: The file of TwinLiteNet's weights, for NTL-IoU; empty leaves it out.
        inception: The file of torch-fidelity's Inception, for FID and KID; without it the distances are those of
            MobileNetV2's features, and are named so.
        engine: "local" takes the drives one after the other; "ray" maps them over a Ray cluster (extra `cluster`), and
            all its machines must see the files that are named here under the same names.
        cluster: The address of the Ray cluster, such as "auto" for the one that this machine belongs to. Empty starts
            one on this machine.
        retries: With Ray a drive whose worker is lost is begun again so often; finished stages in the shared `out` are
            not done again.
        keep_work: Keeps scenes and clips of finished drives under `out`/work.
        refine: How every drive is fitted, edited and distilled. Drive, path and folder are not set here.
    """

    drives: str
    shifts_m: tuple[float, ...] = (3.0, 6.0)
    out: str = "output/benchmark"
    others: dict[str, MethodConfig] = field(default_factory=dict)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    lane_net: str = ""
    inception: str = ""
    engine: Literal["local", "ray"] = "local"
    cluster: str = ""
    retries: int = 3
    keep_work: bool = False
    refine: RefineConfig = field(default_factory=RefineConfig)

    def __post_init__(self) -> None:
        if not self.shifts_m or 0.0 in self.shifts_m or len(set(self.shifts_m)) != len(self.shifts_m):
            raise InputError("benchmark.shifts_m", self.shifts_m, "at least one shift other than 0, each once")
        for name, method in self.others.items():
            if require_name("benchmark.others", name) == DEFAULT:
                raise InputError("benchmark.others", name, "another name: `refine` itself has this one")
            if method.editors:
                require_kinds(f"benchmark.others.{name}", method.editors)
        if self.refine.scene or self.refine.trajectory:
            raise InputError("benchmark.refine", "a scene or a trajectory", "neither: drives and shifts say it")
        if self.retries < 0:
            raise InputError("benchmark.retries", self.retries, "0 or more")

    @property
    def methods(self) -> dict[str, MethodConfig]:
        """All ways to refine by name, that of `refine` first."""
        return {DEFAULT: MethodConfig()} | self.others

    def editors_of(self, method: str) -> tuple[EditorEntry, ...]:
        """The editors of a method."""
        return self.methods[method].refine_of(self.refine).editors


def require_name(where: str, name: str) -> str:
    """Returns a name that can be part of the name of a file. Raises InputError for any other."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.startswith("."):
        raise InputError(where, name, "a name of letters, digits, spaces and , . % ( ) + - _")
    return name
