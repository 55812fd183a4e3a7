"""Waymo Open Dataset v2 (parquet) to a drive: python tools/prepare_waymo.py --data FOLDER --segment NAME --out DRIVE"""

from faithfusion.cli.prepare_waymo import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
