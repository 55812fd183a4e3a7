"""The export of a checkpoint, and that the end of a run writes the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import REPOSITORY, debug_options, environment, write_codec, write_pairs

from faithfusion.cli.export_weights import main as export_main
from faithfusion.cli.train_video import main
from faithfusion.training.export import without_folders
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.weights.generator_file import load_generator, stored_sampler


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of steps 2, 4 and 6, and what the end of the run wrote."""
    folder = tmp_path_factory.mktemp("export")
    write_pairs(folder / "pairs")
    write_codec(folder / "codec.safetensors")
    settings = {"num_steps": 6, "checkpoint__keep_last": 3, "validation__every_steps": 0, "data__held_out_shards": 1}
    main(debug_options(folder, **settings, optimizer__learning_rate=1e-2))
    return folder / "run"


def same(one: Path, other: Path) -> bool:
    tensors = load_file(one), load_file(other)
    return tensors[0].keys() == tensors[1].keys() and all(torch.equal(v, tensors[1][k]) for k, v in tensors[0].items())


def test_the_newest_checkpoint_is_what_the_run_wrote(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.safetensors"
    export_main([f"--run={run}", f"--out={out}"])
    assert same(out, run / "generator.safetensors")
    (first, profile, facts), (second, again, more) = (
        load_generator(path) for path in (run / "generator.safetensors", out)
    )
    assert first.config == second.config and profile == again
    for name in ("steps", "weights", "sampler", "training", "profile_measured_on"):
        assert facts[name] == more[name]
    assert facts["steps"] == 6 and facts["weights"] == "ema"
    schedule = {"path": "hold", "shift": 1.0, "min_time": 0.1}
    assert facts["sampler"] == {**schedule, "steps": 2, "temperature": 1.0}, "how the profile was measured"
    assert facts["training"]["data"]["train"] == "pairs", "no folders of this machine"


def test_an_earlier_step_and_raw_weights(run: Path, tmp_path: Path) -> None:
    files = {}
    for step, kind in ((2, "ema"), (2, "raw"), (6, "raw")):
        out = files[step, kind] = tmp_path / f"{step}_{kind}.safetensors"
        export_main([f"--run={run}", f"--step={step}", f"--weights={kind}", f"--out={out}", "--dtype=float32"])
        generator, _, facts = load_generator(out)
        assert (facts["steps"], facts["weights"]) == (step, kind)
        name = "weights.safetensors" if kind == "raw" else "ema.safetensors"
        stored = load_file(run / f"checkpoints/step_{step:08d}" / name)
        assert all(torch.equal(generator.get_parameter(key), value) for key, value in stored.items())
    assert not same(files[2, "ema"], files[2, "raw"]) and not same(files[2, "raw"], files[6, "raw"])


def test_a_finished_file_gets_the_profile_of_another_sampler(run: Path, tmp_path: Path) -> None:
    file, out = run / "generator.safetensors", tmp_path / "again.safetensors"
    options = [f"--run={file}", f"--out={out}", f"--pairs={run.parent / 'pairs'}", "--profile_windows=2"]
    export_main([*options, "--sampler.steps=1", "--sampler.temperature=0"])
    assert same(file, out)
    (_, before, old), (_, after, new) = load_generator(file), load_generator(out)
    assert before != after and old | {"sampler": new["sampler"]} == new
    assert stored_sampler(new, SamplerConfig()) == SamplerConfig(steps=1, temperature=0.0)
    export_main([*options, "--sampler.steps=2"])
    assert load_generator(out)[1] not in (before, after)
    with pytest.raises(InputError, match="pairs: none"):
        export_main([f"--run={file}", f"--out={out}"])


def test_what_is_not_there_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    for options, message in (
        ([f"--run={tmp_path / 'none'}"], "no such folder"),
        ([f"--run={tmp_path}"], "no config.yaml"),
        ([f"--run={run}", "--step=5"], "expected one of the steps 2, 4, 6"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            export_main([*options, f"--out={tmp_path / 'out.safetensors'}"])
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_lost_its_average_is_refused(run: Path, tmp_path: Path) -> None:
    path = run / "checkpoints/step_00000004/ema.safetensors"
    kept = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(InputError, match="ema.safetensors: is missing"):
            export_main([f"--run={run}", "--step=4", f"--out={tmp_path / 'out.safetensors'}"])
    finally:
        path.write_bytes(kept)


def test_the_command_does_not_need_deepspeed(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    code = (
        "import sys, runpy; sys.modules['deepspeed'] = None; "
        f"sys.argv = ['export.py', '--run={run}', '--out={out}']; "
        f"runpy.run_path({str(REPOSITORY / 'train_video/export.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert same(out, run / "generator.safetensors")


def test_folders_are_cut_to_their_last_name() -> None:
    plain = {"run": "/home/a/runs/x", "steps": [1, "b/c"], "model": {"name": "plain"}}
    assert without_folders(plain) == {"run": "x", "steps": [1, "c"], "model": {"name": "plain"}}
