"""The whole way: tools/view.py, a real browser, and what is to be seen in it."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from chromium import Tab, browser, chromium_path
from PIL import Image

from faithfusion.viewer.render import draw
from faithfusion.viewer.run_folder import Run
from faithfusion.viewer.state import ViewState

pytest.importorskip("viser", reason='needs the extra: pip install -e ".[viewer]"')
pytestmark = pytest.mark.skipif(chromium_path() is None, reason="needs Chromium on the path")

TOOL = Path(__file__).resolve().parents[2] / "tools" / "view.py"
SHOWN_IN_S = 60.0
NOTICE_PX = 160
"""Height of what the page writes over the picture where WebGL runs in software."""


@dataclass
class Tool:
    """tools/view.py in a process of its own."""

    process: subprocess.Popen
    lines: list[str] = field(default_factory=list)

    def url(self) -> str:
        """The address of the viewer, once it has said so."""
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("viewer: http"):
                threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True).start()
                return line.split()[1]
        raise AssertionError("".join(self.lines))


@pytest.fixture
def tool(run_folder: Path) -> Iterator[Tool]:
    command = [sys.executable, str(TOOL), str(run_folder), "--port", "8450", "--width", "240"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield Tool(process)
    finally:
        process.kill()
        process.wait()


def canvas(tab: Tab) -> np.ndarray:
    """What the page's canvas shows, below the notice, as brightness."""
    script = "(() => { const b = document.querySelector('canvas').getBoundingClientRect();"
    x, y, width, height = (round(v) for v in tab.evaluate(f"{script} return [b.x, b.y, b.width, b.height]; }})()"))
    return tab.screenshot()[y : y + height, x : x + width].mean(-1)


def expected(run: Run, tab: Tab, **changes: object) -> np.ndarray:
    """The picture the canvas should show, as brightness."""
    height, width = canvas(tab).shape
    state = dataclasses.replace(ViewState("after", "colour", 0, "1", 0.0, (width, height)), **changes)
    image = Image.fromarray(draw(run, state, 240, {}).image.mean(-1).astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def likeness(tab: Tab, picture: np.ndarray) -> float:
    """Correlation of the canvas with a picture, below the notice."""
    return float(np.corrcoef(canvas(tab)[NOTICE_PX:].ravel(), picture[NOTICE_PX:].ravel())[0, 1])


def test_a_run_is_seen_in_a_browser_and_the_shift_slider_moves_it(run: Run, tool: Tool, tmp_path: Path) -> None:
    url = tool.url()
    with browser(tmp_path / "profile") as chromium:
        tab = chromium.open(url)
        tab.wait_for(lambda: tab.evaluate("Boolean(document.querySelector('canvas'))"), SHOWN_IN_S)
        tab.wait_for(lambda: tab.evaluate("document.body.innerText.includes('Ride along')"), SHOWN_IN_S)
        start, shifted = expected(run, tab), expected(run, tab, shift_m=2.0)
        assert tab.wait_for(lambda: likeness(tab, start) > 0.95, SHOWN_IN_S), likeness(tab, start)
        assert likeness(tab, shifted) < likeness(tab, start) - 0.02
        tab.type_number("Shift, m left", "2")
        assert tab.wait_for(lambda: likeness(tab, shifted) > 0.95, SHOWN_IN_S), likeness(tab, shifted)
        tab.choose("Scene", "before")
        assert tab.wait_for(lambda: canvas(tab).mean() < 0.9 * shifted.mean(), SHOWN_IN_S)
        assert likeness(tab, expected(run, tab, shift_m=2.0, version="before")) > 0.9
        unmoved = canvas(tab)
        tab.drag((300, 400), (420, 430))
        assert tab.wait_for(lambda: likeness(tab, unmoved) < 0.9, SHOWN_IN_S), likeness(tab, unmoved)
        boxes = "[...document.querySelectorAll('input[type=checkbox]')]"
        assert tab.wait_for(lambda: tab.evaluate(f"!{boxes}[1].checked"), SHOWN_IN_S)  # it rides along no more
        tool.process.send_signal(signal.SIGINT)
        assert tool.process.wait(timeout=60) == 0
    assert "Traceback" not in "".join(tool.lines)
