"""Whatever keeps gsplat from running on CUDA, one line says so and Warp is taken. (The compiler and the GPU that this
needs are absent here, so their failures are put in gsplat's place; what happens after them is the real code.)"""

from __future__ import annotations

import sys
import types

import pytest
import torch

from faithfusion.render.gsplat_backend import gsplat_problem, short_reason
from faithfusion.render.rasterise import choose_backend
from faithfusion.utils.errors import InputError

COMPILER = """Error building extension 'gsplat_cuda': [1/3] /usr/local/cuda/bin/nvcc --generate-dependencies -c a.cu
a.cu(12): error: identifier "float5" is undefined
ninja: build stopped: subcommand failed."""


class FailingBackend(types.ModuleType):
    """gsplat.cuda._backend as it behaves when its extension cannot be had."""

    def __init__(self, error: Exception) -> None:
        super().__init__("gsplat.cuda._backend")
        self._error = error

    def __getattr__(self, name: str) -> object:
        raise self._error


def backend_with(extension: object) -> types.ModuleType:
    module = types.ModuleType("gsplat.cuda._backend")
    module._C = extension
    return module


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (None, "ModuleNotFoundError"),
        (FailingBackend(RuntimeError(COMPILER)), 'error: identifier "float5" is undefined'),
        (FailingBackend(ImportError("/tmp/gsplat_cuda.so: undefined symbol: _ZN3c105ErrorC2E")), "undefined symbol"),
        (FailingBackend(OSError("[Errno 28] No space left on device")), "OSError"),
        (FailingBackend(IndexError()), "IndexError"),
        (backend_with(None), "nvcc was not found"),
        (backend_with(object()), "loads but does not run"),
    ],
)
def test_one_line_and_warp(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: types.ModuleType | None, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, "gsplat.cuda._backend", module)
    for cached in (gsplat_problem, choose_backend):
        cached.cache_clear()
    try:
        assert choose_backend("auto", "cuda") == "warp" and choose_backend("auto", "cuda") == "warp"
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("rasteriser: warp on cuda (gsplat cannot be used: ")
        assert reason in lines[0] and "docs/compatibility.md" in lines[0] and len(lines[0]) < 400
        with pytest.raises(InputError, match="render backend gsplat") as caught:
            choose_backend("gsplat", "cuda")
        assert reason in str(caught.value) and "\n" not in str(caught.value)
        assert choose_backend("warp", "cuda") == "warp"
    finally:
        for cached in (gsplat_problem, choose_backend):
            cached.cache_clear()


def test_reasons_are_short() -> None:
    assert short_reason(RuntimeError("a  b\nc")) == "RuntimeError: a b"
    assert short_reason(ValueError()) == "ValueError"
    assert len(short_reason(RuntimeError("x" * 5000))) == 200


@pytest.mark.gpu
@torch.no_grad()  # as where the first rendering is one without gradients
def test_gsplat_draws_on_this_gpu() -> None:
    gsplat_problem.cache_clear()
    assert torch.cuda.is_available() and gsplat_problem() is None
