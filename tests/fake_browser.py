"""A browser reduced to what travels between viser's page and its server: poses and values there, pictures back."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import zstandard
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class FakeBrowser:
    """One connection. Reads in a thread of its own, as a page does; `pictures` are [h, w, 3] uint8, oldest first."""

    def __init__(self, url: str, canvas: tuple[int, int]) -> None:
        import viser

        protocol = f"viser-v{viser.__version__}"
        self._socket = connect(url.replace("http", "ws"), subprotocols=[protocol], max_size=None)
        self.canvas, self.pictures, self.controls = canvas, [], {}
        self.pose: dict[str, Any] = {"position": [3.0, 3.0, 3.0], "look_at": [0.0, 0.0, 0.0]}
        self.values: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def __enter__(self) -> FakeBrowser:
        self.send_pose((3.0, 3.0, 3.0))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join()

    def send_pose(self, position_m: tuple[float, ...], wxyz: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)) -> None:
        """As the page does whenever its camera moves."""
        width, height = self.canvas
        pose = {"wxyz": wxyz, "position": position_m, "look_at": (0.0, 0.0, 0.0), "up_direction": (0.0, 0.0, 1.0)}
        size = {"image_height": height, "image_width": width, "fov": 1.2, "near": 0.01, "far": 1000.0}
        self._send({"type": "ViewerCameraMessage", **pose, **size})

    def set(self, label: str, value: Any) -> None:
        """Uses a control of the panel."""
        self._send({"type": "GuiUpdateMessage", "uuid": self.controls[label], "updates": {"value": value}})

    def wait_for(self, holds: Callable[[], Any], timeout_s: float = 30.0) -> bool:
        """Whether something came true in time."""
        end_s = time.monotonic() + timeout_s
        while not (value := bool(holds())) and time.monotonic() < end_s:
            time.sleep(0.02)
        return value

    def comes_to_show(self, image: np.ndarray, tolerance: float = 6.0) -> bool:
        """Whether the picture becomes `image` in time."""
        return self.wait_for(lambda: self.shows(image, tolerance))

    def shows(self, image: np.ndarray, tolerance: float = 6.0) -> bool:
        """Whether the last picture is `image`, up to JPEG's losses (mean absolute difference, of 255)."""
        if not self.pictures or self.pictures[-1].shape != image.shape:
            return False
        return float(np.abs(self.pictures[-1].astype(int) - image).mean()) < tolerance

    def _send(self, message: dict[str, Any]) -> None:
        self._socket.send(msgspec.msgpack.encode(message))

    def _read(self) -> None:
        try:
            while True:
                self._take(self._socket.recv())
        except ConnectionClosed:
            return

    def _take(self, packet: bytes) -> None:
        length = int.from_bytes(packet[8:16], "little")
        inner = zstandard.ZstdDecompressor().decompress(packet[16 : 16 + length])
        for message in msgspec.msgpack.decode(inner)["messages"]:
            kind = message["type"]
            if kind == "BackgroundImageMessage" and message["rgb_data"] is not None:
                self.pictures.append(np.asarray(Image.open(io.BytesIO(message["rgb_data"])).convert("RGB")))
            elif kind == "SetCameraPositionMessage":
                self.pose["position"] = message["position"]
            elif kind == "GuiUpdateMessage":
                self.values.setdefault(message["uuid"], {}).update(message["updates"])
            elif "label" in message.get("props", {}):
                self.controls[message["props"]["label"]] = message["uuid"]
