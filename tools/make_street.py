"""Writes a procedural street with exact truth: python tools/make_street.py --seed 3 --frames 49 --shifts_m -3 3 6"""

from faithfusion.cli.make_street import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
