"""The server with browsers at the other end of real sockets."""

import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("viser", reason='needs the extra: pip install -e ".[viewer]"')

from fake_browser import FakeBrowser

from faithfusion.eig.field import EigField
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track
from faithfusion.viewer import knowledge
from faithfusion.viewer.knowledge import learn
from faithfusion.viewer.render import draw
from faithfusion.viewer.run_folder import Run
from faithfusion.viewer.server import Viewer, free_port
from faithfusion.viewer.state import ViewState

STATE = ViewState("after", "colour", 0, "1", 0.0, (64, 48))


@pytest.fixture
def viewer(run: Run) -> Iterator[Viewer]:
    with Viewer(run, port=8400, width=64) as running:
        yield running


def picture(run: Run, width: int = 64, **changes: object) -> np.ndarray:
    return draw(run, dataclasses.replace(STATE, **changes), width, {}).image


def said(browser: FakeBrowser, text: str) -> bool:
    """Whether the panel shows a text."""
    return any(text in str(value) for value in list(browser.values.values()))


def test_a_browser_sees_the_recorded_view_and_what_it_asks_for(run: Run, viewer: Viewer) -> None:
    with FakeBrowser(viewer.url, (64, 48)) as browser:
        assert browser.comes_to_show(picture(run))
        start = run.clip.frame(0, "1").camera.world_from_camera[:3, 3]
        np.testing.assert_allclose(browser.pose["position"], start, atol=1e-4)
        browser.set("Shift, m left", 2.0)
        assert browser.comes_to_show(picture(run, shift_m=2.0))
        np.testing.assert_allclose(browser.pose["position"], start + torch.tensor([0.0, 2.0, 0.0]), atol=1e-4)
        browser.set("Time", 3)
        assert browser.comes_to_show(picture(run, shift_m=2.0, time_index=3))
        browser.set("Scene", "before")
        assert browser.comes_to_show(picture(run, shift_m=2.0, time_index=3, version="before"))
        browser.set("Camera", "0")
        last = {"shift_m": 2.0, "time_index": 3, "version": "before", "camera_name": "0"}
        assert browser.comes_to_show(picture(run, **last))


def test_two_browsers_do_not_disturb_each_other(run: Run, viewer: Viewer) -> None:
    with FakeBrowser(viewer.url, (64, 48)) as one, FakeBrowser(viewer.url, (96, 48)) as other:
        assert one.comes_to_show(picture(run))
        wide = {"width": 64, "canvas": (96, 48)}
        assert other.comes_to_show(picture(run, **wide))
        seen, pose = len(other.pictures), other.pose["position"]
        one.set("Scene", "before")
        one.set("Shift, m left", -3.0)
        assert one.comes_to_show(picture(run, version="before", shift_m=-3.0))
        other.set("Time", 4)
        assert other.comes_to_show(picture(run, time_index=4, **wide))
        assert one.shows(picture(run, version="before", shift_m=-3.0))
        assert all(image.shape[1] / image.shape[0] > 1.8 for image in other.pictures[seen:])
        assert other.pose["position"] != pose  # it rode on, and that is all
    with FakeBrowser(viewer.url, (64, 48)) as later:
        assert later.comes_to_show(picture(run))  # starts afresh


def test_the_mouse_takes_the_camera_and_the_panel_gives_it_back(run: Run, viewer: Viewer) -> None:
    with FakeBrowser(viewer.url, (64, 48)) as browser:
        assert browser.comes_to_show(picture(run))
        riding = picture(run)
        down = (0.0, 1.0, 0.0, 0.0)  # turned by 180 degrees about x: looks along -z
        for height_m in (29.0, 29.5, 30.0):
            browser.send_pose((0.0, 0.0, height_m), down)
        ride = browser.controls["Ride along"]
        assert browser.wait_for(lambda: browser.values.get(ride, {}).get("value") is False)

        def from_elsewhere() -> bool:
            return browser.pictures[-1].shape == riding.shape and not browser.shows(riding, 20.0)

        assert browser.wait_for(from_elsewhere)
        from_above = browser.pictures[-1]
        browser.set("Time", 2)  # the camera stays where it is
        browser.wait_for(lambda: False, 1.0)
        assert browser.comes_to_show(from_above, 8.0)
        browser.set("Ride along", True)
        assert browser.comes_to_show(picture(run, time_index=2))


def test_playing_goes_through_the_drive(run: Run, viewer: Viewer) -> None:
    with FakeBrowser(viewer.url, (64, 48)) as browser:
        assert browser.comes_to_show(picture(run))
        time_control = browser.controls["Time"]
        browser.set("Play", True)
        seen: set[int] = set()

        def all_times() -> bool:
            seen.add(browser.values.get(time_control, {}).get("value", 0))
            return len(seen) >= 4

        assert browser.wait_for(all_times)
        browser.set("Play", False)
        browser.wait_for(lambda: False, 0.7)
        stopped_at = browser.values[time_control]["value"]
        assert browser.comes_to_show(picture(run, time_index=stopped_at))


def test_colours_do_not_wait_for_the_posterior_and_eig_comes_with_it(
    run: Run, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()

    def learn_late(run: Run, name: str) -> EigField:
        for _ in track(range(3), "images"):
            may_go_on.wait(60.0)
        return learn(run, name)

    monkeypatch.setattr(knowledge, "learn", learn_late)
    with FakeBrowser(viewer.url, (64, 48)) as browser:
        assert browser.comes_to_show(picture(run))
        browser.set("Show", "EIG")
        assert browser.wait_for(lambda: said(browser, "images of 'after': image 0 of 3"))
        browser.set("Shift, m left", 2.0)
        assert browser.comes_to_show(picture(run, shift_m=2.0))
        assert not said(browser, "nats")  # no bar without numbers
        may_go_on.set()
        known = {"after": learn(run, "after")}
        state = dataclasses.replace(STATE, quantity="EIG", shift_m=2.0)
        assert browser.comes_to_show(draw(run, state, 64, known).image, 8.0)
        assert browser.wait_for(lambda: said(browser, "gain, nats"))


def test_what_nobody_waits_for_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    at = threading.Event()

    def learn_for_ever(run: Run, name: str) -> EigField:
        for _ in track(range(10**9), "images"):
            at.set()
            time.sleep(0.01)
        return learn(run, name)

    monkeypatch.setattr(knowledge, "learn", learn_for_ever)
    learner = knowledge.Learner(run)
    learner.ask("after")
    assert at.wait(30.0)
    learner.close()  # would hang
    assert not learner.known and not learner.progress["after"].failed


def test_no_eig_is_said_and_colours_go_on(run: Run) -> None:
    version = dataclasses.replace(run.versions["after"], metadata={"calibration": {}, "assessed_on": {}})
    broken = dataclasses.replace(run, versions={"after": version})
    with Viewer(broken, port=8400, width=64) as viewer, FakeBrowser(viewer.url, (64, 48)) as browser:
        assert browser.comes_to_show(picture(run))
        browser.set("Show", "EIG")
        assert browser.wait_for(lambda: said(browser, "no EIG of 'after'"))
        browser.set("Shift, m left", 1.0)
        assert browser.comes_to_show(picture(run, shift_m=1.0))


def test_a_taken_port_leads_to_the_next(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) > port
        with Viewer(run, port=port, width=64) as viewer:
            assert viewer.port > port and str(viewer.port) in viewer.url
    with pytest.raises(InputError, match="--host"):
        free_port("203.0.113.7", 8400)


def test_closing_ends_every_thread(run: Run) -> None:
    before = set(threading.enumerate())
    with Viewer(run, port=8400, width=64) as viewer, FakeBrowser(viewer.url, (64, 48)) as browser:
        assert browser.wait_for(lambda: browser.pictures)
        viewer.close()
        names = {thread.name for thread in set(threading.enumerate()) - before}
        assert not names & {"pictures", "posterior"}


def test_only_the_server_imports_viser() -> None:
    folder = Path(__file__).resolve().parents[2] / "faithfusion" / "viewer"
    users = [path.name for path in folder.rglob("*.py") if "import viser" in path.read_text()]
    assert users == ["server.py"]
