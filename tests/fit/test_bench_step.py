"""tools/bench.py step: every kind of work of a step is in the table."""

from __future__ import annotations

import pytest
import torch

from faithfusion.cli.bench import main

WHOLE = ("step of the fit", "step of the distillation", "step of the fit, all else")


def test_a_step_is_measured_by_kind_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_num_threads()
    options = {"sizes": [[600, 48, 32]], "repetitions": 3, "threads": [1]}
    main(["step", *(f"--{name}={value}" for name, value in options.items())])
    assert torch.get_num_threads() == before
    described, head, _, *lines = capsys.readouterr().out.strip().splitlines()
    assert described.startswith("600 Gaussians at 48x32 on cpu (warp, ") and head.count("|") == 6
    cells_of = {name.strip(): cells for _, name, *cells, _ in (line.split("|") for line in lines)}
    rows = {name: [float(cell) for cell in cells[:3]] for name, cells in cells_of.items()}
    peaks = {name: float(cells[3]) for name, cells in cells_of.items() if cells[3].strip()}
    assert set(peaks) == set(WHOLE[:2]) and min(peaks.values()) > 50  # MiB; torch alone takes more
    assert all(least <= median <= most for least, median, most in rows.values())
    both = ("nodes and exposure", "sky", "projection", "blending", "losses of the picture", "ground loss")
    assert set(rows) == {*both, *(f"{name}, backward" for name in both), "tiles", "statistics", "Adam", *WHOLE}
    assert rows["step of the fit"][1] > rows["blending"][0] + rows["projection"][0] > 0
