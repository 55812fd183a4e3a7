from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_generator import tiny_generator, tiny_window
from tiny_public_weights import public_config, write_public_weights

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.model.config import LoraConfig, PretrainedConfig
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import lora_names
from faithfusion.video.weights.assemble import assemble_generator
from faithfusion.video.weights.generator_file import load_generator, save_generator, stored_sampler
from faithfusion.video.weights.open_generator import open_generator

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


def test_wrong_tensors_are_refused(saved: Path) -> None:
    rewrite(saved, lambda _, tensors: tensors.pop("prompt"))
    with pytest.raises(InputError, match="prompt"):
        load_generator(saved)
    rewrite(saved, lambda _, tensors: tensors.update(prompt=torch.zeros(3, 3)))
    with pytest.raises(InputError, match="prompt"):
        load_generator(saved)


def edited(change: object) -> object:
    """A change of the configuration in the header, for `rewrite`."""

    def apply(header: dict[str, str], _: object) -> None:
        config = json.loads(header["config"])
        change(config)
        header["config"] = json.dumps(config)

    return apply


def test_unknown_incomplete_and_absent_configuration_is_refused(saved: Path) -> None:
    original = saved.read_bytes()
    rewrite(saved, edited(lambda config: config.update(extra=1)))
    with pytest.raises(InputError, match="extra"):
        load_generator(saved)
    saved.write_bytes(original)
    rewrite(saved, edited(lambda config: config["schedule"].pop("shift")))
    with pytest.raises(InputError, match="lacks schedule.shift; expected every field"):
        load_generator(saved)
    saved.write_bytes(original)
    rewrite(saved, edited(lambda config: config["wan"].update(num_layers="3")))
    with pytest.raises(InputError, match="num_layers"):
        load_generator(saved)
    saved.write_bytes(original)
    rewrite(saved, lambda header, _: header.pop("profile"))
    with pytest.raises(InputError, match="lacks profile"):
        load_generator(saved)


def test_fields_younger_than_the_file_have_their_defaults(saved: Path) -> None:
    def older(config: dict) -> None:
        for name in ("pretrained", "lora", "attention"):
            del config[name]
        del config["schedule"]["path"], config["branch"]["init"], config["wan"]["eps"]

    rewrite(saved, edited(older))
    loaded, _, _ = load_generator(saved)
    assert loaded.config == tiny_generator().config


@torch.no_grad()
def velocity(generator: Generator) -> torch.Tensor:
    conditions = latent_conditions(generator, [tiny_window()])
    noise = torch.randn(conditions.render_latent.shape, generator=torch.Generator().manual_seed(1))
    return generator.velocity(noise, torch.tensor([0.5]), conditions)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return write_public_weights(tmp_path / "public")


def trained_on(public: Path, **changes: object) -> Generator:
    """A generator on public weights whose own parts are no longer as they started."""
    generator = assemble_generator(public_config(public, **changes)).eval()
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.startswith("branch") or "lora" in name:
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return generator


def test_public_weights_stay_where_they_are(public: Path, tmp_path: Path) -> None:
    generator, path = trained_on(public, lora=LoraConfig(rank=2)), tmp_path / "ours.safetensors"
    save_generator(path, generator, PROFILE, {}, dtype="float32")
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
    own = {name for name in generator.state_dict() if name.startswith("branch.") or name == "prompt"}
    assert names == own | set(lora_names(generator))
    loaded, _, _ = load_generator(path)
    assert torch.equal(velocity(loaded), velocity(generator))
    (public / "prompt.safetensors").unlink()  # the embedding is in the file
    assert torch.equal(load_generator(path)[0].prompt, generator.prompt)


def test_public_weights_may_lie_elsewhere_but_must_be_the_same(public: Path, tmp_path: Path) -> None:
    generator, path = trained_on(public), tmp_path / "ours.safetensors"
    save_generator(path, generator, PROFILE, {}, dtype="float32")
    moved = public.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="public"):
        load_generator(path)
    assert torch.equal(velocity(open_generator(str(path), str(moved)).generator), velocity(generator))
    torch.manual_seed(5)
    other = write_public_weights(tmp_path / "other")
    with pytest.raises(InputError, match=r"was trained on public model \w+; expected \w+, which is .*other") as caught:
        load_generator(path, PretrainedConfig(model=str(other)))
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(public: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    save_generator(path, trained_on(public), PROFILE, {}, dtype="float32")
    rewrite(path, edited(lambda config: config["branch"].update(depth=True)))
    with pytest.raises(InputError, match=r"branch.patch_embedding.weight|size mismatch"):
        load_generator(path)
    rewrite(path, edited(lambda config: config["branch"].update(depth=False, references=True)))
    with pytest.raises(InputError, match=r"lacks \['branch.references"):
        load_generator(path)


def test_distilled_weights_bring_their_sampler() -> None:
    mine = SamplerConfig(steps=9, guidance=2.0)
    assert stored_sampler({}, mine) == mine
    assert stored_sampler({"sampler": {"path": "bridge", "shift": 3.0}}, mine) == mine
    distilled = {"sampler": {"path": "bridge", "steps": 4, "renoise": True, "times": [1.0, 0.75]}}
    assert stored_sampler(distilled, mine) == SamplerConfig(steps=4, renoise=True, guidance=2.0)
    mean = {"sampler": {"path": "bridge", "steps": 1, "temperature": 0.0}}
    assert stored_sampler(mean, mine) == SamplerConfig(steps=1, temperature=0.0, guidance=2.0)
