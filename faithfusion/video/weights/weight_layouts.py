"""Names and shapes of Wan2.1's public weights in three layouts, written once and strict both ways.

Layouts: "official" (Wan-Video's own files), "diffsynth" (official names, the VAE's with the prefix `model.`) and
"diffusers" (its transformer and VAE, and transformers' UMT5 encoder). The code of this project uses diffusers' names.
Sources: Wan-Video/Wan2.1 `wan/modules`, diffusers `scripts/convert_wan_to_diffusers.py`, DiffSynth's
`utils/state_dict_converters`; the tests compare every name and shape with the upstream classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from faithfusion.utils.errors import InputError
from faithfusion.video.weights.layout_tables import NOUNS, SIGNATURES, STRANGERS, Kind, kind_rows
from faithfusion.video.weights.layout_tables_vae import Row, vae_symbols

Layout = Literal["official", "diffsynth", "diffusers"]
Shape = tuple[int, ...]
T = TypeVar("T")

PREFIX = "model."  # of DiffSynth's VAE; its converter takes it off a DiT too
TIED = "encoder.embed_tokens.weight"  # the same tensor as shared.weight, in some files of the text encoder
SIZES = {1536: "1.3B", 5120: "14B"}  # by width


@dataclass(frozen=True)
class Match:
    """The kind, layout and sizes of a set of tensors. `names`: diffusers name -> name found; `symbols`: sizes by the
    names in the tables, with `layers` and `adapters`, the numbers of blocks."""

    kind: Kind
    layout: Layout
    names: dict[str, str]
    official: dict[str, str]  # diffusers name -> official name
    shapes: dict[str, Shape]  # by diffusers name
    symbols: dict[str, int]

    def describe(self) -> str:
        """The model in words, for example "a Wan2.1 DiT (1.3B: 30 layers, width 1536, 16 input channels)"."""
        if self.kind in ("vae", "umt5"):
            return NOUNS[self.kind]
        phrases = {
            "layers": "{} layers",
            "adapters": "{} adapter blocks",
            "dim": "width {}",
            "inputs": "{} input channels",
        }
        facts = [text.format(self.symbols[name]) for name, text in phrases.items() if self.symbols.get(name)]
        size = SIZES.get(self.symbols["dim"])
        return f"{NOUNS[self.kind]} ({size + ': ' if size else ''}{', '.join(facts)})"


def detect(names: Mapping[str, object] | Sequence[str], where: str | Path = "weights") -> tuple[Kind, Layout]:
    """Kind and layout of a state, by its names alone. What DiffSynth and Wan-Video name alike counts as official.

    Raises InputError for anything that is not Wan2.1.
    """
    found = set(names)
    prefixed = bool(found) and all(name.startswith(PREFIX) for name in found)
    found = {name.removeprefix(PREFIX) for name in found} if prefixed else found
    hits = [hit for pattern, *hit in SIGNATURES if any(re.match(pattern, name) for name in found)]
    if not hits:
        raise InputError(where, f"tensors {_few(sorted(found))}{_stranger(found)}", "weights of Wan2.1")
    kind, diffusers = hits[0]
    if kind == "dit" and any(name.startswith("vace_") for name in found):
        kind = "vace"
    return kind, "diffusers" if diffusers else "diffsynth" if prefixed else "official"


def match(shapes: Mapping[str, Shape], where: str | Path = "weights") -> Match:
    """Names and shapes found against the tables of their kind.

    Raises InputError that names the first tensors that are missing, unknown or of another shape.
    """
    kind, layout = detect(shapes, where)
    column = 1 if layout == "diffusers" else 0
    prefix = PREFIX if layout == "diffsynth" else ""
    found = {name.removeprefix(prefix): tuple(shape) for name, shape in shapes.items()}
    if kind == "umt5" and layout == "diffusers":
        found = _untied(found, where)
    counts = vae_symbols(found, column) if kind == "vae" else _counts(found)
    rows = list(kind_rows(kind, counts))
    symbols, wrong = _solve(rows, found, column, counts)
    expected = {row[column] for row in rows}
    missing = [row[column] for row in rows if row[column] not in found]
    unknown = [name for name in found if name not in expected]
    if missing or unknown or wrong:
        problems = [f"{len(missing)} tensors missing ({_few(missing)})"] * bool(missing)
        problems += [f"{len(unknown)} unknown ({_few(unknown)})"] * bool(unknown)
        problems += [f"{len(wrong)} of another shape ({_few(wrong)})"] * bool(wrong)
        looks = _stranger(unknown) or f", looks like {NOUNS[kind]}"
        raise InputError(where, ", ".join(problems) + looks, f"exactly the tensors of {NOUNS[kind]}")
    original = {name.removeprefix(prefix): name for name in shapes}
    names = {row[1]: original.get(row[column], original.get(TIED, "")) for row in rows}
    official = {row[1]: row[0] for row in rows}
    return Match(kind, layout, names, official, {row[1]: found[row[column]] for row in rows}, symbols)


def to_diffusers(state: Mapping[str, T], kind: Kind, where: str | Path = "weights") -> dict[str, T]:
    """The same tensors (or anything with a `shape`) under diffusers' names, from any layout.

    Raises InputError if the state is not exactly a `kind`.
    """
    found = match({name: tuple(value.shape) for name, value in state.items()}, where)
    require_kind(found, (kind,), where)
    return {name: state[original] for name, original in found.names.items()}


def from_diffusers(state: Mapping[str, T], kind: Kind, layout: Layout) -> dict[str, T]:
    """The way back: a state in diffusers' names under those of `layout`. Raises InputError as `to_diffusers`."""
    known = match({name: tuple(value.shape) for name, value in state.items()})
    require_kind(known, (kind,), "weights")
    if known.layout != "diffusers":
        raise InputError("weights", f"names of the {known.layout} layout", "diffusers' names")
    prefix = PREFIX if layout == "diffsynth" and kind == "vae" else ""
    names = {} if layout == "diffusers" else {name: prefix + other for name, other in known.official.items()}
    return {names.get(name, name): state[original] for name, original in known.names.items()}


def require_kind(found: Match, kinds: Sequence[Kind], where: str | Path) -> None:
    """Raises InputError unless the weights are of one of these kinds."""
    if found.kind not in kinds:
        raise InputError(where, found.describe(), " or ".join(NOUNS[kind] for kind in kinds))


def _solve(
    rows: Sequence[Row], found: Mapping[str, Shape], column: int, known: Mapping[str, int]
) -> tuple[dict[str, int], list[str]]:
    """Sizes by name, each taken from the first tensor that has it, and what disagrees with them."""
    symbols, wrong = dict(known), []
    for row in rows:
        shape, tokens = found.get(row[column]), row[2].split()
        if shape is None:
            continue
        if len(shape) == len(tokens):
            for token, size in zip(tokens, shape, strict=True):
                factor, symbol = _parse(token)
                if symbol and size % factor == 0:
                    symbols.setdefault(symbol, size // factor)
        expected = tuple(
            factor * symbols.get(symbol, 0) if symbol else factor for factor, symbol in map(_parse, tokens)
        )
        if shape != expected:
            wrong.append(f"{row[column]} is {list(shape)}, not {list(expected)}")
    return symbols, wrong


def _parse(token: str) -> tuple[int, str]:
    """ "6*dim" to (6, "dim"), "dim" to (1, "dim"), "6" to (6, "")."""
    factor, _, symbol = token.rpartition("*")
    return (int(symbol), "") if symbol.isdigit() else (int(factor or 1), symbol)


def _counts(found: Mapping[str, Shape]) -> dict[str, int]:
    return {
        "layers": _count(found, r"(?:encoder\.block|blocks)\.(\d+)\."),
        "adapters": _count(found, r"vace_blocks\.(\d+)\."),
    }


def _count(names: Mapping[str, Shape], pattern: str) -> int:
    """Blocks 0 .. the highest index; not more than twice as many as there are, whatever a stray index says."""
    indices = {int(hit.group(1)) for name in names if (hit := re.match(pattern, name))}
    return min(max(indices) + 1, 2 * len(indices)) if indices else 0


def _untied(found: dict[str, Shape], where: str | Path) -> dict[str, Shape]:
    tied = found.pop(TIED, None)
    if tied is not None and found.setdefault("shared.weight", tied) != tied:
        raise InputError(
            where, f"{TIED} is {list(tied)}", f"the shape of shared.weight, {list(found['shared.weight'])}"
        )
    return found


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _stranger(names: Sequence[str] | set[str]) -> str:
    kinds = (noun for part, noun in STRANGERS if any(part in name for name in names))
    return next((f", looks like {noun}" for noun in kinds), "")
