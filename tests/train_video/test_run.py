"""Whole runs of train.py: codec and flow, killed and continued, two processes, refused input."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import REPOSITORY, debug_options, logged, write_codec, write_pairs

from faithfusion.utils.errors import InputError
from faithfusion.video.composite import ErrorProfile
from faithfusion.video.weights import load_generator
from train_video.train import main

SCRIPT = str(REPOSITORY / "train_video/train.py")
OWN_GROUP = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # set by runs in this process
LONG = {"num_steps": 40, "checkpoint__every_steps": 5, "validation__every_steps": 0}


def environment() -> dict[str, str]:
    """For a new process: one thread, and the launchers of this Python on the path."""
    kept = {key: value for key, value in os.environ.items() if key not in OWN_GROUP}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "OMP_NUM_THREADS": "1", "PATH": path}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The processes that tests start have one thread; sums depend on the number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def test_killed_run_continues_bitwise(folder: Path) -> None:
    main(debug_options(folder, run=folder / "whole", **LONG))
    options = debug_options(folder, run=folder / "killed", **LONG)
    process = subprocess.Popen([sys.executable, SCRIPT, *options], env=environment(), stderr=subprocess.DEVNULL)
    log = folder / "killed/log.jsonl"
    while not (log.is_file() and len(log.read_text().splitlines()) >= 8):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(logged(folder / "killed")) < 40
    main(options)
    assert logged(folder / "killed") == logged(folder / "whole")
    weights = [load_file(folder / name / "generator.safetensors") for name in ("whole", "killed")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_continuing_with_another_configuration_is_refused(folder: Path) -> None:
    main(debug_options(folder))
    with pytest.raises(InputError, match="optimizer.learning_rate was 0.0005 and is 0.01") as caught:
        main(debug_options(folder, optimizer__learning_rate=0.01))
    assert "\n" not in str(caught.value)
    write_pairs(folder / "pairs", 3)
    with pytest.raises(InputError, match="windows was 4 and is 6"):
        main(debug_options(folder))


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
    main(debug_options(folder, num_steps=100000, max_minutes=0.02, validation__every_steps=0))
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
    with pytest.raises(InputError, match="architecture"):
        main([*debug_options(folder, generator__codec__latent_channels=4), "--dry-run"])
    with pytest.raises(InputError, match="no such folder"):
        main([*debug_options(folder, data__train=folder / "nothing"), "--dry-run"])
    with pytest.raises(InputError, match="codec_from"):
        main([*debug_options(folder, codec_from=""), "--dry-run"])


def launch(launcher: list[str], folder: Path, zero: str) -> list[float]:
    options = debug_options(folder, run=folder / zero, deepspeed=REPOSITORY / f"ds_configs/{zero}.json")
    done = subprocess.run([*launcher, SCRIPT, *options], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    load_generator(folder / zero / "generator.safetensors")
    return logged(folder / zero)


def test_two_processes_train_together(folder: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--"]
    losses = launch(launcher, folder, "zero2")
    assert len(losses) == 4 and all(0.0 < loss < 10.0 for loss in losses)
    shards = list((folder / "zero2/checkpoints/step_00000004").glob("*optim_states.pt"))
    assert len(shards) == 2, "each process keeps its part of the optimiser"


@pytest.mark.slow
def test_all_zero_stages_give_the_same_losses(folder: Path) -> None:
    launcher = ["deepspeed", "--num_accelerators", "2", "--master_port", "29617"]
    expected = launch(launcher, folder, "cpu")
    for zero in ("zero1", "zero2", "zero3"):
        assert launch(launcher, folder, zero) == pytest.approx(expected, rel=1e-4)
