"""Runs that are killed at a random step and started again give what uninterrupted ones give."""

import os
import random
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import (
    REPOSITORY,
    debug_options,
    launcher,
    logged,
    start_training,
    wait_for_step,
    write_codec,
    write_pairs,
    write_trained,
)

from faithfusion.cli.train_video import main
from faithfusion.utils.errors import InputError

LONG = {"num_steps": 40, "checkpoint__every_steps": 5, "validation__every_steps": 0}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_pairs(folder / "pairs")
    write_codec(folder / "codec.safetensors")
    write_trained(folder / "teacher.safetensors")
    return folder


@pytest.fixture(scope="module")
def whole(pairs: Path) -> Path:
    """An uninterrupted run in this process."""
    torch.set_num_threads(1)
    main(debug_options(pairs, run=pairs / "whole", **LONG))
    return pairs / "whole"


def kill_at_random_step(options: list[str], run: Path, starter: list[str] | None, chance: random.Random) -> int:
    """Starts a run, kills all its processes after some step of the first 30; the steps that its log has."""
    process = start_training(options, starter)
    try:
        wait_for_step(process, run, chance.randrange(1, 31))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = len((run / "log.jsonl").read_text().splitlines())
    assert done < 40
    return done


def same_files(one: Path, other: Path) -> bool:
    weights = [load_file(run / "generator.safetensors") for run in (one, other)]
    return weights[0].keys() == weights[1].keys() and all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())


def continued(pairs: Path, whole: Path, number: int) -> None:
    run = pairs / f"killed_{number}"
    options = debug_options(pairs, run=run, **LONG)
    kill_at_random_step(options, run, None, random.Random(number))
    main(options)
    assert logged(run) == logged(whole), "bit by bit"
    assert same_files(run, whole)


def test_killed_run_continues_bitwise(pairs: Path, whole: Path) -> None:
    continued(pairs, whole, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 11))
def test_killed_run_continues_bitwise_ten_times(pairs: Path, whole: Path, number: int) -> None:
    continued(pairs, whole, number)


def asked_to_stop(options: list[str], run: Path, starter: list[str] | None) -> list[int]:
    """Starts a run and sends SIGTERM to all its processes in the middle; the steps of its checkpoints and its log."""
    process = start_training(options, starter)
    wait_for_step(process, run, 7)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait() == 0
    return [int(path.name.removeprefix("step_")) for path in sorted((run / "checkpoints").glob("step_*"))]


def test_sigterm_saves_and_ends_the_run_and_it_continues_bitwise(pairs: Path, whole: Path) -> None:
    run = pairs / "asked"
    options = debug_options(pairs, run=run, **LONG)
    last = asked_to_stop(options, run, None)[-1]
    assert last == len((run / "log.jsonl").read_text().splitlines()) >= 7
    assert not (run / "generator.safetensors").exists()
    main(options)
    assert logged(run) == logged(whole) and same_files(run, whole)


def test_a_run_with_two_roles_continues_bitwise(pairs: Path) -> None:
    """Stopped by its configuration, not by a signal: what matters here is that every role's state is kept."""
    settings = {
        "method": "distribution_matching",
        "init_from": pairs / "teacher.safetensors",
        "codec_from": "",
        "distribution_matching__critic_updates": 2,
        "distribution_matching__critic_learning_rate": 1e-3,
        "distribution_matching__regression_weight": 0.1,
        "optimizer__warmup_steps": 0,
        "optimizer__schedule": "constant",
        "validation__every_steps": 0,
    }
    main(debug_options(pairs, run=pairs / "distilled", num_steps=6, **settings))
    main(debug_options(pairs, run=pairs / "parts", num_steps=6, checkpoint__every_steps=3, **settings))
    last = pairs / "parts/checkpoints/step_00000006"
    assert (last / "critic").is_dir() and (last / "student").is_dir()
    for path in sorted(last.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    last.rmdir()  # as if the run had been killed before step 6
    main(debug_options(pairs, run=pairs / "parts", num_steps=6, checkpoint__every_steps=3, **settings))
    for name in ("loss", "critic_loss", "gradient_norm", "critic_gradient_norm"):
        assert logged(pairs / "parts", name) == logged(pairs / "distilled", name)
    assert same_files(pairs / "parts", pairs / "distilled")
    assert len(set(logged(pairs / "distilled", "critic_loss"))) == 6


def test_a_checkpoint_without_one_of_its_files_is_refused(pairs: Path) -> None:
    run = pairs / "lossy"
    main(debug_options(pairs, run=run, num_steps=2))
    next((run / "checkpoints/step_00000002/student").glob("*model_states.pt")).unlink()
    with pytest.raises(InputError, match=r"model_states.pt: is missing") as caught:
        main(debug_options(pairs, run=run, num_steps=2))
    assert "\n" not in str(caught.value)


def test_continuing_with_other_settings_is_refused(pairs: Path) -> None:
    run = pairs / "changed"
    main(debug_options(pairs, run=run))
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with pytest.raises(InputError, match="optimizer.learning_rate was 0.0005 and is 0.01") as caught:
        main(debug_options(pairs, run=run, optimizer__learning_rate=0.01))
    assert "\n" not in str(caught.value)
    main(debug_options(pairs, run=run, log__every_steps=7))  # this one may change
    write_pairs(pairs / "more", 3)
    with pytest.raises(InputError, match=r"data.train was .*windows was 4 and is 6"):
        main(debug_options(pairs, run=run, data__train=pairs / "more"))
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if "checkpoints" in path.parts}
    assert after == {path: time for path, time in before.items() if "checkpoints" in path.parts}


@pytest.mark.slow
@pytest.mark.parametrize(("zero", "name"), [("zero2", "torchrun"), ("zero3", "--num_accelerators")])
def test_two_processes_continue(pairs: Path, zero: str, name: str) -> None:
    settings = {**LONG, "deepspeed": REPOSITORY / f"ds_configs/{zero}.json"}
    process = start_training(debug_options(pairs, run=pairs / f"{zero}_whole", **settings), launcher(name))
    assert process.wait() == 0
    run = pairs / f"{zero}_killed"
    options = debug_options(pairs, run=run, **settings)
    kill_at_random_step(options, run, launcher(name), random.Random(5))
    assert start_training(options, launcher(name)).wait() == 0
    assert logged(run) == pytest.approx(logged(pairs / f"{zero}_whole"), rel=1e-6)
