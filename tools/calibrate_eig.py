"""Measures the curves from EIG to error that every scene starts from. Also `faithfusion calibrate_eig`."""

from faithfusion.cli.calibrate_eig import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
