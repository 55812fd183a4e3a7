from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from tiny_generator import tiny_generator, tiny_window
from torch import Tensor, nn

from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig, VideoEditorConfig
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.editing.sample import sample
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.model.config import BranchConfig, ConditioningConfig, LoraConfig, ScheduleConfig
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.memory import (
    FLOAT32_PARTS,
    HOOK,
    apply_memory,
    at_work,
    cast_weights,
    fetch_ahead,
    linear_layers,
    offload_layers,
    own_modules,
)
from faithfusion.video.model.memory_config import MemoryConfig
from faithfusion.video.plan.plan_bytes import offload_groups, resident_bytes

CPU = torch.device("cpu")
BRANCHES = {"dit": BranchConfig("dit", 2, references=True), "vace": BranchConfig("vace", 3, depth=True)}


def generator_with(branch: str = "dit", seed: int = 0, **changes: object) -> Generator:
    """Some of the tokens of `tiny_window` have phi = 0. There is a negative prompt."""
    parts = {"schedule": ScheduleConfig(path="bridge"), "conditioning": ConditioningConfig(certain_rms=0.02)}
    generator = tiny_generator(seed, trained=True, branch=BRANCHES[branch], **parts, **changes)
    generator.negative_prompt = 1.0 - generator.prompt.detach()
    return generator


@torch.no_grad()
def sampled(generator: Generator, *, sparse: bool = False) -> Tensor:
    conditions = latent_conditions(generator, [tiny_window(poses=True)])
    config = SamplerConfig(steps=2, sparse=sparse, guidance=1.5)
    return sample(generator, conditions, config, torch.Generator().manual_seed(1))


# offloading


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("offload", ["parts", "blocks", "leaves"])
@pytest.mark.parametrize("sparse", [False, True])
def test_offloading_changes_no_output(branch: str, offload: str, sparse: bool) -> None:
    generator = generator_with(branch, lora=LoraConfig(rank=2))
    before = sampled(generator, sparse=sparse)
    config = MemoryConfig(offload=offload)
    apply_memory(generator, config, CPU)
    with at_work(generator.backbone, config, CPU), at_work(generator.branch, config, CPU):
        assert torch.equal(sampled(generator, sparse=sparse), before)


@pytest.mark.parametrize("offload", ["blocks", "leaves"])
def test_weights_that_wait_on_disk_are_read_for_every_use(offload: str, tmp_path: Path) -> None:
    """diffusers leaves uninitialised memory in place of weights on disk: a hook that did not fire would show."""
    generator = generator_with("vace")
    before = sampled(generator)
    apply_memory(generator, MemoryConfig(offload=offload, offload_folder=str(tmp_path)), CPU)
    groups = offload_groups(generator, offload)
    assert len(list(tmp_path.glob("*/*.safetensors"))) == len(groups)
    with torch.no_grad():
        for group in groups:
            for parameter in group:
                parameter.fill_(float("nan"))
    assert torch.equal(sampled(generator), before)


def test_a_folder_in_which_another_run_left_its_weights(tmp_path: Path) -> None:
    config = MemoryConfig(offload="blocks", offload_folder=str(tmp_path))
    first, second = generator_with(seed=0), generator_with(seed=1)
    before = sampled(first), sampled(second)
    for generator in (first, second):
        apply_memory(generator, config, CPU)
    assert not torch.equal(*before)
    assert torch.equal(sampled(first), before[0]) and torch.equal(sampled(second), before[1])


def test_the_folder_is_left_as_it_was(tmp_path: Path) -> None:
    generator = generator_with()
    apply_memory(generator, MemoryConfig(offload="leaves", offload_folder=str(tmp_path / "new")), CPU)
    assert len(list((tmp_path / "new").iterdir())) == 1
    del generator
    gc.collect()
    assert list((tmp_path / "new").iterdir()) == []


class Spy:
    """Which groups have their weights on the card, as diffusers' hooks bring and take them."""

    def __init__(self, groups: list[nn.Module]) -> None:
        self.present: set[int] = set()
        self.most = self.fetches = 0
        self.order: list[int] = []
        for index, module in enumerate(groups):
            group = module._diffusers_hook.get_hook(HOOK).group
            group.onload_ = self._wrapped(group.onload_, index, True)
            group.offload_ = self._wrapped(group.offload_, index, False)

    def _wrapped(self, move_weights: object, index: int, arrives: bool) -> object:
        def moved() -> None:
            move_weights()
            if arrives:
                self.fetches += 1
                self.order.append(index)
                self.present.add(index)
            else:
                self.present.discard(index)
            self.most = max(self.most, len(self.present))

        return moved


def modules_of(generator: Generator, offload: str) -> list[nn.Module]:
    blocks = [*generator.branch.blocks, *generator.backbone.blocks]
    return blocks if offload == "blocks" else [layer for block in blocks for layer in linear_layers(block)]


@pytest.mark.parametrize("offload", ["blocks", "leaves"])
@pytest.mark.parametrize("ahead", [False, True])
def test_few_groups_are_there_at_a_time_and_each_in_its_turn(offload: str, ahead: bool) -> None:
    generator = generator_with("vace", lora=LoraConfig(rank=2))
    config = MemoryConfig(offload=offload)
    offload_layers([generator.branch.blocks, generator.backbone.blocks], config, CPU)
    modules = modules_of(generator, offload)
    if ahead:
        fetch_ahead(modules)
    spy = Spy(modules)
    conditions = latent_conditions(generator, [tiny_window(poses=True)])
    generator.velocity(conditions.render_latent, torch.ones(1), conditions)
    assert not spy.present and spy.most == (2 if ahead else 1)
    assert list(dict.fromkeys(spy.order)) == list(range(len(modules)))


@pytest.mark.parametrize("offload", ["blocks", "leaves"])
def test_bytes_on_the_card_are_those_that_are_not_in_groups_and_two_groups(offload: str) -> None:
    generator = generator_with("vace")
    groups = [sum(p.numel() * 4 for p in module.parameters()) for module in modules_of(generator, offload)]
    outside = set(generator.backbone.parameters()) | set(generator.branch.parameters())
    for module in modules_of(generator, offload):
        outside -= set(module.parameters())
    rest = sum(p.numel() * 4 for p in outside) + generator.prompt.numel() * 4
    pairs = [groups[i] + groups[i + 1] for i in range(len(groups) - 1)]
    assert resident_bytes(generator, offload).transformer == rest + max(pairs)
    codec = sum(p.numel() * 4 for p in generator.codec.parameters()) + generator.prompt.numel() * 4
    assert resident_bytes(generator, offload).codec == codec
    assert resident_bytes(generator, offload).copied == sum(groups)
    assert [sum(t.numel() * 4 for t in group) for group in offload_groups(generator, offload)] == groups


@pytest.mark.parametrize("offload", ["blocks", "leaves"])
def test_only_what_is_not_offloaded_moves_with_its_part(offload: str) -> None:
    generator = generator_with()
    offload_layers([generator.branch.blocks, generator.backbone.blocks], MemoryConfig(offload=offload), CPU)
    held = {id(p) for module in modules_of(generator, offload) for p in module.parameters()}
    for part in (generator.backbone, generator.branch):
        moving = {id(p) for module in own_modules(part) for p in module.parameters(recurse=False)}
        assert moving == {id(p) for p in part.parameters()} - held
        buffers = {id(b) for module in own_modules(part) for b in module.buffers(recurse=False)}
        assert buffers == {id(b) for b in part.buffers()}


def test_an_editor_that_offloads_gives_the_same_frames() -> None:
    window = tiny_window(9, poses=True)
    frames = []
    for offload in ("none", "parts", "blocks", "leaves"):
        config = VideoEditorConfig(memory=MemoryConfig(offload=offload), window_frames=5)
        generator = generator_with()
        apply_memory(generator, config.memory, CPU)
        frames.append(VideoEditor(generator, config, ErrorProfile()).edit(window).frames)
    assert all(torch.equal(other, frames[0]) for other in frames[1:])


# precision


@pytest.mark.parametrize("branch", BRANCHES)
def test_bf16_keeps_norms_and_times_exact_and_is_close(branch: str) -> None:
    generator = generator_with(branch, lora=LoraConfig(rank=2))
    before = sampled(generator)
    cast_weights(generator, MemoryConfig(dtype="bf16"), CPU)
    for name, parameter in [*generator.backbone.named_parameters(), *generator.branch.named_parameters()]:
        kept = any(part in FLOAT32_PARTS for part in name.split("."))
        assert parameter.dtype == (torch.float32 if kept else torch.bfloat16), name
    error = (sampled(generator) - before).std() / before.std()
    assert 0.0 < error < 0.02


def test_auto_is_float32_on_a_cpu_and_bf16_on_cuda() -> None:
    generator = generator_with()
    cast_weights(generator, MemoryConfig(), CPU)
    assert {p.dtype for p in generator.parameters()} == {torch.float32}
    cast_weights(generator, MemoryConfig(), torch.device("cuda"))
    assert generator.backbone.proj_out.weight.dtype == torch.bfloat16
    assert {p.dtype for p in generator.codec.parameters()} == {torch.float32}


@torch.no_grad()
def test_a_codec_in_bf16_takes_and_gives_float32() -> None:
    generator, video = generator_with(), torch.rand(1, 3, 5, 32, 48) * 2 - 1
    before = generator.codec.decode(generator.codec.encode(video))
    cast_weights(generator, MemoryConfig(codec_dtype="bf16"), CPU)
    after = generator.codec.decode(generator.codec.encode(video))
    assert after.dtype == torch.float32 and 0.0 < (after - before).abs().max() < 0.1


# on a card


@pytest.mark.gpu
@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("offload", ["none", "parts", "blocks", "leaves"])
@pytest.mark.parametrize("sparse", [False, True])
def test_every_weight_is_on_the_card_when_it_is_needed(
    branch: str, offload: str, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    device, config = torch.device("cuda"), MemoryConfig(offload=offload, dtype="fp32")
    generator = generator_with(branch, lora=LoraConfig(rank=2))
    window, how = tiny_window(poses=True), SamplerConfig(steps=2, sparse=sparse, guidance=1.5)
    with torch.no_grad():
        conditions = latent_conditions(generator, [window])
    expected = sample(generator, conditions, how, torch.Generator().manual_seed(1))
    apply_memory(generator, config, device)
    with torch.no_grad():
        with at_work(generator.codec, config, device):
            conditions = latent_conditions(generator, [window])
        for _ in range(2):  # the second time with prefetching in full swing
            with at_work(generator.backbone, config, device), at_work(generator.branch, config, device):
                result = sample(generator, conditions, how, torch.Generator().manual_seed(1))
            torch.testing.assert_close(result.cpu(), expected, atol=1e-3, rtol=1e-3)
    if offload != "none":
        assert {p.device.type for p in [*generator.backbone.parameters(), *generator.codec.parameters()]} == {"cpu"}
