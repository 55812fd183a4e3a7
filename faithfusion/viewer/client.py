"""The state of one browser: what it asks for and what it was sent. No two browsers share any of it."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from faithfusion.scene.graph import quaternions_from_rotations
from faithfusion.types import Camera
from faithfusion.viewer.echoes import Echoes
from faithfusion.viewer.knowledge import Learner
from faithfusion.viewer.overlay import scene_lines
from faithfusion.viewer.pace import Pace
from faithfusion.viewer.panel import make_panel
from faithfusion.viewer.render import Picture, draw
from faithfusion.viewer.run_folder import Run
from faithfusion.viewer.state import NEEDS_POSTERIOR, RECORDED, FreeView, ViewState, pose_from_quaternion
from faithfusion.viewer.view_cameras import vertical_fov_rad, view_camera

REST_S = 0.3
"""A view that has not changed for so long counts as resting."""
DEPTH_STEP_M = 2048e-5
"""Depths are rounded to these steps: viser packs them as multiples of 1e-5 m in a PNG, and round numbers pack well."""
DEPTH_SLACK = (1.02, 0.2)
"""Lines show up to this factor and so many metres behind a surface, because a splat's depth is only a mean."""
LINES = {
    "drive": ((150, 150, 160), 1.0),
    "path": ((80, 170, 255), 2.0),
    "rig": ((255, 170, 40), 2.0),
    "boxes": ((90, 230, 120), 2.0),
    "frame": ((230, 230, 230), 1.0),
}
"""Colour and thickness (pixels) of each kind of line."""


def first_state(run: Run, canvas: tuple[int, int]) -> ViewState:
    """What a new browser shows: the last version of the scene, seen by the recording camera at the first time stamp."""
    return ViewState(list(run.versions)[-1], "colour", 0, run.camera_name, 0.0, canvas)


class Client:
    """State, panel and pictures of one browser. `step` is called by one thread, everything else by viser's threads."""

    def __init__(self, handle: Any, run: Run, learner: Learner, width: int, wake: Callable[[], None]) -> None:
        self._handle, self._run, self._learner, self._wake = handle, run, learner, wake
        self._lock = threading.Lock()
        self._pace, self._echoes = Pace(width), Echoes()
        self._state = first_state(run, _canvas_of(handle.camera))
        self._changed_s = time.monotonic()
        self._playing_since: tuple[float, int] | None = None
        self._drawn: tuple[tuple[ViewState, bool], int] | None = None  # (state, whether EIG was known), width
        self._lines: dict[str, tuple[Hashable, Any]] = {}
        self._panel = make_panel(handle.gui, run, self._state)
        self._listen()

    def step(self, now_s: float) -> bool:
        """Sends a picture if the browser does not show what it asks for. Returns False if there was nothing to do."""
        self._advance(now_s)
        with self._lock:
            state, rests = self._state, now_s - self._changed_s > REST_S
        self._show_learning(state)
        known = dict(self._learner.known)
        kind = RECORDED if state.version == RECORDED else state.quantity
        width = self._pace.width(state.canvas, kind, at_rest=rests)
        wanted = (state, state.version in known)
        if self._drawn is not None and self._drawn[0] == wanted and (self._drawn[1] == width or not rests):
            return False
        self._drawn = (wanted, width)  # before drawing: what fails once fails again
        try:
            start_s = time.monotonic()
            picture = draw(self._run, state, width, known)
            seconds = time.monotonic() - start_s
            self._pace.took(state.canvas, kind, width, seconds)
            self._send(state, picture, rests)
        except Exception as error:  # a fault in one picture must end neither this browser nor the others
            traceback.print_exc(file=sys.stderr)
            self._panel.show_status(f"no picture: {error}")
            return True
        self._panel.show_bar(None if picture.values is None else state.quantity)
        self._panel.show_status(f"{width} x {picture.image.shape[0]}, {seconds:.2f} s. {picture.note}")
        return True

    def ask(self, **changes: Any) -> None:
        """Changes what the browser asks for and wakes the drawing thread."""
        with self._lock:
            self._state = dataclasses.replace(self._state, **changes)
            self._changed_s = time.monotonic()
        self._wake()

    def _listen(self) -> None:
        panel = self._panel

        def on(handle: Any, act: Callable[[Any], None]) -> None:
            # no client: the program itself has set the value
            handle.on_update(lambda event: act(event.target.value) if event.client is not None else None)

        on(panel.version, lambda value: self.ask(version=value))
        on(panel.quantity, lambda value: self.ask(quantity=value))
        on(panel.time, lambda value: self._seek(int(value)))
        on(panel.camera, lambda value: self._ride(camera_name=value))
        on(panel.shift_m, lambda value: self._ride(shift_m=float(value)))
        on(panel.ride, lambda value: self._ride() if value else self._let_go())
        on(panel.play, self._play)
        on(panel.lines, lambda value: self.ask(lines=value))
        self._handle.camera.on_update(self._on_camera)

    def _ride(self, **changes: Any) -> None:
        """Puts the camera back on the drive."""
        self._panel.ride.value = True
        self.ask(free=None, **changes)

    def _let_go(self) -> None:
        camera = self._handle.camera
        self.ask(free=FreeView(pose_from_quaternion(camera.wxyz, camera.position), float(camera.fov)))

    async def _on_camera(self, camera: Any) -> None:
        """Takes a pose from the browser; async, because viser then keeps the order of poses, as threads would not."""
        pose, canvas = pose_from_quaternion(camera.wxyz, camera.position), _canvas_of(camera)
        with self._lock:
            state, by_hand = self._state, self._echoes.by_hand(pose)
            riding = state.free is None and not by_hand
        free = None if riding else FreeView(pose, float(camera.fov))
        if riding != self._panel.ride.value:
            self._panel.ride.value = riding
        if (free, canvas) != (state.free, state.canvas):
            self.ask(free=free, canvas=canvas)

    def _play(self, on: bool) -> None:
        with self._lock:
            self._playing_since = (time.monotonic(), self._state.time_index) if on else None
        self._wake()

    def _seek(self, time_index: int) -> None:
        self.ask(time_index=time_index)
        if self._playing_since is not None:
            self._play(True)

    def _advance(self, now_s: float) -> None:
        """Moves on to the time stamp that is due while playing; a slow machine leaves some out."""
        with self._lock:
            playing, now_at = self._playing_since, self._state.time_index
        if playing is None:
            return
        passed = int((now_s - playing[0]) * self._run.clip.frame_rate_hz)
        due = (playing[1] + passed) % self._run.clip.num_frames
        if due != now_at:
            self._panel.time.value = due
            self.ask(time_index=due)

    def _show_learning(self, state: ViewState) -> None:
        needed = state.version != RECORDED and state.quantity in NEEDS_POSTERIOR
        if needed:
            self._learner.ask(state.version)
        progress = self._learner.progress.get(state.version)
        if not needed or progress is None or state.version in self._learner.known:
            self._panel.show_learning("", None)
        else:
            self._panel.show_learning(progress.text, None if progress.failed else progress.share)

    def _send(self, state: ViewState, picture: Picture, rests: bool) -> None:
        camera = view_camera(self._run.clip, state, state.canvas[0])
        with self._lock:
            if state.free is None and self._state.free is not None:
                return  # taken by hand while this was drawn: do not pull it back
            if state.free is None:
                self._echoes.sent(tuple(camera.world_from_camera.flatten().tolist()))
        with self._handle.atomic():
            if state.free is None:
                self._place(camera)
            self._draw_lines(state, camera)
            depth_m = packed_depth_m(picture) if state.lines else None
            quality = 90 if rests else 75
            self._handle.scene.set_background_image(picture.image, "jpeg", jpeg_quality=quality, depth=depth_m)
        self._handle.flush()

    def _place(self, camera: Camera) -> None:
        target = self._handle.camera
        target.position = camera.world_from_camera[:3, 3].numpy()
        target.wxyz = quaternions_from_rotations(camera.world_from_camera[None, :3, :3].double())[0].numpy()
        target.fov = vertical_fov_rad(camera)

    def _draw_lines(self, state: ViewState, camera: Camera) -> None:
        """Replaces the lines that have changed."""
        version = self._run.versions.get(state.version) or next(iter(self._run.versions.values()))
        wanted = scene_lines(self._run.clip, version.scene.nodes, state, camera)
        for name, (color, thickness_px) in LINES.items():
            key, old = self._lines.get(name, (None, None))
            lines = wanted.get(name)
            if lines is not None and name in self._lines and key == lines.key:
                continue
            segments = np.zeros((0, 2, 3)) if lines is None else lines.make()
            if old is not None and len(segments) == 0:
                old.remove()
            self._lines.pop(name, None)
            if lines is not None:
                new = self._add_lines(name, segments, color, thickness_px) if len(segments) else None
                self._lines[name] = (lines.key, new)

    def _add_lines(self, name: str, segments: np.ndarray, color: tuple[int, int, int], thickness_px: float) -> Any:
        options = {"thickness": thickness_px, "thickness_units": "screen"}
        return self._handle.scene.add_line_segments(f"/{name}", segments, color, **options)


def _canvas_of(camera: Any) -> tuple[int, int]:
    return max(int(camera.image_width), 1), max(int(camera.image_height), 1)


def packed_depth_m(picture: Picture) -> np.ndarray | None:
    """Depth in metres behind which lines are hidden, at every other pixel and in steps that pack well."""
    if picture.depth_m is None:
        return None
    factor, slack_m = DEPTH_SLACK
    depth_m = picture.depth_m[::2, ::2].double().numpy() * factor + slack_m
    return np.floor(depth_m / DEPTH_STEP_M) * DEPTH_STEP_M
