"""tools/bench.py card: what is measured is what tools/plan_memory.py plans."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tiny_training import REPOSITORY, environment
from torch.nn.attention import SDPBackend, sdpa_kernel

from faithfusion.cli import bench, plan_memory
from faithfusion.utils.errors import InputError
from faithfusion.video.plan.plan import make_plan

SIZE = ["--frames", "9", "--height", "64", "--width", "96", "--device", "cpu", "--repeats", "1"]


def test_operations_are_those_that_were_planned(capsys: pytest.CaptureFixture[str]) -> None:
    with sdpa_kernel(SDPBackend.MATH):  # torch does not count the CPU's own attention
        bench.main(["card", "--model", "wan-tiny", *SIZE])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    counted = {row[0].removeprefix("| "): float(row[2]) for row in rows[1:]}
    request, _ = plan_memory.requested(plan_memory.PlanOptions(model="wan-tiny", frames=9, height=64, width=96))
    plan = make_plan(request)
    dense, sparse = plan.sampling
    planned = {"step, all tokens": dense.step, "step, 30% active": sparse.step, "context, 30% active": sparse.context}
    planned |= {"VAE encode": plan.codec.encode, "VAE decode": plan.codec.decode}
    assert counted.keys() == planned.keys()
    for name, cost in planned.items():
        flops = cost.flops if isinstance(cost.flops, int) else cost.total_flops
        assert counted[name] == pytest.approx(flops / 1e12, rel=0.01), name


@pytest.mark.slow
def test_a_training_step_is_the_real_one() -> None:
    """In a process (and a process group) of its own, since DeepSpeed starts once."""
    argv = ["card", "--train", "configs/train_video/wan_tiny.yaml", "--parts", "training", *SIZE[:6], "--repeats", "1"]
    command = [sys.executable, "tools/bench.py", *argv]
    run = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=200, cwd=REPOSITORY)
    assert run.returncode == 0, run.stderr[-1000:]
    (row,) = [line.split(" | ") for line in run.stdout.splitlines() if line.startswith("| training step, cpu")]
    assert float(row[1]) > 0 and row[2:4] == ["-", "-"]


def test_training_needs_a_run() -> None:
    with pytest.raises(InputError, match="train"):
        bench.main(["card", "--parts", "training"])
