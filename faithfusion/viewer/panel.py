"""The controls of one browser. `gui` is viser's interface of that client; viser itself is imported in `server` only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from faithfusion.data.trajectories import MAX_SHIFT_M
from faithfusion.viewer.run_folder import Run
from faithfusion.viewer.scales import bar_html
from faithfusion.viewer.state import QUANTITIES, RECORDED, Quantity, ViewState

HELP = "Drag: turn, right button: move, wheel: nearer. *Ride along* leads back to the recorded camera."


@dataclass(frozen=True)
class Panel:
    """Handles of the controls."""

    version: Any
    quantity: Any
    bar: Any
    camera: Any
    shift_m: Any
    time: Any
    play: Any
    ride: Any
    lines: Any
    learning: Any
    learned: Any
    status: Any

    def show_bar(self, quantity: Quantity | None) -> None:
        """Shows the colour bar of a quantity; None hides it."""
        html = "" if quantity is None else bar_html(quantity)
        _set(self.bar, content=html, visible=bool(html))

    def show_learning(self, text: str, share: float | None) -> None:
        """Shows how far the posterior is; `share` in [0, 1] is None when nothing is being computed."""
        _set(self.learning, content=text, visible=bool(text))
        _set(self.learned, value=0 if share is None else round(100.0 * share), visible=share is not None)

    def show_status(self, text: str) -> None:
        """Shows one line about the picture."""
        _set(self.status, content=text)


def _set(handle: Any, **values: Any) -> None:
    """Sets only what differs, because viser sends a message for everything that is set."""
    for name, value in values.items():
        if getattr(handle, name) != value:
            setattr(handle, name, value)


def make_panel(gui: Any, run: Run, state: ViewState) -> Panel:
    """Adds the controls, in the order in which a user needs them."""
    names = (*run.versions, RECORDED)
    version = gui.add_dropdown("Scene", names, initial_value=state.version)
    quantity = gui.add_dropdown("Show", QUANTITIES, initial_value=state.quantity)
    bar = gui.add_html("", visible=False)
    learning = gui.add_markdown("", visible=False)
    learned = gui.add_progress_bar(0.0, visible=False)
    shift_m = gui.add_slider("Shift, m left", -MAX_SHIFT_M, MAX_SHIFT_M, 0.1, state.shift_m)
    last = run.clip.num_frames - 1
    time = gui.add_slider("Time", 0, max(last, 1), 1, state.time_index, disabled=last == 0)
    play = gui.add_checkbox("Play", False, disabled=last == 0)
    camera = gui.add_dropdown("Camera", run.clip.camera_names, initial_value=state.camera_name)
    ride = gui.add_checkbox("Ride along", True, hint="the camera stays on the drive; the mouse ends that")
    lines = gui.add_checkbox("Cameras, path, boxes", state.lines)
    status = gui.add_markdown("")
    gui.add_markdown(HELP)
    return Panel(version, quantity, bar, camera, shift_m, time, play, ride, lines, learning, learned, status)
