"""Draws the curves of training runs: loss over minutes, and PSNR of the held-out windows over steps, a row per run."""

from faithfusion.cli.training_curves import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
