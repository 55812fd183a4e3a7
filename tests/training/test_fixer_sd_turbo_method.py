"""The method "fixer" with the model on public latent weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_fixer import fixer_options, warped_window, write_warped_pairs
from tiny_sd_turbo import LORA, tiny_sd_turbo, with_references, write_sd_turbo
from tiny_training import fixed_generator, logged

from faithfusion.cli.train_video import main
from faithfusion.clips.store import write_shard
from faithfusion.config import parse_config
from faithfusion.training.callbacks.checkpoint import refuse_change, run_identity
from faithfusion.training.config import TrainConfig
from faithfusion.training.data import FixerBatch, Pick, training_windows
from faithfusion.training.engine import start_processes
from faithfusion.training.fixer import FixerMethod
from faithfusion.training.fixer_data import FixerDataset, decode_windows
from faithfusion.training.method_config import FixerMethodConfig
from faithfusion.training.start import twin_of
from faithfusion.utils.errors import InputError
from faithfusion.video.fixer.fixer_file import load_fixer, open_fixer
from faithfusion.video.model.fixers.fixer import fixer_inputs

CHANGES = {"unet": {}, "unet_lora": LORA}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sd_turbo")
    write_sd_turbo(path / "public")
    write_warped_pairs(path / "pairs")
    return path


def options(folder: Path, trainable: str = "unet", **more: object) -> list[str]:
    settings = {"pretrained": str(folder / "public"), "num_references": 1, "trainable": trainable}
    settings["lora"] = {"rank": 2}
    values = {"fixer__model__sd_turbo": json.dumps(settings), "optimizer__warmup_steps": 0, **more}
    return fixer_options(folder, **values)


@pytest.mark.parametrize("trainable", CHANGES)
def test_loss_falls_and_only_what_is_trained_changes(folder: Path, trainable: str) -> None:
    fixer = tiny_sd_turbo(folder / "public", num_references=1, **CHANGES[trainable])
    before = {name: value.clone() for name, value in fixer.state_dict().items()}
    window = with_references(warped_window(2, 32, 32))
    with torch.no_grad():  # a truth that the frozen decoder can show
        truth = fixer.decode(fixer.encode(window.truth.permute(0, 3, 1, 2)))
    batch = FixerBatch(fixer_inputs(window, 1), truth)
    method = FixerMethod(FixerMethodConfig(render_mix=0.0, ssim_weight=0.0), fixer)
    optimizer = torch.optim.AdamW(method.parameters(), lr=2e-2)
    losses = []
    for _ in range(20):
        loss, _ = method(batch, fixed_generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0], losses
    changed = {name for name, value in fixer.state_dict().items() if not torch.equal(value, before[name])}
    trained = dict(method.named_parameters()).keys()
    assert changed <= trained <= dict(fixer.named_parameters()).keys()
    assert trained == set(fixer.stored_names()) - {"prompt"} and "network.conv_in.added.weight" in changed
    assert {name for name, value in fixer.named_parameters() if value.requires_grad} == trained


def test_a_twin_shares_what_is_frozen(folder: Path) -> None:
    fixer = tiny_sd_turbo(folder / "public", **LORA)
    FixerMethod(FixerMethodConfig(), fixer)
    mine, other = dict(fixer.named_parameters()), dict(twin_of(fixer).named_parameters())
    shared = {name for name in mine if mine[name] is other[name]}
    assert mine.keys() == other.keys() and shared == mine.keys() - set(fixer.stored_names())


def test_references_are_decoded_once_and_cropped_with_their_frame(folder: Path, tmp_path: Path) -> None:
    windows = [with_references(warped_window(seed=n), 2) for n in range(2)]
    write_shard(tmp_path / "pairs/street.safetensors", windows)
    config = parse_config(TrainConfig, fixer_options(tmp_path, data__held_out_shards=0))
    refs = training_windows(config.data)
    alone = start_processes()
    files = decode_windows(refs, tmp_path, 2, alone, 2)
    assert files[0].parent.name.startswith("frames_2_views_2_references")
    whole = FixerDataset(files, height=99, width=99, num_views=2, num_references=2)
    batch = whole.batch([Pick(1, False)], fixed_generator())
    expected = fixer_inputs(refs[1].read(), 2).references[0]
    torch.testing.assert_close(batch.inputs.references[0], expected, atol=0.5 / 255 + 1e-6, rtol=0)
    mirrored = whole.batch([Pick(1, True)], fixed_generator())
    assert torch.equal(mirrored.inputs.references.flip(-1), batch.inputs.references)
    few = FixerDataset(files, height=8, width=16, num_views=2, num_references=2)
    assert few.batch([Pick(0, False)], fixed_generator()).inputs.references.shape == (1, 2, 3, 8, 16)
    with pytest.raises(InputError, match="2 references"):
        decode_windows(refs, tmp_path, 2, alone, 3)


def test_a_whole_run_exports_a_file_that_opens_and_continues(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    argv = options(folder, run=run, num_steps=2, data__cache=tmp_path / "cache", checkpoint__every_steps=1)
    main([*argv, "--dry-run"])
    assert not run.exists()
    main(argv)
    path = run / "fixer.safetensors"
    opened = open_fixer(str(path))
    assert opened.fixer.config.num_references == 1 and len(load_file(path)["prompt"]) == 77
    assert str(folder) not in json.dumps(load_fixer(path)[2])  # metadata
    main(argv)  # finished: exports again
    assert len(logged(run)) == 2
    again = options(folder, run=tmp_path / "more", num_steps=1, init_from=path, data__cache=tmp_path / "cache")
    main(again)
    with pytest.raises(InputError, match="architecture of the configuration"):
        main(options(folder, "unet_lora", run=tmp_path / "other", init_from=path))


@pytest.mark.parametrize("trainable", CHANGES)
def test_precision_and_recomputation_change_losses_a_little_or_not(
    folder: Path, tmp_path: Path, trainable: str
) -> None:
    kinds = {"plain": {}, "saved": {"gradient_checkpointing": True}, "half": {"precision": "bf16"}}
    kinds["half"]["frozen_precision"] = "bf16"
    for name, kind in kinds.items():
        common = {"num_steps": 2, "data__cache": tmp_path / "cache", "validation__videos": False}
        main(options(folder, trainable, run=tmp_path / name, **common, **kind))
    plain, saved, half = (logged(tmp_path / name) for name in kinds)
    assert saved == pytest.approx(plain, rel=1e-5)
    assert half == pytest.approx(plain, rel=0.03) and half != plain


def test_a_run_from_before_this_model_continues() -> None:
    config = parse_config(TrainConfig, ["--method=fixer"])
    now = run_identity(config, windows=3)
    before = json.loads(json.dumps(now))
    del before["config"]["fixer"]["model"]["sd_turbo"], before["config"]["generator"]["wan"]["patch"]
    refuse_change(Path("checkpoint"), before, now)
    with pytest.raises(InputError, match="num_views"):
        before["config"]["fixer"]["model"]["num_views"] = 7
        refuse_change(Path("checkpoint"), before, now)


def test_single_options_of_the_model_can_be_given() -> None:
    options = ["--fixer.model.sd_turbo.pretrained=here", "--fixer.model.sd_turbo.timestep=9"]
    config = parse_config(TrainConfig, ["--method=fixer", *options])
    assert (config.fixer.model.sd_turbo.pretrained, config.fixer.model.sd_turbo.timestep) == ("here", 9)
