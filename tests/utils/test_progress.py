"""Progress goes to stderr, or to whoever asked for it."""

import threading

import pytest

from faithfusion.utils.progress import report_progress, track


def test_progress_is_reported_to_the_thread_that_asked(capsys: pytest.CaptureFixture[str]) -> None:
    reports: list[tuple[str, int, int]] = []
    other: list[int] = []
    with report_progress(lambda *report: reports.append(report)):
        thread = threading.Thread(target=lambda: other.extend(track([1, 2], "other")))
        thread.start()
        thread.join()
        assert list(track(["a", "b"], "letters")) == ["a", "b"]
    assert reports == [("letters", 0, 2), ("letters", 1, 2), ("letters", 2, 2)]
    assert other == [1, 2] and "other: 2/2" in capsys.readouterr().err
    assert list(track([1], "after")) == [1] and len(reports) == 3


def test_a_report_can_end_the_work() -> None:
    def stop(label: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt), report_progress(stop):
        seen.extend(item for item in track(range(9), "long"))
    with report_progress(stop):
        work = track(range(9), "long")
        assert [next(work), next(work)] == [0, 1]
