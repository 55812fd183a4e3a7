from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_generator import tiny_config, tiny_generator
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from faithfusion.video.model.codecs.base import build_codec
from faithfusion.video.model.codecs.tiles import Tiles
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import (
    BranchConfig,
    CodecConfig,
    GeneratorConfig,
    ScheduleConfig,
    WanConfig,
    WanVaeConfig,
)
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.memory_config import MemoryConfig
from faithfusion.video.plan.plan import PlanRequest, make_plan
from faithfusion.video.plan.plan_bytes import ZeroSettings, trained_bytes, zero_settings
from faithfusion.video.plan.plan_models import (
    ClipSize,
    count_parameters,
    empty_conditions,
    fill,
    known_model,
    meta_generator,
    num_bytes,
    text_encoder_parameters,
)
from faithfusion.video.plan.plan_steps import (
    fake_mode,
    mark_trained,
    trace_codec,
    trace_codec_in_tiles,
    trace_sampling,
    trace_training,
)
from faithfusion.video.plan.plan_trace import ATTENTION, LINEAR, Tracer

SIZE = ClipSize(9, 64, 96)
FP32 = MemoryConfig(dtype="fp32")
BRIDGE = ScheduleConfig(path="bridge")
WAN = WanConfig(num_layers=3, num_heads=2, head_dim=16, ffn_dim=64, text_dim=8, freq_dim=16, rope_max_len=64)
CONFIGS = {
    "dit": tiny_config(wan=WAN, schedule=BRIDGE, branch=BranchConfig("dit", 2), prior="none"),
    "vace": tiny_config(wan=WAN, schedule=BRIDGE, branch=BranchConfig("vace", 3), prior="none"),
}


# operations


def closed_operations(config: GeneratorConfig, size: ClipSize) -> tuple[int, int]:
    """Twin: of attention, and of all linear layers, in a step over all tokens; two per multiplication and addition."""
    wan, tokens, prompt = config.wan, size.tokens, config.prompt_tokens
    dim, blocks = wan.dim, wan.num_layers + config.branch.num_blocks
    attention = blocks * (4 * tokens * tokens * dim + 4 * tokens * prompt * dim)
    block = 4 * tokens * dim * dim + (2 * tokens + 2 * prompt) * dim * dim + 2 * tokens * dim * wan.ffn_dim
    levels = 32  # of phi
    times = levels * (wan.freq_dim * dim + dim * dim + 6 * dim * dim)
    text = prompt * (wan.text_dim * dim + dim * dim)
    out = tokens * dim * 4 * config.codec.latent_channels
    branch = config.branch.num_blocks * tokens * dim * dim
    entry = tokens * dim * dim if config.branch.init == "vace" else 0
    return attention, 2 * (blocks * block + times + text + out + branch + entry)


@pytest.mark.parametrize("name", CONFIGS)
def test_operations_of_a_step_are_those_of_the_closed_formula(name: str) -> None:
    trace = trace_sampling(CONFIGS[name], SIZE, FP32)
    attention, linear = closed_operations(CONFIGS[name], SIZE)
    assert trace.step.flops[ATTENTION] == attention
    assert trace.step.flops[LINEAR] == linear


@pytest.mark.parametrize("name", CONFIGS)
def test_operations_are_those_that_torch_counts_in_a_real_step(name: str) -> None:
    """With attention by explicit products, which torch's own counter knows."""
    generator, x, conditions = real_step(CONFIGS[name])
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        generator.velocity(x, torch.ones(1), conditions)
    assert trace_sampling(CONFIGS[name], SIZE, FP32).step.total_flops == counter.get_total_flops()


def test_operations_of_sparse_sampling_follow_the_active_tokens() -> None:
    config = CONFIGS["dit"]
    dense = trace_sampling(config, SIZE, FP32).step
    for active in (0.1, 0.3, 0.6):
        trace = trace_sampling(config, SIZE, FP32, active=active)
        count, dim = round(active * SIZE.tokens), config.wan.dim
        blocks = config.wan.num_layers + config.branch.num_blocks
        expected = blocks * (4 * count * SIZE.tokens * dim + 4 * count * config.prompt_tokens * dim)
        assert trace.step.flops[ATTENTION] == expected
        if active > 0.2:  # so small, prompt and times weigh more than a tenth of the tokens
            assert trace.step.total_flops < 1.3 * active * dense.total_flops
        assert trace.context is not None
        context = SIZE.tokens - count
        assert trace.context.flops[ATTENTION] == blocks * 4 * context * (context + config.prompt_tokens) * dim
        # keys and values of every token in every block, two numbers of 4 bytes per channel
        assert trace.cache_bytes == blocks * SIZE.tokens * 2 * dim * 4


@pytest.mark.slow
@pytest.mark.parametrize("model", ["1.3b", "vace-1.3b", "14b"])
def test_operations_of_the_public_models(model: str) -> None:
    size = ClipSize(81)
    step = trace_sampling(known_model(model), size, MemoryConfig()).step
    attention, linear = closed_operations(known_model(model), size)
    assert (step.flops[ATTENTION], step.flops[LINEAR]) == (attention, linear)
    sparse = trace_sampling(known_model(model), size, MemoryConfig(), active=0.1)
    assert sparse.step.total_flops < 1.05 * 0.1 * step.total_flops


# memory

LARGER = ClipSize(17, 160, 256)


def larger(name: str) -> GeneratorConfig:
    """Large enough that a kernel's own buffers weigh little."""
    return dataclasses.replace(CONFIGS[name], wan=dataclasses.replace(WAN, head_dim=48, ffn_dim=256))


def real_step(config: GeneratorConfig, size: ClipSize = SIZE) -> tuple[Generator, torch.Tensor, LatentConditions]:
    """A generator and inputs with data, phi = 1."""
    changes = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    generator = tiny_generator(trained=True, **changes)
    empty = empty_conditions(config, size, 1, 1, 1.0, fake_mode())
    filled = {
        field.name: torch.rand(value.shape) if isinstance(value := getattr(empty, field.name), torch.Tensor) else None
        for field in dataclasses.fields(empty)
    }
    conditions = LatentConditions(**{**filled, "phi": torch.ones_like(empty.phi)})
    return generator.requires_grad_(False), torch.rand(conditions.render_latent.shape), conditions


def allocated_peak(run: object) -> int:
    """Largest number of bytes that the allocator had given out, beyond those before, as torch's profiler saw it."""
    run()  # first calls allocate what stays
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert events
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("name", CONFIGS)
def test_peak_of_a_sampling_step_against_a_real_one(name: str) -> None:
    """Not seen is what the attention kernel needs for itself, here 0.6 MB for any number of tokens."""
    generator, x, conditions = real_step(larger(name), LARGER)
    heads = torch.rand(1, 2, LARGER.tokens, larger(name).wan.head_dim)

    def run() -> None:
        with torch.no_grad():
            generator.velocity(x, torch.ones(1), conditions)

    predicted = trace_sampling(larger(name), LARGER, FP32).step.peak_bytes
    kernel = allocated_peak(lambda: scaled_dot_product_attention(heads, heads, heads)) - num_bytes([heads])
    measured = allocated_peak(run)
    assert predicted <= 1.01 * measured and measured <= 1.05 * (predicted + kernel), (predicted, kernel, measured)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_peak_of_a_training_step_against_a_real_one(name: str, checkpointing: bool) -> None:
    generator, x, conditions = real_step(larger(name), LARGER)
    mark_trained(generator, "branch")
    generator.backbone.checkpoint_blocks = generator.branch.checkpoint_blocks = checkpointing
    for parameter in generator.branch.parameters():
        parameter.register_post_accumulate_grad_hook(lambda parameter: setattr(parameter, "grad", None))
    target = torch.rand_like(x)

    def run() -> None:
        velocity = generator.velocity(x, torch.ones(1), conditions).float()
        loss = (velocity - target).square().mean()
        del velocity
        loss.backward()

    trace = trace_training(larger(name), LARGER, FP32, checkpointing=checkpointing)
    measured = allocated_peak(run)
    assert 0.97 * measured < trace.both.peak_bytes <= 1.03 * measured, (trace.both.peak_bytes, measured)
    assert 0 < trace.activation_bytes <= trace.both.peak_bytes


def test_recomputation_saves_activations_and_costs_a_forward_pass() -> None:
    kept, recomputed = (trace_training(CONFIGS["dit"], SIZE, FP32, checkpointing=on) for on in (False, True))
    assert recomputed.activation_bytes < 0.4 * kept.activation_bytes
    assert recomputed.forward_flops == kept.forward_flops
    extra = recomputed.both.total_flops - kept.both.total_flops
    # the first block of the backbone is not run again: nothing that is trained comes before it
    assert 0.5 * kept.forward_flops < extra < kept.forward_flops


def test_low_rank_updates_and_references_are_planned() -> None:
    plain, more = (tiny_config(wan=WAN, schedule=BRIDGE, **changes) for changes in ({}, {"branch__references": True}))
    assert count_parameters(meta_generator(plain))["LoRA"] == 0
    config = dataclasses.replace(more, lora=dataclasses.replace(more.lora, rank=4))
    lora = count_parameters(meta_generator(config))["LoRA"]
    assert lora == WAN.num_layers * 8 * 2 * 4 * WAN.dim  # q, k, v, o of two attentions, A and B
    costs = [trace_sampling(config, SIZE, FP32, references=count) for count in (1, 3)]
    assert costs[0].step.total_flops < costs[1].step.total_flops
    assert costs[0].condition_bytes < costs[1].condition_bytes
    plan = make_plan(PlanRequest(config, SIZE, memory=FP32, parts=("training",)))
    assert plan.training is not None
    assert plan.training.parameters == lora + plan.parameters["branch"]


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("tiles", [None, Tiles(48, 16)])
def test_codec_against_a_real_run(decode: bool, tiles: Tiles | None) -> None:
    """What a convolution's kernel needs for itself is not seen; on this CPU that is more than all the rest."""
    config = CodecConfig("wan", latent_channels=8, wan=WanVaeConfig(8, (1, 2, 2, 2), 1))
    real, planned = build_codec(config).eval().requires_grad_(False), build_codec(config).eval().requires_grad_(False)
    planned.to("meta")
    fill(planned, fake_mode())
    predicted = (
        trace_codec(planned, SIZE, decode=decode)
        if tiles is None
        else trace_codec_in_tiles(planned, SIZE, tiles, decode=decode)
    )
    real.tiles = tiles
    source = torch.rand(1, 8, *SIZE.latent) if decode else torch.rand(1, 3, SIZE.frames, SIZE.height, SIZE.width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        real.decode(source) if decode else real.encode(source)
    assert predicted.flops == counter.get_total_flops()

    with torch.no_grad(), Tracer([*real.parameters(), *real.buffers(), source]) as tracer:
        real.decode(source) if decode else real.encode(source)
    followed = tracer.read().peak_bytes + num_bytes([source])
    assert 0.97 * followed < predicted.peak_bytes < 1.03 * followed, (predicted.peak_bytes, followed)


def test_the_tracer_follows_what_lives() -> None:
    known = torch.zeros(100)
    with Tracer([known]) as tracer:
        view = known[:50]  # no new memory
        first = known + 1.0
        second = torch.cat([first, view])
        del first
        third = second[:10].clone()
        cost = tracer.read()
        del second, third
        assert cost.peak_bytes == 400 + 600 and cost.kept_bytes == 600 + 40
        assert tracer.read().kept_bytes == 0
        torch.zeros(10_000, device="meta")
        tracer.restart()
        assert tracer.read().peak_bytes == 0


# parameters and weights


def test_parameters_of_the_public_models() -> None:
    """T2V as published (docs/memory.md); a dit branch of two blocks is two blocks, two projections and an input."""
    counts = {name: count_parameters(meta_generator(known_model(name))) for name in ("1.3b", "14b", "vace-1.3b")}
    assert counts["1.3b"]["backbone"] == 1_418_996_800
    assert counts["14b"]["backbone"] == 14_288_491_584
    assert counts["1.3b"]["VAE"] == 126_892_531
    dim, block = 1536, 46_443_000
    assert abs(counts["1.3b"]["branch"] - 2 * (block + dim * dim)) < 1e6
    assert 0.735e9 < counts["vace-1.3b"]["branch"] < 0.736e9 + 84 * 4 * dim


@pytest.mark.slow
def test_parameters_of_the_text_encoder() -> None:
    from transformers import UMT5Config, UMT5EncoderModel

    sizes = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "vocab_size": 256384}
    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5Config(**sizes, feed_forward_proj="gated-gelu"))
    assert text_encoder_parameters() == sum(parameter.numel() for parameter in encoder.parameters())


@pytest.mark.parametrize(
    ("stage", "gpus", "weights", "gradients", "states"),
    [
        (0, 8, 2000, 2000, 12000),
        (1, 8, 2000, 2000, 1500),
        (2, 8, 2000, 250, 1500),
        (3, 8, 250, 250, 1500),
        (3, 1, 2000, 2000, 12000),
    ],
)
def test_zero_divides_what_its_stage_says(stage: int, gpus: int, weights: int, gradients: int, states: int) -> None:
    trained = trained_bytes(1000, ZeroSettings(stage, gpus, bucket=0, live=0))
    assert (trained.weights, trained.gradients, trained.master + trained.moments) == (weights, gradients, states)
    assert trained.average == 4000 and trained.standing == weights + gradients + states + 4000


def test_zero_settings_of_the_files_that_ship() -> None:
    folder = Path(__file__).resolve().parents[3] / "ds_configs"
    read = {path.stem: zero_settings(json.loads(path.read_text()), 2) for path in folder.glob("*.json")}
    assert {name: settings.stage for name, settings in read.items() if name.startswith(("zero", "cpu"))} == {
        name: int(name[4]) if name != "cpu" else 0 for name in read if name.startswith(("zero", "cpu"))
    }
    assert read["zero2"].bucket == 100_000_000 and read["zero2"].buffers == 2
    offloaded = trained_bytes(1000, read["zero2_offload"])
    assert offloaded.master == offloaded.moments == offloaded.gradients == 0


DEEPSPEED_PROBE = """
import gc, logging, os, sys
import torch
from faithfusion.video.plan.plan_trace import Tracer
os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[1])
import deepspeed, deepspeed.ops
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
deepspeed.utils.logger.setLevel(logging.ERROR)
deepspeed.init_distributed("gloo", verbose=False)
side = 256
for stage in range(4):
    model = torch.nn.Sequential(*[torch.nn.Linear(side, side, bias=False) for _ in range(4)])
    known = torch.zeros(1)
    with Tracer([known]) as tracer:
        engine, *_ = deepspeed.initialize(
            model=model, optimizer=torch.optim.AdamW(model.parameters()), dist_init_required=False,
            config={"train_micro_batch_size_per_gpu": 1, "bf16": {"enabled": True},
                    "zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False,
                    "zero_optimization": {"stage": stage, "reduce_bucket_size": side * side}})
        for _ in range(2):
            engine.backward(engine(torch.ones(1, side, dtype=torch.bfloat16)).float().square().mean())
            gc.collect()
            standing = tracer.read().kept_bytes
            engine.step()
    print("bytes per parameter", stage, standing / (4 * side * side), flush=True)
"""


@pytest.mark.slow
def test_bytes_of_deepspeed_itself(tmp_path: Path) -> None:
    """One real process: what is alive after the backward pass, by stage. Buffers come and go and are left out."""
    probe = tmp_path / "probe.py"
    probe.write_text(DEEPSPEED_PROBE)
    run = subprocess.run([sys.executable, str(probe), "29655"], capture_output=True, text=True, timeout=300)
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith("bytes per parameter")]
    assert len(lines) == 4, run.stderr[-2000:]
    for line in lines:
        trained = trained_bytes(1_000_000, ZeroSettings(int(line[3]), 1, bucket=0, live=0), average_on_card=False)
        measured = float(line[4])
        assert trained.standing / 1e6 <= measured * 1.01 and measured < trained.standing / 1e6 + 2.6, line
