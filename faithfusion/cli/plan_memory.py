"""Predicts parameters, operations and memory of sampling and training before anything is downloaded.

python tools/plan_memory.py --model 1.3b --frames 49 --active 0.3
python tools/plan_memory.py --model vace-14b --frames 81 --zero 2 --gpus 8
python tools/plan_memory.py --train configs/train_video/NAME.yaml --gpus 8
python tools/plan_memory.py --refine configs/refine/vace_1.3b.yaml

It reads no weights and needs no card; docs/memory.md explains the numbers.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError
from faithfusion.video.plan.plan_options import PlanOptions

if TYPE_CHECKING:
    from faithfusion.video.plan.plan import PlanRequest

ZERO_FILES = ("cpu", "zero1", "zero2", "zero3")


def main(argv: list[str]) -> None:
    """Prints the plan."""
    options = parse_config(PlanOptions, argv, description=__doc__)

    from faithfusion.video.plan.plan import make_plan  # seconds to import: after the options are read
    from faithfusion.video.plan.plan_table import plan_lines

    request, name = requested(options)
    for line in plan_lines(make_plan(request), name):
        print(line)


def requested(options: PlanOptions) -> tuple[PlanRequest, str]:
    """The request and the name of what is planned. Raises InputError for files that cannot be read or do not fit."""
    from faithfusion.video.plan.plan import request_of

    deepspeed = options.deepspeed or str(Path(__file__).parents[2] / "ds_configs" / f"{ZERO_FILES[options.zero]}.json")
    if options.train:
        return _training_request(options)
    if options.refine:
        from faithfusion.pipeline.config import RefineConfig
        from faithfusion.video.editors.registry import options_of

        run = parse_config(RefineConfig, ["--config", options.refine])
        wan = [options_of(entry) for entry in run.editors if entry["kind"] == "wan"]
        if not wan:
            raise InputError(options.refine, "editors without kind: wan", "a run that uses the video model")
        options = dataclasses.replace(options, frames=wan[0].window_frames, memory=wan[0].memory)
        return request_of(options, _deepspeed(deepspeed), generator_of(wan[0].weights)), options.refine
    chosen = generator_of(options.generator) if options.generator else None
    return request_of(options, _deepspeed(deepspeed), chosen), options.generator or options.model


def _training_request(options: PlanOptions) -> tuple[PlanRequest, str]:
    from faithfusion.training.config import TrainConfig
    from faithfusion.video.plan.plan import request_of

    run = parse_config(TrainConfig, ["--config", options.train])
    if run.method != "flow":
        raise InputError(options.train, f"method {run.method}", "method flow")
    if all(run.data.crop_tokens) and run.data.whole_share == 0.0:
        height, width = (run.generator.spec.token_pixels * tokens for tokens in run.data.crop_tokens)
        options = dataclasses.replace(options, height=height, width=width)
    request = request_of(options, _deepspeed(options.deepspeed or run.deepspeed), run.generator)
    return dataclasses.replace(
        request,
        micro_batch=run.data.micro_batch,
        checkpointing=run.gradient_checkpointing,
        trainable=run.flow.trainable,
        average_on_card=not run.ema.on_cpu,
    ), options.train


def generator_of(name: str) -> Any:
    """The architecture of wan-tiny, or in a YAML file."""
    from faithfusion.video.model.config import GeneratorConfig
    from faithfusion.video.plan.plan_models import known_model
    from faithfusion.video.weights.open_generator import SHIPPED_WEIGHTS

    if name == SHIPPED_WEIGHTS:
        return known_model(SHIPPED_WEIGHTS)
    if Path(name).suffix not in (".yaml", ".yml"):
        raise InputError(name, "a weights file", f"{SHIPPED_WEIGHTS} or a YAML file of a generator (configs/generator)")
    return parse_config(GeneratorConfig, ["--config", name])


def _deepspeed(path: str) -> dict[str, Any]:
    from faithfusion.video.weights.weight_files import read_json

    return read_json(Path(path), "a DeepSpeed configuration file in JSON")
