"""Measures the curves from EIG to expected error that every scene starts from: python tools/calibrate_eig.py"""

from faithfusion.cli.calibrate_eig import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
