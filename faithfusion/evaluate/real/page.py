"""The ladder as one Markdown table: a row per figure, a column per drive and direction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faithfusion.evaluate.real.ladder import Direction, Scores, eig_summary
from faithfusion.evaluate.real.surfaces import KINDS

EXPLANATION = """\
One camera of a drive is fitted, calibrated and refined beside its path; the pictures of another camera of the rig,
which nothing saw, are the truth. Kinds of surface come from each frame's own scan, in cells of 8 pixels: the nearest
return is road or stands upright; "beyond LiDAR" has no return; without sky masks "sky" is what is above all returns and
bright. PSNR is in dB. Flow is what Lucas and Kanade find between render and picture, with what moving all renders by
its median would win; exposure what the best gain per picture and channel would win. "Predicted / actual" are calibrated
and true RMS error in deciles of the prediction."""
QUALITY = ("psnr_db", "ssim", "mobilenet_distance")
DIGITS = {"psnr_db": 2, "ssim": 3, "mobilenet_distance": 3, "exposure_db": 2, "flow_db": 2}
Row = tuple[str, list[str]]


def ladder_page(found: Sequence[Direction], command: str) -> str:
    """The page with its command, an explanation and the table."""
    lines = ["# The ladder of recorded drives", "", f"Made by `{command}`.", "", EXPLANATION, ""]
    names = [one.name for one in found]
    lines += ["| stage | figure | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for stage, (figure, cells) in _rows(found):
        lines.append(f"| {stage} | {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _rows(found: Sequence[Direction]) -> Iterator[tuple[str, Row]]:
    yield "fit", ("Gaussians", [f"{one.gaussians:,}" for one in found])
    sets = list(found[0].rungs["fit"])
    for name in sets:
        scores = [one.rungs["fit"].get(name, {}) for one in found]
        for row in _quality(name, scores):
            yield "fit", row
    for name in sets:
        scores = [one.rungs["fit"].get(name, {}) for one in found]
        cells = [
            f"{_show(s, 'flow_px')} ({_show(s, 'flow_x_px')}, {_show(s, 'flow_y_px')}), {_show(s, 'flow_db')}"
            for s in scores
        ]
        yield "poses", (f"{name}: flow, px (median x, y), dB to win", cells)
    for name in sets:
        scores = [one.rungs["fit"].get(name, {}) for one in found]
        yield (
            "exposure",
            (f"{name}: log gain, dB to win", [f"{_show(s, 'exposure')}, {_show(s, 'exposure_db')}" for s in scores]),
        )
    summaries = [eig_summary(one.rungs["eig"]) for one in found]
    for key in ("spearman", "ause", "worst of five deciles", "marked_share"):
        yield "EIG, true camera", (key.replace("_", " "), [_show(s, key) for s in summaries])
    for decile in range(10):
        yield "EIG, true camera", (f"decile {decile + 1}, predicted / actual", [_decile(one, decile) for one in found])
    for when in ("render", "edited"):
        for row in _quality(f"true camera, {when}", [one.rungs["editor"][when] for one in found]):
            yield "editor", row
    yield "editor", ("pixels that are the render's own", [f"{one.rungs['editor']['kept_share']:.1%}" for one in found])
    for stage in ("settled", "refined"):
        for name in sets[1:]:
            for row in _quality(name, [one.rungs[stage].get(name, {}) for one in found]):
                yield f"scene, {stage}", row


def _quality(name: str, scores: Sequence[Scores]) -> Iterator[Row]:
    yield f"{name}: PSNR, SSIM, MobileNetV2", [", ".join(_show(s, key) for key in QUALITY) for s in scores]
    yield f"{name}: {', '.join(KINDS)}", [", ".join(_show(s, f"psnr_db {kind}") for kind in KINDS) for s in scores]


def _decile(one: Direction, decile: int) -> str:
    predicted, actual = (one.rungs["eig"][f"{name}_rms"][decile] for name in ("predicted", "actual"))
    return f"{predicted:.3f} / {actual:.3f}"


def _show(scores: Scores, key: str) -> str:
    return f"{scores[key]:.{DIGITS.get(key.partition(' ')[0], 3)}f}" if key in scores else "–"
