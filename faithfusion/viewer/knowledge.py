"""Posteriors for EIG, computed once per scene in the background while everything else goes on."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

import torch

from faithfusion.eig.assess import reassess_scene
from faithfusion.eig.field import EigField
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import report_progress
from faithfusion.viewer.run_folder import Run

WARM_UP_PX = 32


@dataclass(frozen=True)
class Progress:
    """How far a posterior is: `share` in [0, 1], or what went wrong."""

    text: str
    share: float
    failed: bool = False


class _ClosedError(Exception):
    """The way out of a computation nobody waits for any more."""


def learn(run: Run, name: str) -> EigField:
    """The knowledge about version `name`, computed here and now. Raises InputError for a drive that cannot tell it."""
    version = run.versions[name]
    with torch.no_grad():
        known = reassess_scene(version.scene, version.metadata, version.fitted, run.split, run.eig)
        frame = version.fitted.frames[0]
        known.map(frame.camera.resized(WARM_UP_PX, WARM_UP_PX), frame.time_index)  # loads the kernels
    return known


class Learner:
    """Learns about versions on demand, one at a time, in a thread of its own."""

    def __init__(self, run: Run) -> None:
        self.known: dict[str, EigField] = {}
        self.progress: dict[str, Progress] = {}
        self._run = run
        self._asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="posterior")
        self._thread.start()

    def ask(self, name: str) -> None:
        """Starts learning about a version, unless that was asked for before."""
        if name not in self.progress and not self._closed.is_set():
            self.progress[name] = Progress("waiting", 0.0)
            self._asked.put(name)

    def close(self) -> None:
        """Stops after the image that is being read; the thread has ended when this returns."""
        self._closed.set()
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (name := self._asked.get()) is not None and not self._closed.is_set():

            def note(label: str, done: int, total: int, name: str = name) -> None:
                if self._closed.is_set():
                    raise _ClosedError
                self.progress[name] = Progress(f"{label} of '{name}': image {done} of {total}", done / max(total, 1))

            try:
                with report_progress(note):
                    self.known[name] = learn(self._run, name)
                self.progress[name] = Progress("done", 1.0)
            except _ClosedError:
                return
            except Exception as error:  # whatever it is, the colours go on, and the user reads why there is no EIG
                reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
                self.progress[name] = Progress(f"no EIG of '{name}': {reason.splitlines()[0]}", 0.0, failed=True)
