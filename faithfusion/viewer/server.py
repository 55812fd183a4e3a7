"""The server: browsers come and go, one thread draws for all of them in turn. The only file that imports viser."""

from __future__ import annotations

import errno
import io
import signal
import socket
import threading
import time
import warnings
from contextlib import redirect_stdout

import viser

from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.viewer.client import Client
from faithfusion.viewer.knowledge import Learner
from faithfusion.viewer.run_folder import Run

MAX_PORT_TRIES = 100
IDLE_S = 0.05
GOODBYE_S = 1.5


def free_port(host: str, port: int) -> int:
    """`port`, or the next one that is free. Raises InputError if there is none or the host is not this machine."""
    for candidate in range(port, min(port + MAX_PORT_TRIES, 65536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
                return candidate
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise InputError("--host", f"{host} ({error.strerror})", "an address of this machine") from None
    raise InputError("--port", port, f"a port with a free one among the next {MAX_PORT_TRIES}")


class Viewer:
    """A running server. `with Viewer(run) as viewer: viewer.url`. Pictures are at most `width` pixels wide."""

    def __init__(self, run: Run, *, host: str = "127.0.0.1", port: int = 8080, width: int = 480) -> None:
        with redirect_stdout(io.StringIO()):  # it greets whatever `verbose` says
            self._server = viser.ViserServer(host=host, port=free_port(host, port), label=run.name, verbose=False)
        self.port = self._server.get_port()
        self.url = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{self.port}"
        self._run, self._width = run, width
        self._learner = Learner(run)
        self._clients: dict[int, Client] = {}
        self._wake, self._closed = threading.Event(), threading.Event()
        self._server.scene.set_up_direction("+z")
        self._server.gui.main_panel.dock_right()
        self._server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        self._server.on_client_connect(self._welcome)
        self._server.on_client_disconnect(lambda client: self._clients.pop(client.client_id, None))
        self._thread = threading.Thread(target=self._draw, name="pictures")
        self._thread.start()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all threads; browsers see the connection go."""
        self._closed.set()
        self._wake.set()
        self._thread.join()
        self._learner.close()
        # viser waits six seconds for browsers to say goodbye, which those in the background do not
        goodbye = threading.Thread(target=self._server.stop, name="goodbye", daemon=True)
        with redirect_stdout(io.StringIO()):
            goodbye.start()
            goodbye.join(GOODBYE_S)

    def _welcome(self, handle: viser.ClientHandle) -> None:
        client = Client(handle, self._run, self._learner, self._width, self._wake.set)
        self._clients[handle.client_id] = client
        if handle.client_id not in self._server.get_clients():  # gone already
            self._clients.pop(handle.client_id, None)
        self._wake.set()

    def _draw(self) -> None:
        """One picture for each browser in turn, so that no browser waits for more than one picture of every other."""
        while not self._closed.is_set():
            self._wake.clear()
            busy = False
            for client in list(self._clients.values()):
                busy |= client.step(time.monotonic())
            if not busy:
                self._wake.wait(IDLE_S)


def serve(run: Run, *, host: str, port: int, width: int) -> None:
    """Runs a viewer until ctrl-C or SIGTERM."""
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection")  # a tab closed while it was drawn for
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Viewer(run, host=host, port=port, width=width) as viewer:
        busy = "" if viewer.port == port else f"port {port} is taken; "
        say(f"viewer: {viewer.url} ({busy}ctrl-C ends it)")
        while not stop.wait(0.2):
            pass
    say("viewer: ended")
