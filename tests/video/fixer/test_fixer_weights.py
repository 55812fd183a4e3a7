from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_fixer import tiny_fixer, warped_window
from tiny_generator import tiny_generator

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.fixer.fixer_file import fixer_path, load_fixer, open_fixer, save_fixer
from faithfusion.video.model.fixers.fixer import fixer_inputs
from faithfusion.video.weights.generator_file import load_generator, save_generator

PROFILE = ErrorProfile((1e-5, 1e-3, 1.0), (2e-4, 3e-2))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "fixer.safetensors"
    save_fixer(path, tiny_fixer(trained=True), PROFILE, {"steps": 7})
    return path


def rewritten(path: Path, **changes: object) -> Path:
    """The same file with another header; None removes an entry."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata() | changes
    out = path.with_name("changed.safetensors")
    save_file(load_file(path), out, metadata={name: value for name, value in header.items() if value is not None})
    return out


def config_of(path: Path) -> dict[str, object]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["config"])


def test_a_fixer_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    fixer, path = tiny_fixer(trained=True), tmp_path / "exact.safetensors"
    save_fixer(path, fixer, PROFILE, {"steps": 7}, dtype="float32")
    again, profile, metadata = load_fixer(path)
    assert (again.config, profile, metadata) == (fixer.config, PROFILE, {"steps": 7})
    inputs = fixer_inputs(warped_window(1))
    assert torch.equal(again(inputs), fixer(inputs))
    assert not again.training and not any(parameter.requires_grad for parameter in again.parameters())


def test_kernels_are_stored_in_half_the_bytes_and_vectors_exactly(stored: Path) -> None:
    original, loaded = tiny_fixer(trained=True).state_dict(), load_file(stored)
    assert loaded.keys() == original.keys()
    for name, value in loaded.items():
        assert value.dtype == (torch.float32 if value.ndim < 2 else torch.bfloat16), name
        assert torch.equal(value, original[name].to(value.dtype)), name


def test_tensors_of_a_type_that_nobody_reads_are_refused(stored: Path, tmp_path: Path) -> None:
    """The header of such a file is whole: only reading the tensor fails."""
    with safe_open(stored, framework="pt") as file:
        header = {"__metadata__": file.metadata(), "body": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}
    text, path = json.dumps(header).encode(), tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(3))
    with pytest.raises(InputError, match=r"odd.safetensors: cannot be read \(.*F6_E2M3.*an intact safetensors file$"):
        load_fixer(path)


def test_it_opens_by_path_with_its_identity(stored: Path, tmp_path: Path) -> None:
    opened = open_fixer(str(stored))
    assert opened.profiles.on_renders == PROFILE and len(opened.identity) == 64
    other = tmp_path / "other.safetensors"
    save_fixer(other, tiny_fixer(1, trained=True), PROFILE, {})
    assert open_fixer(str(other)).identity != opened.identity
    assert fixer_path("fixer-tiny").name == "fixer_tiny.safetensors"


def test_other_files_are_refused_in_one_line(stored: Path, tmp_path: Path) -> None:
    config = config_of(stored)
    lacking = {name: value for name, value in config.items() if name != "unshuffle"}
    generator = tmp_path / "generator.safetensors"
    save_generator(generator, tiny_generator(), ErrorProfile(), {})
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(stored.read_bytes()[:-10])
    for make, message in (
        (lambda: tmp_path / "none.safetensors", "no such file"),
        (lambda: truncated, "cannot be read"),
        (lambda: generator, "format faithfusion.generator"),
        (lambda: rewritten(stored, version="2"), "version 2"),
        (lambda: rewritten(stored, profile=None), "lacks profile"),
        (lambda: rewritten(stored, config=json.dumps({**config, "more": 1})), "FixerConfig"),
        (lambda: rewritten(stored, config=json.dumps(lacking)), "lacks unshuffle"),
        (lambda: rewritten(stored, config=json.dumps({**config, "channels": [8, 24]})), "size mismatch"),
        (lambda: rewritten(stored, config=json.dumps({**config, "channels": [8, 16, 16]})), "lacks"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_fixer(make())
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"format faithfusion.fixer, version 1"):
        load_generator(stored)


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_fixer(tmp_path / "out.safetensors", tiny_fixer(), PROFILE, {"wrong": torch.zeros(1)})
    assert not list(tmp_path.iterdir())
