"""Takes scenes of other systems: python tools/import_scene.py --gaussians FILE --cameras FILE --images DIR --out RUN"""

from faithfusion.cli.import_scene import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
