import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_generator import tiny_generator, tiny_window
from torch import nn

from faithfusion.training.callbacks.base import StepRecord
from faithfusion.training.callbacks.checkpoint import (
    checkpoint_of_step,
    last_checkpoint,
    read_state,
    refuse_change,
    require_whole,
)
from faithfusion.training.callbacks.ema import Ema, copy_weights
from faithfusion.training.callbacks.log import append_line, keep_until, peak_memory_gib
from faithfusion.training.callbacks.validation import compare, evenly_spaced, generate, reconstruct, sampler_of
from faithfusion.training.config import TrainConfig
from faithfusion.training.method_config import DistributionMatchingConfig
from faithfusion.training.run_config import EmaConfig
from faithfusion.training.start import place_for_sampling, place_for_training, twin_of
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import psnr_db
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.model.config import LoraConfig

RECORD = StepRecord({"loss": 1.0}, 1e-3, 0.0, 1.0)


def run_with(weights: list[float]) -> SimpleNamespace:
    """As much of a run as the average reads: the weight is `weights[step]`."""
    run = SimpleNamespace(is_first=True, step=0, config=SimpleNamespace(num_steps=100))
    run.engine = SimpleNamespace(
        topology=SimpleNamespace(device=torch.device("cpu")),
        weights=lambda: iter([("w", torch.tensor([weights[run.step]]))]),
    )
    return run


@pytest.mark.usefixtures("unchecked")
def test_ema_is_the_weighted_sum(tmp_path: Path) -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    run, ema = run_with(values), Ema(EmaConfig(decay=0.9, warmup=False))
    ema.start(run)
    expected = values[0]
    for run.step in (1, 2, 3):
        ema.step_done(run, RECORD)
        expected = 0.9 * expected + 0.1 * values[run.step]
    assert float(ema.weights["w"]) == pytest.approx(expected)
    ema.save(run, tmp_path)
    again = Ema(EmaConfig())
    again.load(run, tmp_path)
    again.start(run)
    assert torch.equal(again.weights["w"], ema.weights["w"]), "a loaded average is not overwritten"


@pytest.mark.usefixtures("unchecked")
def test_ema_warm_up_forgets_the_start() -> None:
    run, ema = run_with([100.0] + [1.0] * 30), Ema(EmaConfig(decay=0.999))
    ema.start(run)
    for step in range(1, 31):
        run.step = step
        ema.step_done(run, RECORD)
    assert float(ema.weights["w"]) < 1.1


def test_copied_weights_must_fit() -> None:
    module = nn.Linear(2, 2)
    copy_weights(module, {"bias": torch.ones(2)})
    assert torch.equal(module.bias, torch.ones(2))
    for wrong in ({"bias": torch.ones(3)}, {"offset": torch.ones(2)}):
        with pytest.raises(InputError, match="weight"):
            copy_weights(module, wrong)


def test_twin_owns_what_is_trained_and_shares_what_is_frozen() -> None:
    generator = tiny_generator()
    generator.requires_grad_(False)
    generator.branch.requires_grad_(True)
    twin = twin_of(generator)
    assert twin.backbone.proj_out.weight is generator.backbone.proj_out.weight
    copy_weights(twin, {"branch.gate.gain": torch.ones(1)})
    assert float(generator.branch.gate.gain.detach()) == 0.0 and float(twin.branch.gate.gain) == 1.0


def test_frozen_weights_are_rounded_and_trained_ones_are_not() -> None:
    generator = tiny_generator(trained=True, lora=LoraConfig(rank=2)).requires_grad_(False)
    generator.branch.requires_grad_(True)
    for name, parameter in generator.backbone.named_parameters():
        parameter.requires_grad_("lora" in name)
    twin, config = twin_of(generator), TrainConfig(method="codec", frozen_precision="bf16", gradient_checkpointing=True)
    place_for_training(generator, config, torch.device("cpu"))
    kinds = {name: parameter.dtype for name, parameter in generator.named_parameters()}
    assert (
        kinds["backbone.blocks.0.attn1.to_q.base_layer.weight"] == kinds["backbone.proj_out.weight"] == torch.bfloat16
    )
    assert kinds["backbone.blocks.0.attn1.to_q.lora_A.default.weight"] == torch.float32
    assert kinds["backbone.scale_shift_table"] == kinds["backbone.blocks.0.norm2.weight"] == torch.float32
    assert {kind for name, kind in kinds.items() if name.startswith(("branch", "codec"))} == {torch.float32}
    assert generator.backbone.checkpoint_blocks and generator.branch.checkpoint_blocks
    assert twin.backbone.proj_out.weight is generator.backbone.proj_out.weight, "rounded with the original"
    place_for_sampling(twin, config, torch.device("cpu"))
    assert twin.branch.projections[0].weight.dtype == torch.bfloat16
    assert generator.branch.projections[0].weight.dtype == torch.float32
    assert generate(twin, tiny_window(), SamplerConfig()).isfinite().all(), "no autocast is needed"


def test_distilled_weights_are_sampled_as_they_were_distilled() -> None:
    settings = {"distribution_matching": DistributionMatchingConfig(steps=3), "init_from": "teacher"}
    assert sampler_of(TrainConfig(method="distribution_matching", **settings)) == SamplerConfig(steps=3, renoise=True)
    assert sampler_of(TrainConfig(method="codec")) == SamplerConfig(steps=2)


def test_memory_of_this_process_is_more_than_its_tensors() -> None:
    before = peak_memory_gib(torch.device("cpu"))
    block = torch.ones(2**26)  # 256 MiB
    assert peak_memory_gib(torch.device("cpu")) >= max(before, block.numel() * 4 / 2**30)


def test_log_drops_steps_to_be_done_again_and_half_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for step in range(1, 6):
        append_line(path, {"step": step, "loss": 0.5})
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    keep_until(path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
    keep_until(tmp_path / "absent.jsonl", 3)


def test_changed_configuration_names_every_change(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        refuse_change(tmp_path, {"config": {"seed": 0, "a": {"b": 1}}}, {"config": {"seed": 2, "a": {"b": 3}}})
    assert "config.seed was 0 and is 2" in str(caught.value) and "config.a.b was 1 and is 3" in str(caught.value)
    assert "\n" not in str(caught.value)
    refuse_change(tmp_path, {"config": {"seed": 0}}, {"config": {"seed": 0}})


def test_a_half_written_checkpoint_does_not_count(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints" / "step_00000010").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".step_00000020.tmp").mkdir()
    assert last_checkpoint(tmp_path).name == "step_00000010"
    with pytest.raises(InputError, match="state"):
        read_state(last_checkpoint(tmp_path))
    (last_checkpoint(tmp_path) / "state.json").write_text('{"step": 10, "elapsed_s": 1.0, "identity": {}}')
    with pytest.raises(InputError, match="lacks files; expected .* of this version"):
        read_state(last_checkpoint(tmp_path))


def test_a_checkpoint_is_found_by_its_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoints"):
        checkpoint_of_step(tmp_path, 0)
    for step in (10, 20):
        (tmp_path / f"checkpoints/step_{step:08d}").mkdir(parents=True)
    assert checkpoint_of_step(tmp_path, 0).name == "step_00000020"
    assert checkpoint_of_step(tmp_path, 10).name == "step_00000010"
    with pytest.raises(InputError, match="expected one of the steps 10, 20"):
        checkpoint_of_step(tmp_path, 15)


def test_a_checkpoint_that_lost_a_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "student").mkdir()
    (tmp_path / "student/a.pt").write_bytes(b"1234")
    require_whole(tmp_path, {"student/a.pt": 4})
    with pytest.raises(InputError, match=r"student/b.pt: is missing; expected 7 bytes"):
        require_whole(tmp_path, {"student/a.pt": 4, "student/b.pt": 7})
    with pytest.raises(InputError, match=r"student/a.pt: has 4 bytes; expected 5"):
        require_whole(tmp_path, {"student/a.pt": 5})


def test_comparison_reads_pixels_of_high_expected_error() -> None:
    window = tiny_window()
    result = window.render.clone()
    result[:, :, 24:] = window.truth[:, :, 24:]  # expected error grows to the right
    values = compare(window, result, quantile=0.5)
    assert values["render_psnr_db"] == pytest.approx(psnr_db(window.render, window.truth))
    assert values["result_high_psnr_db"] > 60.0 > values["result_psnr_db"] > values["render_psnr_db"]


def test_reconstruction_is_the_true_clip_through_the_codec() -> None:
    window = tiny_window()
    result = reconstruct(tiny_generator(), window)
    assert result.shape == window.truth.shape and float(result.min()) >= 0.0 and float(result.max()) <= 1.0


@pytest.mark.usefixtures("unchecked")
def test_spread_over_all_windows() -> None:
    assert evenly_spaced(list(range(10)), 3) == [0, 3, 6]
    assert evenly_spaced(list(range(2)), 5) == [0, 1]
