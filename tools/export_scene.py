"""Writes a scene for viewers: python tools/export_scene.py --scene_checkpoint RUN/scene.safetensors --out FILE"""

from faithfusion.cli.export_scene import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
