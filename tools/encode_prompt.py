"""Encodes a prompt once for the public weights. The command is also `faithfusion encode_prompt`."""

from faithfusion.cli.encode_prompt import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
