"""Writes checkpoints whole or not at all: beside the others first, renamed when complete. The last few are kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from faithfusion.training.callbacks.base import Callback, Run
from faithfusion.training.config import TrainConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import say

CHECKPOINTS = "checkpoints"
STATE_FILE = "state.json"
WEIGHTS_FILE = "weights.safetensors"
MAY_CHANGE = ("run", "log", "validation", "checkpoint")


def save_checkpoint(run: Run, callbacks: Sequence[Callback], identity: dict[str, Any]) -> None:
    """Writes `checkpoints/step_NNNNNNNN`: a folder per role by DeepSpeed, `weights.safetensors` (the student's, fp32),
    and what the callbacks save. Every process must call it."""
    folder = run.folder / CHECKPOINTS
    name = f"step_{run.step:08d}"
    temporary = folder / f".{name}.tmp"
    if run.is_first:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    run.engine.wait_for_all()
    run.engine.save(temporary)
    _save_weights(run, temporary / WEIGHTS_FILE)
    for callback in callbacks:
        callback.save(run, temporary)
    run.engine.wait_for_all()
    if run.is_first:
        state = {"step": run.step, "elapsed_s": run.elapsed_s, "identity": identity, "files": _sizes(temporary)}
        (temporary / STATE_FILE).write_text(json.dumps(state, indent=1))
        shutil.rmtree(folder / name, ignore_errors=True)
        temporary.rename(folder / name)
        for old in sorted(folder.glob("step_*"))[: -run.config.checkpoint.keep_last]:
            shutil.rmtree(old)
    run.engine.wait_for_all()


def _save_weights(run: Run, path: Path) -> None:
    weights = {}
    for name, weight in run.engine.weights():
        if run.is_first:
            weights[name] = weight.to("cpu", copy=True).contiguous()
    if run.is_first:
        save_file(weights, path)


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run folder."""
    found = sorted((folder / CHECKPOINTS).glob("step_*"))
    return found[-1] if found else None


def _step_of(path: Path | None) -> int:
    """The step of a checkpoint folder; -1 of none."""
    return -1 if path is None else int(path.name.removeprefix("step_"))


def checkpoint_of_step(folder: Path, step: int) -> Path:
    """A run's checkpoint after `step`, the newest for 0. InputError that lists those there are."""
    newest = last_checkpoint(folder)
    if newest is None:
        raise InputError(folder / CHECKPOINTS, "no checkpoints", "those of a run")
    path = folder / CHECKPOINTS / f"step_{step:08d}" if step else newest
    if not path.is_dir():
        there = sorted(map(_step_of, (folder / CHECKPOINTS).glob("step_*")))
        raise InputError(path, "no such checkpoint", f"one of the steps {', '.join(map(str, there))}")
    return path


def load_checkpoint(run: Run, callbacks: Sequence[Callback], identity: dict[str, Any]) -> bool:
    """Continues from the newest checkpoint that the first process sees; False if there is none.

    InputError if the run's configuration changed, or where a process of another machine does not see that checkpoint.
    """
    newest = last_checkpoint(run.folder) if run.is_first else None
    step = int(run.engine.agree(float(_step_of(newest))))
    if step < 0:
        return False
    path = run.folder / CHECKPOINTS / f"step_{step:08d}"
    if not path.is_dir():
        raise InputError(path, "not there on this machine", "the run's folder on storage that all machines share")
    state = read_state(path)
    refuse_change(path, state["identity"], identity)
    require_whole(path, state["files"])
    run.engine.load(path)
    for callback in callbacks:
        callback.load(run, path)
    run.step, run.elapsed_s = state["step"], state["elapsed_s"]
    if run.is_first:
        say(f"continues after step {run.step} of {path.parent}")
    return True


def read_state(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint folder."""
    try:
        state = json.loads((path / STATE_FILE).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(path / STATE_FILE, error, "the state of a checkpoint") from None
    missing = [name for name in ("step", "elapsed_s", "identity", "files") if name not in state]
    if missing:
        raise InputError(path / STATE_FILE, f"lacks {', '.join(missing)}", "the state of a checkpoint of this version")
    return state


def require_whole(path: Path, expected: dict[str, int]) -> None:
    """InputError that names the first file which is no longer there, or is shorter than when it was written."""
    found = _sizes(path)
    for name, size in expected.items():
        if found.get(name) != size:
            state = "is missing" if name not in found else f"has {found[name]} bytes"
            raise InputError(path / name, state, f"{size} bytes, as when the checkpoint was written")


def run_identity(config: TrainConfig, **facts: Any) -> dict[str, Any]:
    """The facts that must not change between the parts of a run: the configuration, but for `MAY_CHANGE`, and
    others."""
    plain = to_plain(config)
    return {"config": {key: plain[key] for key in plain if key not in MAY_CHANGE}, **to_plain(facts)}


def refuse_change(path: Path, saved: dict[str, Any], current: dict[str, Any]) -> None:
    """Raises InputError that names every changed key. A setting that is younger than the checkpoint must have its
    default, which means "as before"."""
    defaults = _flat(run_identity(TrainConfig(method="codec")))
    before, now = _flat(saved), _flat(current)
    pairs = {key: (before.get(key, defaults.get(key)), now.get(key)) for key in sorted(before.keys() | now.keys())}
    changed = [f"{key} was {old!r} and is {new!r}" for key, (old, new) in pairs.items() if old != new]
    if changed:
        raise InputError(path, "; ".join(changed), "the configuration of the run, or another `run` folder")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
