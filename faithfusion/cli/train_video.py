"""Trains the generator, its codec or the fixer on shards of windows, in one process or many.

python train_video/train.py --config configs/train_video/wan_tiny.yaml
deepspeed --num_gpus 8 train_video/train.py --config configs/train_video/branch_1.3b.yaml

Run the same command again to continue.
"""

from __future__ import annotations

from dataclasses import dataclass

from faithfusion.config import parse_config, part_of
from faithfusion.training.config import TrainConfig
from faithfusion.utils.extras import require_extra


@dataclass(frozen=True)
class TrainOptions(TrainConfig):
    """A training run.

    Attributes:
        dry_run: Checks configuration, shards and weights, and trains nothing.
    """

    dry_run: bool = False


def main(argv: list[str]) -> None:
    """Parses the options and trains."""
    # DeepSpeed's launcher adds --local_rank; the environment says the same
    argv = [option for option in argv if not option.startswith("--local_rank")]
    options = parse_config(TrainOptions, argv, description=__doc__)
    require_extra("train", "deepspeed", "tensorboard", "decord")
    from faithfusion.training.train import run_training

    run_training(part_of(options, TrainConfig), dry_run=options.dry_run)
