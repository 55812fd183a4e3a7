"""tools/plan_memory.py: its options, files and errors."""

from __future__ import annotations

import pytest
from tiny_generator import tiny_config

from faithfusion.cli import plan_memory
from faithfusion.utils.errors import InputError
from faithfusion.video.model.config import BranchConfig
from faithfusion.video.plan.plan import PlanRequest, make_plan
from faithfusion.video.plan.plan_models import ClipSize
from faithfusion.video.plan.plan_table import plan_lines


def test_the_tool_plans_wan_tiny(capsys: pytest.CaptureFixture[str]) -> None:
    plan_memory.main(["--model", "wan-tiny", "--frames", "9", "--height", "64", "--width", "96", "--active", "0.5"])
    text = capsys.readouterr().out
    tokens = f"{ClipSize(9, 64, 96).tokens} tokens"
    for part in (tokens, "step, all tokens", "step, 50% active", "VAE decode", "peak, update", "training of"):
        assert part in text


def test_the_files_of_training_and_refinement() -> None:
    options = plan_memory.PlanOptions(train="configs/train_video/wan_tiny.yaml", frames=17, height=160, width=256)
    request, name = plan_memory.requested(options)
    assert (request.trainable, request.micro_batch, name) == ("all", 2, "configs/train_video/wan_tiny.yaml")
    request, _ = plan_memory.requested(plan_memory.PlanOptions(refine="configs/refine/vace_1.3b.yaml"))
    assert request.size.frames == 49 and request.generator.branch == BranchConfig("vace", 15)


def test_what_is_not_asked_for_is_not_planned() -> None:
    plan = make_plan(PlanRequest(tiny_config(), ClipSize(9, 64, 96), parts=()))
    assert not plan.sampling and plan.training is None and plan.codec is None
    assert len(plan_lines(plan, "tiny")) == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "2b"], "model: 2b; expected one of 1.3b"),
        (["--frames", "48"], "frames: 48; expected 4k"),
        (["--height", "472"], "height: 472; expected a multiple of 16"),
        (["--width", "0"], "width: 0"),
        (["--branch", "vace", "--blocks", "31"], "blocks: 31; expected at most the 30"),
        (["--active", "1.5"], "active: 1.5"),
        (["--zero", "4"], "zero"),
        (["--gpus", "0"], "gpus: 0; expected at least 1"),
        (["--lora", "-1"], "lora"),
        (["--micro_batch", "0"], "micro_batch: 0"),
        (["--deepspeed", "no.json"], "no.json: cannot be read"),
        (["--train", "no.yaml"], "no.yaml"),
        (["--refine", "a.yaml", "--train", "b.yaml"], "more than one file"),
        (["--generator", "weights.safetensors"], "weights.safetensors: a weights file; expected wan-tiny or a YAML"),
        (["--memory.vae_tile_pixels", "100"], "vae_tile_pixels: 100"),
    ],
)
def test_bad_options_are_one_line(argv: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_memory.main(argv)
    assert message in str(caught.value) and "\n" not in str(caught.value)
