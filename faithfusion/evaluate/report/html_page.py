"""One HTML page without any outside file: style, pictures and videos are inside."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.utils.media import to_uint8

MAX_PNG_BYTES = 400_000  # larger pictures are stored as JPEG

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #63636a; --paper: #ffffff; --card: #f5f5f3; --rule: #dddcd8;
  --best: #dff0e6; --note: #fdf3d8; --s0: #0072b2; --s1: #d55e00; --s2: #008a64; --s3: #9a5a91; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececee; --soft: #a2a2ab; --paper: #161618; --card: #202024;
  --rule: #3a3a40; --best: #1d4030; --note: #3b3218; --s0: #56b4e9; --s1: #f0914c; --s2: #40c79c; --s3: #d59bce; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 72rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
p, ul { max-width: 46rem; margin: .5rem 0; }
ul { padding-left: 1.2rem; }
figure { margin: 0 0 1.25rem; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .3rem; }
video, img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
video { width: 100%; max-height: 85vh; background: #18181b; }
.notes { background: var(--note); border-radius: 6px; padding: .6rem 1rem; max-width: 46rem; margin: 1rem 0; }
.notes p { margin: .15rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
th, td { padding: .4rem .9rem; border-bottom: 1px solid var(--rule); text-align: right; vertical-align: top; }
th[scope=row] { text-align: left; font-weight: 400; padding-left: 0; min-width: 16rem; }
th small { display: block; color: var(--soft); font-size: .8rem; line-height: 1.35; max-width: 24rem; }
td.best { background: var(--best); font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.25rem; }
.charts figure { background: var(--card); border-radius: 8px; padding: .9rem .9rem .4rem; margin: 0; }
.charts figcaption { color: var(--ink); font-weight: 600; margin: 0 0 .3rem; }
svg { display: block; width: 100%; height: auto; }
svg.bar { max-width: 25rem; margin: .75rem 0; }
svg text { fill: var(--soft); font-size: 12.5px; }
svg text.axis { fill: var(--ink); }
.grid { stroke: var(--rule); }
.diagonal { stroke: var(--soft); stroke-dasharray: 5 4; fill: none; stroke-width: 1.5; }
.series path { fill: none; stroke: var(--c); stroke-width: 2.2; stroke-linejoin: round; }
.series circle { fill: var(--c); }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
details { margin-top: 2.5rem; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; background: var(--card); border-radius: 6px; padding: .9rem 1rem; font-size: .82rem; }
"""


def html_page(title: str, body: str) -> str:
    """Returns a whole document in the style of the report."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def html_video(path: Path, caption: str) -> str:
    """Returns a player with the mp4 file itself inside. Raises InputError if the file is missing."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, error.strerror or error, "a video for the report") from None
    source = "data:video/mp4;base64," + base64.b64encode(data).decode()
    return (
        f'<figure><video controls loop muted playsinline preload="auto" src="{source}"></video>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def html_image(image: Float[Tensor, "h w 3"] | np.ndarray | Path, caption: str) -> str:
    """Returns a picture with its caption, as PNG, or as JPEG where PNG would be large. Takes floats in [0, 1], uint8
    arrays, or a PNG file."""
    if isinstance(image, Path):
        data = image.read_bytes()
        picture = Image.open(io.BytesIO(data))
    else:
        picture = Image.fromarray(image if isinstance(image, np.ndarray) else to_uint8(image))
        data = _encode(picture, "PNG")
    kind = "png"
    if len(data) > MAX_PNG_BYTES:
        kind, data = "jpeg", _encode(picture, "JPEG", quality=92)
    source = f"data:image/{kind};base64," + base64.b64encode(data).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


def _encode(picture: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
