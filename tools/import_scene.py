"""Takes Gaussians and cameras of another system. The command is also `faithfusion import_scene`."""

from faithfusion.cli.import_scene import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
