"""Measures the curves from EIG to expected error that every scene starts from: python tools/calibrate_eig.py

Makes and fits procedural streets with truth beside the path, chooses the noise level of the posterior and writes
faithfusion/eig/default_calibration.json. To be run again when the renderer, the fit or EIG changes. A killed run
continues.
"""

import sys
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import StreetCalibrationConfig
from faithfusion.evaluate.eig.street_calibration import calibrate_on_streets
from faithfusion.utils.atomic import require_writable


def main(argv: list[str]) -> None:
    config = parse_config(StreetCalibrationConfig, argv, description=__doc__)
    for folder in (Path(config.out), Path(config.file).parent):
        require_writable(folder)
    calibrate_on_streets(config, command=" ".join(["python", *sys.argv]))
