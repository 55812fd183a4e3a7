"""Writes a plan as text."""

from __future__ import annotations

from faithfusion.video.plan.plan import OFFLOADS, CodecPlan, Plan, TrainingPlan
from faithfusion.video.plan.plan_steps import CodecTrace, SamplingTrace
from faithfusion.video.plan.plan_trace import ATTENTION, Trace

GB, TERA, MILLION = 1e9, 1e12, 1e6


def plan_lines(plan: Plan, name: str) -> list[str]:
    """The lines of text that show all that was planned."""
    lines = _header(plan, name)
    if plan.sampling or plan.codec:
        lines += ["", *_operations(plan)]
    if plan.sampling or plan.codec:
        lines += ["", *_sampling_memory(plan)]
    if plan.training:
        lines += ["", *_training_lines(plan, plan.training)]
    return lines


def _header(plan: Plan, name: str) -> list[str]:
    request = plan.request
    size, branch, lora = request.size, request.generator.branch, request.generator.lora.rank
    frames, rows, columns = size.latent
    parts = [f"{part} {count / MILLION:,.1f}" for part, count in plan.parameters.items() if count]
    extras = f", LoRA of rank {lora}" if lora else ""
    return [
        f"{name}: branch {branch.init}, {branch.num_blocks} blocks{extras}",
        f"clip: {size.frames} frames of {size.height}x{size.width}, latents {frames}x{rows}x{columns}, "
        f"{size.tokens:,} tokens",
        f"parameters, millions: {', '.join(parts)}",
    ]


def _operations(plan: Plan) -> list[str]:
    lines = ["operations of sampling, TFLOP"]
    dense = plan.sampling[0].step.total_flops if plan.sampling else 0
    for trace in plan.sampling:
        if trace.context is None:
            lines.append(_row("step, all tokens", _flops(trace.step)))
            continue
        share = f"{trace.active:.0%} active"
        ratio = f"   {trace.step.total_flops / dense / trace.active:.2f} x {share.split()[0]} of all tokens"
        lines.append(_row(f"step, {share}", _flops(trace.step) + ratio))
        lines.append(_row(f"context, {share}, once a clip", _flops(trace.context)))
    if plan.codec:
        for label, whole, tiled in _codec_rows(plan.codec):
            cells = f"{_number(whole.flops / TERA, 1)}   in tiles{_number(tiled.flops / TERA, 1)}"
            lines.append(_row(f"VAE {label}", cells))
        if plan.codec.head:
            lines.append(_row("head", _number(plan.codec.head.flops / TERA, 1)))
    return lines


def _flops(trace: Trace) -> str:
    total = trace.total_flops
    return f"{_number(total / TERA, 1)}   attention {trace.flops.get(ATTENTION, 0) / total:4.0%}"


def _codec_rows(codec: CodecPlan) -> list[tuple[str, CodecTrace, CodecTrace]]:
    return [("encode", codec.encode, codec.encode_tiled), ("decode", codec.decode, codec.decode_tiled)]


def _sampling_memory(plan: Plan) -> list[str]:
    lines = [
        "memory of sampling, GB on the card, by memory.offload",
        _row("", "".join(f"{kind:>10}" for kind in OFFLOADS)),
        _row("weights, transformer at work", _cells([plan.resident[kind].transformer for kind in OFFLOADS])),
        _row("weights, VAE at work", _cells([plan.resident[kind].codec for kind in OFFLOADS])),
        _row("weights copied to it in every step", _cells([plan.resident[kind].copied for kind in OFFLOADS])),
    ]
    for trace in plan.sampling:
        weights = [plan.resident[kind].transformer for kind in OFFLOADS]
        name = "all tokens" if trace.context is None else f"{trace.active:.0%} active"
        lines.append(_row(f"peak, step, {name}", _cells([value + trace.peak_bytes for value in weights]) + _of(trace)))
    for label, whole, tiled in _codec_rows(plan.codec) if plan.codec else []:
        weights = [plan.resident[kind].codec for kind in OFFLOADS]
        lines.append(_row(f"peak, VAE {label}", _cells([value + whole.peak_bytes for value in weights])))
        tile = plan.request.tiles.pixels
        cells = _cells([value + tiled.peak_bytes for value in weights])
        lines.append(_row(f"peak, VAE {label}, tiles of {tile}", cells))
    if plan.codec and plan.codec.head:
        weights = [plan.resident[kind].head for kind in OFFLOADS]
        lines.append(_row("peak, head", _cells([value + plan.codec.head.peak_bytes for value in weights])))
    return lines


def _of(trace: SamplingTrace) -> str:
    if trace.context is None:
        return f"   working set {trace.step.peak_bytes / GB:.2f}"
    kept = f"   keys and values {trace.cache_bytes / GB:.2f}"
    return f"{kept}, working set {trace.step.peak_bytes / GB:.2f}, of context {_context_working(trace) / GB:.2f}"


def _context_working(trace: SamplingTrace) -> int:
    return trace.context.peak_bytes - trace.cache_bytes if trace.context else 0


def _training_lines(plan: Plan, training: TrainingPlan) -> list[str]:
    request, trace, trained = plan.request, training.trace, training.trained
    zero = request.zero
    backward = trace.both.total_flops - trace.forward_flops
    recomputed = "with recomputation" if request.checkpointing else "all activations kept"
    rows = [
        ("frozen weights", training.frozen_bytes),
        ("trained weights", trained.weights),
        ("gradients", trained.gradients),
        ("float32 master copy", trained.master),
        ("Adam's moments", trained.moments),
        ("buffers of DeepSpeed", trained.buffers),
        ("EMA (first process only)", trained.average),
        ("batch", trace.batch_bytes),
        ("activations kept", trace.activation_bytes),
        ("working set", trace.working_bytes),
    ]
    return [
        f"training of {training.parameters / MILLION:,.1f} million parameters, ZeRO {zero.stage}, cards: {zero.gpus}, "
        f"windows on each: {request.micro_batch}",
        _row("forward, TFLOP", _number(trace.forward_flops / TERA, 1)),
        _row(f"backward, TFLOP, {recomputed}", _number(backward / TERA, 1)),
        "memory of training, GB on each card",
        *(_row(label, _cells([value])) for label, value in rows if value),
        _row("peak, forward and backward", _cells([training.step_bytes])),
        _row("peak, update", _cells([training.update_bytes])),
    ]


def _row(label: str, cells: str) -> str:
    return f"  {label:<38}{cells}"


def _cells(values: list[int]) -> str:
    return "".join(_number(value / GB, 2) for value in values)


def _number(value: float, digits: int) -> str:
    """A number with a digit more where it is small."""
    return f"{value:10,.{digits if value >= 0.1 or value == 0.0 else digits + 2}f}"
