"""A drive of KITTI raw to a drive: python tools/prepare_kitti.py --drive DATE/DATE_drive_NUMBER_sync --out DRIVE"""

from faithfusion.cli.prepare_kitti import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
