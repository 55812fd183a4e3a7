"""Encodes a prompt with Wan's text encoder once"""

from faithfusion.cli.encode_prompt import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
