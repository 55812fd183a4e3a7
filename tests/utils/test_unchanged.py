"""What makes a finished run unfinished: any change of an input, of an output or of the configuration."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from faithfusion.utils.unchanged import inputs_key, is_finished, note_finished


@dataclass(frozen=True)
class Options:
    """Names a folder and a YAML file, which names another file."""

    drive: str
    weights: str
    steps: int = 3


@pytest.fixture
def options(tmp_path: Path) -> Options:
    for name in ("drive/images/000.jpg", "prompt.txt", "own.py", "out/scene.ply"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("content")
    (tmp_path / "weights.yaml").write_text(f"model: {{prompt: {tmp_path}/prompt.txt, kind: '{tmp_path}/own.py:Own'}}")
    return Options(str(tmp_path / "drive"), str(tmp_path / "weights.yaml"))


def test_a_run_is_finished_until_an_output_changes(options: Options, tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", inputs_key(options)
    assert not is_finished(out, options)
    note_finished(out, inputs)
    assert is_finished(out, options)
    assert not is_finished(out, Options(options.drive, options.weights, steps=4))
    (out / "more.txt").write_text("")
    assert not is_finished(out, options)
    (out / "more.txt").unlink()
    assert is_finished(out, options)
    (out / "scene.ply").unlink()
    assert not is_finished(out, options)


@pytest.mark.parametrize("name", ["drive/images/000.jpg", "prompt.txt", "own.py", "weights.yaml"])
def test_every_named_file_counts_and_its_time_too(options: Options, tmp_path: Path, name: str) -> None:
    before, path = inputs_key(options), tmp_path / name
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # the same size and content
    assert inputs_key(options) != before


def test_new_files_of_a_named_folder_count(options: Options, tmp_path: Path) -> None:
    before = inputs_key(options)
    (tmp_path / "drive" / "images" / "001.jpg").write_text("content")
    assert inputs_key(options) != before
