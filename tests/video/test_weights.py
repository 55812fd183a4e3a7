from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_generator import tiny_generator, tiny_window

from faithfusion.utils.errors import InputError
from faithfusion.video.composite import ErrorProfile
from faithfusion.video.model import latent_conditions
from faithfusion.video.weights import load_generator, save_generator

PROFILE = ErrorProfile((1e-4, 1e-2, 1.0), (0.001, 0.02))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "generator.safetensors"
    save_generator(path, tiny_generator(trained=True), PROFILE, {"step": 7, "clips": ["a"]}, dtype="float32")
    return path


def rewrite(path: Path, change: object) -> Path:
    with safe_open(path, framework="pt") as file:
        header, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, path, metadata=header)
    return path


@torch.no_grad()
def test_round_trip_gives_the_same_generator(saved: Path) -> None:
    original = tiny_generator(trained=True)
    loaded, profile, metadata = load_generator(saved)
    assert loaded.config == original.config and profile == PROFILE and metadata == {"step": 7, "clips": ["a"]}
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    conditions = latent_conditions(original, [tiny_window()])
    time, x_t = torch.tensor([0.5]), torch.randn_like(conditions.render_latent)
    assert torch.equal(loaded.velocity(x_t, time, conditions), original.velocity(x_t, time, conditions))


@torch.no_grad()
def test_bfloat16_halves_the_file_and_stays_close(saved: Path, tmp_path: Path) -> None:
    small, original = tmp_path / "small.safetensors", tiny_generator(trained=True)
    save_generator(small, original, PROFILE, {})
    assert small.stat().st_size < 0.7 * saved.stat().st_size
    loaded, _, _ = load_generator(small)
    conditions = latent_conditions(original, [tiny_window()])
    time, x_t = torch.tensor([0.5]), torch.randn_like(conditions.render_latent)
    expected = original.velocity(x_t, time, conditions)
    assert (loaded.velocity(x_t, time, conditions) - expected).norm() < 0.03 * expected.norm()


def test_missing_truncated_and_foreign_files_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_generator(tmp_path / "absent.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(InputError, match="faithfusion.generator"):
        load_generator(foreign)
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        load_generator(saved)


def test_wrong_tensors_are_refused(saved: Path) -> None:
    rewrite(saved, lambda _, tensors: tensors.pop("prompt"))
    with pytest.raises(InputError, match="prompt"):
        load_generator(saved)
    rewrite(saved, lambda _, tensors: tensors.update(prompt=torch.zeros(3, 3)))
    with pytest.raises(InputError, match="prompt"):
        load_generator(saved)


def test_unknown_incomplete_and_absent_configuration_is_refused(saved: Path) -> None:
    def edit(change: object) -> object:
        def apply(header: dict[str, str], _: object) -> None:
            config = json.loads(header["config"])
            change(config)
            header["config"] = json.dumps(config)

        return apply

    original = saved.read_bytes()
    rewrite(saved, edit(lambda config: config.update(extra=1)))
    with pytest.raises(InputError, match="extra"):
        load_generator(saved)
    saved.write_bytes(original)
    rewrite(saved, edit(lambda config: config["schedule"].pop("shift")))
    with pytest.raises(InputError, match="every field"):
        load_generator(saved)
    saved.write_bytes(original)
    rewrite(saved, lambda header, _: header.pop("profile"))
    with pytest.raises(InputError, match="lacks profile"):
        load_generator(saved)
