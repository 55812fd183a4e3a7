"""Measures the curves from EIG to expected error that every scene starts from: python tools/calibrate_eig.py

It makes and fits procedural streets with truth beside the path, chooses the noise level of the posterior and writes
faithfusion/eig/default_calibration.json. Run it again when the renderer, the fit or EIG changes. A killed run
continues with the same command.
"""

from __future__ import annotations

from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import StreetCalibrationConfig
from faithfusion.utils.called import command_line


def main(argv: list[str]) -> None:
    """Measures the curves and writes them."""
    config = parse_config(StreetCalibrationConfig, argv, description=__doc__)

    from faithfusion.evaluate.eig.street_calibration import calibrate_on_streets
    from faithfusion.utils.atomic import require_writable

    for folder in (Path(config.out), Path(config.file).parent):
        require_writable(folder)
    calibrate_on_streets(config, command=command_line())
