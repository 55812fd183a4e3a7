"""What the ablation compares: how the distillation is weighted, who edits, where the result is scored."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faithfusion.config import to_plain
from faithfusion.distill.config import DistillConfig, WeightName
from faithfusion.evaluate.ablation.stages import Stage, at_once, in_stages
from faithfusion.pipeline.config import RefineConfig
from faithfusion.street.street_config import StreetConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import EditorConfig, EditorNames

WEIGHT_LABELS = {
    "uniform": "uniform",
    "published": "published gain",
    "eig": "plain EIG",
    "kalman": "Kalman gain",
    "level": "our EIG, its mean everywhere",
    "likelihood": "our EIG",
}
BLIND_FIXER = "fixer_blind"
"""The fixer, told the clip's mean expected error in every pixel."""
EDITOR_LABELS = {"video": "video only", "fixer": "fixer only", "both": "both", BLIND_FIXER: "fixer only"}


@dataclass(frozen=True)
class Row:
    """One way to refine; the default is no refinement at all."""

    weight: str = ""
    editors: str = ""
    loop: str = ""  # name of another distillation than that of the other rows

    @property
    def key(self) -> str:
        """Short name: "likelihood/both", "likelihood/both/600 steps", or "none"."""
        return "/".join(filter(None, (self.weight, self.editors, self.loop))) or "none"

    @property
    def labels(self) -> tuple[str, str]:
        """Weights and editors in words."""
        if not self.weight:
            return "no refinement", ""
        weight = "no EIG at all" if self.editors == BLIND_FIXER else WEIGHT_LABELS[self.weight]
        weight = f"{weight}; {self.loop}" if self.loop else weight
        return weight, EDITOR_LABELS[self.editors]


NO_REFINEMENT = Row()
NO_EIG = Row("uniform", BLIND_FIXER)


@dataclass(frozen=True)
class LoopConfig(DistillConfig):
    """Another distillation than the default one.

    Attributes:
        in_stages: goes to the shifts as `schedule` says (`step_m`, `passes`; `steps_per_stage` each), not at once.
    """

    in_stages: bool = False

    def __post_init__(self) -> None:
        if self.schedule.passes > 1 and not self.in_stages:
            raise InputError("ablation.loops", f"passes: {self.schedule.passes}", "in_stages: true beside it")


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """The rows of the table and the streets it is measured on.

    Attributes:
        out: folder of the table and of the results per street; a killed run continues there, and several may share it.
        seeds: procedural streets; 0 to 9 are for development, 100 to 119 for the table.
        shifts_m: metres to the left at which the front camera drives; all enter one distillation, and those of equal
            distance are averaged per street.
        weights: weights of the distillation.
        editors: what edits the renders.
        blind: one row without EIG at all: the fixer, if it is one of the editors, told the clip's mean expected
            error, and uniform weights.
        loops: other distillations by name, each a row with the last of `editors`; what they do not give is the default
            of `DistillConfig`. With `in_stages` the clips are rendered and edited on the way too.
        keep_work: keeps drives, scenes and clips of finished streets under `out`/work.
        refine: how a street is made, fitted, edited and distilled. `distill.schedule.steps_per_stage` is the length of
            the one distillation from all shifts, `step_m` says nothing. Has no scene, trajectory and number of frames
            of its own; which editors and which weights of the distillation are used, the rows say.
    """

    out: str = "output/ablation"
    seeds: tuple[int, ...] = tuple(range(100, 120))
    shifts_m: tuple[float, ...] = (-6.0, -3.0, 3.0, 6.0)
    weights: tuple[WeightName, ...] = ("uniform", "published", "likelihood")
    editors: tuple[EditorNames, ...] = ("video", "fixer", "both")
    blind: bool = True
    loops: dict[str, LoopConfig] = field(default_factory=dict)
    keep_work: bool = False
    refine: RefineConfig = field(
        default_factory=lambda: RefineConfig(street=StreetConfig(num_frames=17, num_workers=1))
    )

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise InputError("ablation.seeds", self.seeds, "at least one street, each once")
        if not self.shifts_m or 0.0 in self.shifts_m or len(set(self.shifts_m)) != len(self.shifts_m):
            raise InputError("ablation.shifts_m", self.shifts_m, "at least one shift other than 0, each once")
        for name in ("weights", "editors"):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) != len(chosen):
                raise InputError(f"ablation.{name}", chosen, "at least one, each once")
        for name in self.loops:
            if not re.fullmatch(r"[\w ,.%+-]+", name):
                raise InputError("ablation.loops", name, "a name of letters, digits, spaces and , . % + - _")
        for name in ("scene", "cameras", "trajectory", "num_frames"):
            if getattr(self.refine, name):
                raise InputError(f"refine.{name}", getattr(self.refine, name), "nothing: the streets and shifts say it")
        if self.refine.distill.schedule.passes > 1:
            found = self.refine.distill.schedule.passes
            raise InputError("refine.distill.schedule.passes", found, "1, or one of `loops` with in_stages: true")
        if self.refine.split.held_out_every == 0:
            raise InputError("refine.split.held_out_every", 0, "frames of the recorded lane to score")
        if self.camera not in self.refine.street.truth_cameras:
            raise InputError("refine.camera", self.camera, f"one of {', '.join(self.refine.street.truth_cameras)}")

    @property
    def camera(self) -> str:
        """The camera that is driven on the shifted lanes."""
        return self.refine.camera or self.refine.street.camera_names[0]

    @property
    def rows(self) -> tuple[Row, ...]:
        """No refinement, no EIG, then every weight with every editor, then the other loops."""
        first = (NO_REFINEMENT, NO_EIG) if BLIND_FIXER in self.edits else (NO_REFINEMENT,)
        crossed = (Row(weight, editors) for weight in self.weights for editors in self.editors)
        return (*first, *crossed, *(Row(loop.weight, self.editors[-1], name) for name, loop in self.loops.items()))

    def distill_of(self, row: Row) -> DistillConfig:
        """How a row is distilled."""
        loop = self.loops[row.loop] if row.loop else self.refine.distill
        return dataclasses.replace(loop, weight=row.weight) if row.weight else loop

    def stages_of(self, row: Row) -> list[Stage]:
        """The distillations of a row."""
        loop = self.loops.get(row.loop)
        return in_stages(self.shifts_m, loop.schedule) if loop and loop.in_stages else at_once(self.shifts_m)

    @property
    def edits(self) -> tuple[str, ...]:
        """Who edits every clip, in this order."""
        return (*self.editors, BLIND_FIXER) if self.blind and "fixer" in self.editors else tuple(self.editors)

    def editor_of(self, editors: str) -> EditorConfig:
        """How clips are edited. A fixer that knows the mean error only knows no pixels better than others: the
        composite's rule for the best known ones would give it the render back."""
        config = self.refine.editor
        if editors != BLIND_FIXER:
            return config
        return dataclasses.replace(config, composite=dataclasses.replace(config.composite, faithful_max_sq_error=0.0))

    @property
    def needs_published(self) -> bool:
        """Whether a row is weighted by the published gain."""
        return any(row.weight == "published" for row in self.rows)

    @property
    def shown_row(self) -> Row:
        """The row that pictures are made of: our EIG with both editors, or the last one."""
        wanted = Row("likelihood", "both")
        return wanted if wanted in self.rows else self.rows[-1]


def settings_of(config: AblationConfig, identity: str) -> dict[str, Any]:
    """What the numbers of one street depend on, as JSON data. `identity`: of the editors' weights."""
    plain = to_plain(config)
    refine = plain["refine"]
    for part, names in (
        (plain, ("out", "seeds", "keep_work")),
        (refine, ("out", "scene", "trajectory", "num_frames", "editors")),
        (refine, ("weights", "fixer_weights", "public_weights", "fixer_public_weights")),
        (refine["street"], ("seed", "num_workers", "shifts_m")),
        (refine["distill"], ("weight",)),
    ):
        for name in names:
            del part[name]
    return plain | {"editors_identity": identity}


def first_difference(old: Any, new: Any, where: str = "") -> str:
    """The first key in which two nested plain values differ, with both values; empty if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            found = first_difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
            if found:
                return found
        return ""
    return "" if old == new else f"{where}: {old}, asked for {new}"


def street_path(out: Path, seed: int) -> Path:
    """Where the results of one street lie."""
    return out / f"street_{seed:04d}.json"


def with_street(config: AblationConfig, seed: int) -> StreetConfig:
    """The street of one seed, with truth of the driven camera at all shifts."""
    return dataclasses.replace(config.refine.street, seed=seed, shifts_m=config.shifts_m)
