"""What the ablation compares: how the distillation is weighted, who edits, where the result is scored."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faithfusion.distill.config import DistillConfig
from faithfusion.evaluate.ablation.stages import Stage, at_once, in_stages
from faithfusion.pipeline.config import RefineConfig
from faithfusion.street.street_config import StreetConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.video.editing.editor_config import EditorConfig, EditorEntry, require_kinds

BLIND = "_blind"
"""Ends the name of editors that are told the clip's mean expected error in every pixel."""


def default_editors() -> dict[str, tuple[EditorEntry, ...]]:
    """Returns each of the shipped editors alone, and the fixer after the video model."""
    wan, fixer = {"kind": "wan"}, {"kind": "fixer"}
    return {"video": (wan,), "fixer": (fixer,), "both": (wan, fixer)}


@dataclass(frozen=True)
class Row:
    """One way to refine a scene; the default is no refinement at all."""

    weight: str = ""
    editors: str = ""
    loop: str = ""  # name of another distillation than that of the other rows

    @property
    def key(self) -> str:
        """A short name such as "likelihood/both", "likelihood/both/600 steps" or "none"."""
        return "/".join(filter(None, (self.weight, self.editors, self.loop))) or "none"

    @property
    def is_blind(self) -> bool:
        """Whether the row uses EIG nowhere."""
        return self.editors.endswith(BLIND)


NO_REFINEMENT = Row()


def without_eig(editors: str) -> Row:
    """Returns the row of these editors that uses EIG nowhere."""
    return Row("uniform", editors + BLIND)


@dataclass(frozen=True)
class LoopConfig(DistillConfig):
    """Another distillation than the default one.

    Attributes:
        in_stages: Goes to the shifts as `schedule` says (`step_m`, `passes`; `steps_per_stage` each), not at once.
        weights: The weights that are compared in it, a row each. Without them it is one row with `weight`.
    """

    in_stages: bool = False
    weights: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.weights)) != len(self.weights):
            raise InputError("ablation.loops", f"weights: {list(self.weights)}", "each once")
        if self.schedule.passes > 1 and not self.in_stages:
            raise InputError("ablation.loops", f"passes: {self.schedule.passes}", "in_stages: true beside it")


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """The rows of the table and the streets it is measured on.

    Attributes:
        out: The folder of the table and of the results per street; a killed run continues there, and several runs may
            share it.
        seeds: The seeds of the procedural streets; 0 to 9 are for development, 100 to 119 for the table.
        shifts_m: The front camera drives at these distances, in metres to the left. All enter one distillation, and
            those of equal distance are averaged per street.
        weights: The weights of the distillation that are compared.
        editors: What edits the renders, by name, with entries as those of `refine.editors`.
        blind: Adds one row without EIG at all: the editors of this name, if `editors` has it, are told the clip's mean
            expected error, and the weights are uniform. Empty adds none.
        loops: Other distillations by name, each of which is a row, or one for each of its `weights`, with the last of
            `editors`; what they do not give is the default of `DistillConfig`. With `in_stages` the clips are rendered
            and edited on the way, too.
        keep_work: Keeps drives, scenes and clips of finished streets under `out`/work.
        refine: How a street is made, fitted, edited and distilled. `distill.schedule.steps_per_stage` is the length of
            the one distillation from all shifts, and `step_m` says nothing. It has no scene, trajectory and number of
            frames of its own, and the rows say which editors and which weights of the distillation are used.
    """

    out: str = "output/ablation"
    seeds: tuple[int, ...] = tuple(range(100, 120))
    shifts_m: tuple[float, ...] = (-6.0, -3.0, 3.0, 6.0)
    weights: tuple[str, ...] = ("uniform", "released", "published_map", "likelihood")
    editors: dict[str, tuple[EditorEntry, ...]] = field(default_factory=default_editors)
    blind: str = "fixer"
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
        if not self.weights or len(set(self.weights)) != len(self.weights):
            raise InputError("ablation.weights", self.weights, "at least one, each once")
        if not self.editors:
            raise InputError("ablation.editors", "none", "at least one")
        for part in ("loops", "editors"):
            for name in getattr(self, part):
                if not re.fullmatch(r"[\w ,.%+-]+", name) or name.endswith(BLIND):
                    raise InputError(f"ablation.{part}", name, "a name of letters, digits, spaces and , . % + - _")
        for name, entries in self.editors.items():
            require_kinds(f"ablation.editors.{name}", entries)
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
        """All rows: no refinement, no EIG, then every weight with every editor, then the other loops."""
        first = (NO_REFINEMENT, without_eig(self.blind)) if self.blind in self.editors else (NO_REFINEMENT,)
        crossed = (Row(weight, editors) for weight in self.weights for editors in self.editors)
        last = list(self.editors)[-1]
        looped = (Row(w, last, name) for name, loop in self.loops.items() for w in loop.weights or (loop.weight,))
        return (*first, *crossed, *looped)

    def distill_of(self, row: Row) -> DistillConfig:
        """Returns how a row is distilled."""
        loop = self.loops[row.loop] if row.loop else self.refine.distill
        return dataclasses.replace(loop, weight=row.weight) if row.weight else loop

    def stages_of(self, row: Row) -> list[Stage]:
        """Returns the distillations of a row, one after the other."""
        loop = self.loops.get(row.loop)
        return in_stages(self.shifts_m, loop.schedule) if loop and loop.in_stages else at_once(self.shifts_m)

    @property
    def edits(self) -> tuple[str, ...]:
        """The names of those that edit every clip, in the order in which they do."""
        return (*self.editors, self.blind + BLIND) if self.blind in self.editors else tuple(self.editors)

    def editor_of(self, editors: str) -> EditorConfig:
        """Returns what all editors share. Editors that are told nothing but the mean error know no pixel better than
        another, so the rule of the composite for the best known pixels would give them the render back; it is left out.
        """
        config = self.refine.editor
        if not editors.endswith(BLIND):
            return config
        return dataclasses.replace(config, composite=dataclasses.replace(config.composite, faithful_share=0.0))

    def begun_by(self, editors: str) -> str:
        """Returns the name of the editors whose edits a longer chain goes on from, those that are its longest
        beginning; empty if there are none."""
        whole = self.editors[editors]
        begun = [name for name, part in self.editors.items() if len(part) < len(whole) and whole[: len(part)] == part]
        return max(begun, key=lambda name: len(self.editors[name]), default="")

    @property
    def shown_row(self) -> Row:
        """The row that pictures are made of: the run's own weight with the last editors, or the last row."""
        wanted = Row(self.refine.distill.weight, list(self.editors)[-1])
        return wanted if wanted in self.rows else self.rows[-1]


def settings_of(config: AblationConfig, identities: Mapping[str, str]) -> dict[str, Any]:
    """Returns what the numbers of one street depend on, as JSON data. `identities` tell the weights and options of the
    editors, by name, from all others."""
    plain = to_plain(config)
    refine = plain["refine"]
    for part, names in (
        (plain, ("out", "seeds", "keep_work")),
        (refine, ("out", "scene", "trajectory", "num_frames", "editors")),
        (refine["street"], ("seed", "num_workers", "shifts_m")),
        (refine["distill"], ("weight",)),
    ):
        for name in names:
            del part[name]
    return plain | {"editors": dict(identities)}


def street_path(out: Path, seed: int) -> Path:
    """Returns where the results of one street lie."""
    return out / f"street_{seed:04d}.json"


def with_street(config: AblationConfig, seed: int) -> StreetConfig:
    """Returns the street of one seed, with the truth of the driven camera at all shifts."""
    return dataclasses.replace(config.refine.street, seed=seed, shifts_m=config.shifts_m)
