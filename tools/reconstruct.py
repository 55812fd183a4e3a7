"""Fits a Gaussian scene to a drive: python tools/reconstruct.py --scene DIR --out RUN [--config FILE.yaml]"""

from faithfusion.cli.reconstruct import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
