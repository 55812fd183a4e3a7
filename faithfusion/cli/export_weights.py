"""Writes a checkpoint of a training run as one file with everything a sampler needs.

python train_video/export.py --run RUN [--step N] [--out FILE]

The averaged weights of the newest checkpoint, or of step N, go to RUN/generator.safetensors (RUN/fixer.safetensors for
the method "fixer") or to FILE. The end of a training run writes the same.

python train_video/export.py --run GENERATOR.safetensors --pairs HELD_OUT [--sampler.steps 1 --sampler.temperature 0]

measures the error profile of a finished generator again, for this sampler, which the file asks for from then on.
"""

from __future__ import annotations

from faithfusion.config import parse_config
from faithfusion.training.export_config import ExportConfig


def main(argv: list[str]) -> None:
    """Parses the options and writes the file."""
    config = parse_config(ExportConfig, argv, description=__doc__)

    from faithfusion.training.export import export_run

    export_run(config)
