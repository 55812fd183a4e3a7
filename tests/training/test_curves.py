from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from faithfusion.cli.training_curves import main
from faithfusion.training.curves import read_curves, smoothed
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import read_image


def write_run(folder: Path, steps: int, validations: int) -> Path:
    folder.mkdir()
    rows = [{"step": n + 1, "loss": 1.0 / (n + 1), "elapsed_s": 3.0 * n} for n in range(steps)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    marks = [{"step": 10 * n, "render_psnr_db": 20.0, "result_psnr_db": 20.0 + n} for n in range(validations)]
    (folder / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in marks))
    return folder


def test_running_mean_against_loops() -> None:
    values = np.random.default_rng(0).random(9)
    expected = [values[max(0, n - 3) : n + 1].mean() for n in range(9)]
    np.testing.assert_allclose(smoothed(values, 4), expected)


def test_a_row_per_run(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a", 30, 3), write_run(tmp_path / "b", 5, 0)]
    assert len(read_curves(runs[0]).training) == 30 and read_curves(runs[1]).validation == []
    heights = []
    for count in (1, 2):
        out = tmp_path / f"{count}.png"
        main(["--runs", *map(str, runs[:count]), "--out", str(out)])
        picture = read_image(out)
        assert picture.std() > 0.01
        heights.append(picture.shape[0])
    assert heights[1] == 2 * heights[0]


def test_refusals(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", 3, 0)
    with pytest.raises(InputError, match=r"--out.*\.png"):
        main(["--runs", str(run), "--out", str(tmp_path / "a.svg")])
    with pytest.raises(InputError, match=r"log\.jsonl: no steps"):
        main(["--runs", str(tmp_path), "--out", str(tmp_path / "a.png")])
    (run / "log.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match="no object"):
        main(["--runs", str(run), "--out", str(tmp_path / "a.png")])
    assert not (tmp_path / "a.png").exists()
