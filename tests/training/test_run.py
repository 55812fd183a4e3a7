"""Whole runs of train.py: every method, every launcher, and refused input."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from tiny_generator import tiny_generator
from tiny_public_weights import public_config, write_public_weights
from tiny_training import (
    REPOSITORY,
    SCRIPT,
    debug_options,
    environment,
    launcher,
    logged,
    write_codec,
    write_pairs,
    write_trained,
)

from faithfusion.cli.train_video import main
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.model.config import LoraConfig
from faithfusion.video.weights.generator_file import load_generator, stored_sampler

BRANCH = {"flow__trainable": "branch"}
DISTIL = {"method": "distribution_matching", "codec_from": "", "distribution_matching__critic_updates": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "pairs")
    write_codec(tmp_path / "codec.safetensors")
    return tmp_path


def test_codec_then_flow_gives_a_generator(folder: Path) -> None:
    held_out = {"data__held_out_shards": 1}
    main(debug_options(folder, run=folder / "codec", method="codec", codec_from="", **held_out))
    codec, profile, metadata = load_generator(folder / "codec/generator.safetensors")
    assert profile == ErrorProfile() and metadata["steps"] == 4
    assert not torch.equal(codec.codec.latents_std, torch.ones(8)), "latent statistics are measured"
    main(debug_options(folder, codec_from=folder / "codec/generator.safetensors", **held_out))
    trained, profile, metadata = load_generator(folder / "run/generator.safetensors")
    assert len(profile.editor_sq_error) > 1 and metadata["profile_measured_on"] == "held-out windows"
    before = codec.codec.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in trained.codec.state_dict().items())
    assert (folder / "run/validation/step_00000002.mp4").stat().st_size > 0
    assert logged(folder / "run", "step") == [1, 2, 3, 4]
    assert len((folder / "run/validation.jsonl").read_text().splitlines()) == 2


def test_the_log_has_throughput_memory_and_loss_by_decile(folder: Path) -> None:
    main(debug_options(folder, num_steps=2, log__tensorboard=True, data__held_out_shards=1))
    last = json.loads((folder / "run/log.jsonl").read_text().splitlines()[-1])
    tokens = 2 * 2 * (32 // 16) * (48 // 16)  # windows, latent frames, rows, columns
    assert last["tokens_per_s"] / last["steps_per_s"] == pytest.approx(tokens)
    assert last["peak_memory_gib"] > 0.1
    assert {f"loss_eig_decile_{index}" for index in range(10)} < last.keys()
    assert list((folder / "run/tensorboard").glob("events*"))


def test_branch_and_low_rank_updates_are_trained_and_nothing_else(folder: Path) -> None:
    teacher = write_trained(folder / "start.safetensors")
    settings = {"init_from": teacher, "codec_from": "", "flow__trainable": "branch", "generator__lora__rank": 2}
    settings |= {"optimizer__warmup_steps": 0, "optimizer__learning_rate": 1e-2, "validation__every_steps": 0}
    main(debug_options(folder, **settings))
    before, after = tiny_generator(trained=True).state_dict(), load_generator(folder / "run/generator.safetensors")[0]
    changed = set()
    for name, value in after.state_dict().items():
        old = before.get(name.replace(".base_layer", ""))
        if "lora_B" in name:
            assert value.abs().max() > 0, name
        elif "lora" not in name and not torch.equal(value, old if value.ndim < 2 else old.bfloat16().float()):
            changed.add(name.split(".")[0])
    assert changed == {"branch"} and after.config.lora == LoraConfig(rank=2)
    main(debug_options(folder, run=folder / "recomputed", gradient_checkpointing=True, **settings))
    assert logged(folder / "recomputed") == logged(folder / "run")


def test_half_precision_gives_about_the_same_losses(folder: Path) -> None:
    settings = {"init_from": write_trained(folder / "start.safetensors"), "codec_from": ""}
    settings |= {"flow__trainable": "branch", "optimizer__learning_rate": 1e-3, "validation__every_steps": 0}
    main(debug_options(folder, **settings))
    for name, kinds in {"frozen": {"frozen_precision": "bf16"}, "all": {"precision": "bf16"}}.items():
        main(debug_options(folder, run=folder / name, **settings, **kinds))
        assert logged(folder / name) == pytest.approx(logged(folder / "run"), rel=0.02)
        assert logged(folder / name) != logged(folder / "run")


def test_distillation_gives_a_generator_that_knows_its_steps(folder: Path) -> None:
    teacher = write_trained(folder / "teacher.safetensors", schedule__path="bridge")
    settings = {"init_from": teacher, "generator__schedule__path": "bridge", "data__held_out_shards": 1}
    main(debug_options(folder, **DISTIL, **settings, distribution_matching__steps=3))
    last = json.loads((folder / "run/log.jsonl").read_text().splitlines()[-1])
    assert {"loss", "matching", "squared_error", "critic_loss", "critic_gradient_norm"} < last.keys()
    _, _, metadata = load_generator(folder / "run/generator.safetensors")
    sampler = metadata["sampler"]
    assert sampler["steps"] == 3 and sampler["renoise"] and sampler["path"] == "bridge"
    assert sampler["times"][0] == 1.0 and len(sampler["times"]) == 3 and sampler["times"][2] == pytest.approx(0.1)
    assert stored_sampler(metadata, SamplerConfig()) == SamplerConfig(steps=3, renoise=True)
    assert (folder / "run/validation/step_00000002.mp4").stat().st_size > 0


def public_options(folder: Path, **options: object) -> list[str]:
    """A training configuration on public weights, with `generator` as the YAML file has it."""
    config = yaml.safe_load((REPOSITORY / "configs/train_video/debug.yaml").read_text())
    config["generator"] = to_plain(public_config(folder / "public"))
    config["flow"] = {"trainable": "branch"}
    (folder / "public.yaml").write_text(yaml.safe_dump(config))
    settings = {"codec_from": "", "validation__every_steps": 0, "data__held_out_shards": 1, **options}
    return ["--config", str(folder / "public.yaml"), *debug_options(folder, **settings)[2:]]


def test_public_weights_are_trained_on_and_left_out_of_the_file(folder: Path) -> None:
    write_public_weights(folder / "public")
    main(public_options(folder))
    path = folder / "run/generator.safetensors"
    with safe_open(path, framework="pt") as file:
        assert {name.split(".")[0] for name in file.keys()} == {"branch", "prompt"}  # noqa: SIM118
    assert load_generator(path)[2]["steps"] == 4
    main(public_options(folder, run=folder / "distilled", init_from=path, **{**DISTIL, "num_steps": 1}))
    assert load_generator(folder / "distilled/generator.safetensors")[2]["sampler"]["steps"] == 4


def test_diverged_run_stops_and_keeps_earlier_checkpoints(folder: Path) -> None:
    wild = {"optimizer__learning_rate": 1e30, "optimizer__warmup_steps": 0, "checkpoint__every_steps": 1}
    with pytest.raises(InputError, match=r"step \d: loss .*; expected finite") as caught:
        main(debug_options(folder, validation__every_steps=0, **wild))
    assert "\n" not in str(caught.value)
    finite = logged(folder / "run", "loss")
    assert 0 < len(finite) < 4 and all(math.isfinite(loss) for loss in finite)
    assert [path.name for path in sorted((folder / "run/checkpoints").glob("*"))][-1] == f"step_{len(finite):08d}"
    assert not (folder / "run/generator.safetensors").exists()


def test_time_limit_ends_a_run_with_an_export(folder: Path) -> None:
    options = {"validation__every_steps": 0, "optimizer__warmup_steps": 1}  # the rate falls from the start
    main(debug_options(folder, num_steps=100000, max_minutes=0.02, **options))
    rates = logged(folder / "run", "learning_rate")
    assert 1 < len(rates) < 100000 and rates[-1] < max(rates)
    assert load_generator(folder / "run/generator.safetensors")[2]["steps"] == len(rates)


def test_latents_are_encoded_once(folder: Path) -> None:
    main(debug_options(folder, num_steps=1, data__cache=folder / "cache"))
    files = {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*.safetensors")}
    assert len(files) == 4
    main(debug_options(folder, num_steps=1, data__cache=folder / "cache", run=folder / "again"))
    assert {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*.safetensors")} == files


def test_dry_run_checks_and_writes_nothing(folder: Path) -> None:
    main([*debug_options(folder), "--dry-run"])
    assert not (folder / "run").exists()


def refused(folder: Path, message: str, options: list[str]) -> None:
    """One line, and no run folder."""
    with pytest.raises(InputError, match=message) as caught:
        main(options)
    assert "\n" not in str(caught.value)
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("codec .*architecture", {"generator__codec__latent_channels": 4}),
        ("no such folder", {"data__train": "nothing"}),
        ("codec_from: empty", {"codec_from": ""}),
        ("init_from: empty", {"method": "distribution_matching"}),
        ("nothing.safetensors: no such file", {"codec_from": "nothing.safetensors"}),
        ("nothing.safetensors", {"generator__pretrained__prompt": "nothing.safetensors"}),
        ("flow.trainable: all with generator.lora.rank 2", {"generator__lora__rank": 2}),
        ("all with generator.pretrained.model", {"generator__pretrained__model": "nothing", "codec_from": ""}),
        ("nothing", {"generator__pretrained__model": "nothing", "codec_from": "", **BRANCH}),
        ("codec_from: .*; expected none beside nothing", {"generator__pretrained__codec": "nothing"}),
        ("method: codec", {"generator__pretrained__codec": "nothing", "method": "codec", "codec_from": ""}),
        (
            "lora.targets",
            {"generator__lora__rank": 2, "generator__lora__targets": "[to_x]", "flow__trainable": "branch"},
        ),
        ("none.json: cannot be read", {"deepspeed": "none.json"}),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(folder: Path, message: str, options: dict) -> None:
    refused(folder, message, debug_options(folder, **options))


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    start = write_trained(folder / "start.safetensors", wan__num_layers=4)
    refused(folder, "start.safetensors: wan .*num_layers=4", debug_options(folder, init_from=start, codec_from=""))
    hold = write_trained(folder / "hold.safetensors")
    options = debug_options(folder, init_from=hold, generator__schedule__path="bridge", **DISTIL)
    refused(folder, "hold.safetensors: schedule .*hold", options)
    with_lora = write_trained(folder / "lora.safetensors", lora=LoraConfig(rank=4))
    options = debug_options(folder, init_from=with_lora, codec_from="", flow__trainable="branch")
    refused(folder, "lora.safetensors: lora .*rank=4", options)


def test_damaged_shards_and_contradicting_files_are_refused(folder: Path) -> None:
    contradiction = folder / "ds.json"
    contradiction.write_text(json.dumps({"train_micro_batch_size_per_gpu": 7}))
    refused(folder, "train_micro_batch_size_per_gpu: 7; expected 2", debug_options(folder, deepspeed=contradiction))
    shard = folder / "pairs/street_1.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1000])
    refused(folder, "street_1", debug_options(folder))
    shutil.rmtree(folder / "pairs")
    refused(folder, "pairs: no such folder", debug_options(folder))


def test_public_weights_of_another_model_are_refused(folder: Path) -> None:
    write_public_weights(folder / "public")
    options = public_options(folder, generator__wan__num_layers=8)
    refused(folder, "layers 6; expected the configured model: layers 8", options)
    refused(folder, "no such file", public_options(folder, generator__pretrained__prompt=folder / "none.safetensors"))


@pytest.mark.slow  # another process imports DeepSpeed
def test_bad_input_is_one_line_and_exit_code_2(folder: Path) -> None:
    options = debug_options(folder, data__train=folder / "nothing")
    done = subprocess.run([sys.executable, SCRIPT, *options], env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "WARNING" not in line]
    assert line.startswith("error: ") and "nothing: no such folder" in line


def launch(starter: list[str], folder: Path, run: str, **options: object) -> Path:
    """A run of train.py under a launcher, with losses that the weights matter for."""
    settings = {"run": folder / run, "validation__every_steps": 0, "optimizer__learning_rate": 1e-2}
    done = subprocess.run(
        [*starter, SCRIPT, *debug_options(folder, **settings, **options)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    load_generator(folder / run / "generator.safetensors")
    return folder / run


def test_two_processes_train_together(folder: Path) -> None:
    run = launch(launcher("torchrun"), folder, "run", deepspeed=REPOSITORY / "ds_configs/zero2.json")
    losses = logged(run)
    assert len(losses) == 4 and all(0.0 < loss < 10.0 for loss in losses)
    shards = list((run / "checkpoints/step_00000004/student").glob("*optim_states.pt"))
    assert len(shards) == 2, "each process keeps its part of the optimiser"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["--num_gpus", "--num_accelerators"])
def test_deepspeeds_own_launcher(folder: Path, name: str) -> None:
    assert len(logged(launch(launcher(name), folder, "run"))) == 4


def fully_sharded(folder: Path) -> Path:
    """ZeRO 3 that splits every weight; the shipped file leaves small ones whole, and all of these are small."""
    config = json.loads((REPOSITORY / "ds_configs/zero3.json").read_text())
    config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    (folder / "zero3_all.json").write_text(json.dumps(config))
    return folder / "zero3_all.json"


@pytest.mark.slow
def test_all_zero_stages_give_the_same_losses(folder: Path) -> None:
    files = [REPOSITORY / f"ds_configs/{name}.json" for name in ("zero1", "zero2", "zero2_offload", "zero3")]
    expected = logged(launch(launcher("torchrun"), folder, "cpu"))
    for path in (*files, fully_sharded(folder)):
        run = launch(launcher("torchrun"), folder, path.stem, deepspeed=path)
        assert logged(run) == pytest.approx(expected, rel=1e-4), path.stem


@pytest.mark.slow
def test_all_zero_stages_distil_alike(folder: Path) -> None:
    """Branch and low-rank updates of two roles, activations recomputed."""
    settings = {**DISTIL, "init_from": write_trained(folder / "teacher.safetensors"), "flow__trainable": "branch"}
    settings |= {"generator__lora__rank": 2, "gradient_checkpointing": True, "num_steps": 3}
    settings |= {"distribution_matching__critic_learning_rate": 1e-2, "distribution_matching__regression_weight": 1.0}
    expected = launch(launcher("torchrun"), folder, "cpu", **settings)
    for path in (REPOSITORY / "ds_configs/zero2.json", fully_sharded(folder)):
        run = launch(launcher("torchrun"), folder, path.stem, deepspeed=path, **settings)
        for name in ("loss", "critic_loss"):
            assert logged(run, name) == pytest.approx(logged(expected, name), rel=1e-3), path.stem
