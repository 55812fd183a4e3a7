"""The part of a run that a callback sees, and the moments at which it is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faithfusion.training.config import TrainConfig
from faithfusion.training.optimizer import STUDENT
from faithfusion.training.start import Model

if TYPE_CHECKING:  # reading a checkpoint does not need DeepSpeed
    from faithfusion.training.engine import Engine


@dataclass
class Run:
    """The state of a training run. `step` counts finished steps, `elapsed_s` the time of all its parts. In one step
    the roles of `updates` are updated in this order, some perhaps several times."""

    config: TrainConfig
    folder: Path
    engine: Engine
    model: Model
    updates: tuple[str, ...] = (STUDENT,)
    step: int = 0
    elapsed_s: float = 0.0

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files that exist once."""
        return self.engine.topology.is_first


@dataclass(frozen=True)
class StepRecord:
    """The measurements of one step, averaged over processes and micro-batches. Names in `values` begin with the role's,
    except for the student."""

    values: dict[str, float]  # "loss" and the method's own terms
    learning_rate: float
    gradient_norm: float
    seconds: float
    tokens: int = 0  # counted over all processes; 0 where the data has none


class Callback:
    """Called on every process; does nothing where a subclass does not say what. `save` and `load` are for state that a
    checkpoint must hold."""

    def start(self, run: Run) -> None:
        """Is called after the engine was built and, when resuming, after `load`."""

    def step_done(self, run: Run, record: StepRecord) -> None:
        """Is called after every step."""

    def save(self, run: Run, folder: Path) -> None:
        """Writes own state into a checkpoint folder."""

    def load(self, run: Run, folder: Path) -> None:
        """Reads what `save` wrote."""

    def close(self, run: Run) -> None:
        """Is called after the last step."""
