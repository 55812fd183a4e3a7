"""The codecs by name. A new one is a file with a subclass of `base.NormalisedCodec` and a line here, or no line and the
import path `package.module:Class` in the configuration. Importing this imports no codec."""

from __future__ import annotations

import importlib

from faithfusion.utils.errors import InputError

CODECS = {
    "tiny": "faithfusion.video.model.codecs.tiny:TinyVae",
    "wan": "faithfusion.video.model.codecs.wan:WanVae",
}


def require_codec_name(name: str) -> None:
    """Raises InputError for a name that is neither registered nor looks like the path of a class."""
    if name not in CODECS and ":" not in name:
        raise InputError("codec.name", name, f"one of {', '.join(CODECS)}, or package.module:Class")


def codec_class(name: str) -> type:
    """The class of a codec. Raises InputError where there is none."""
    require_codec_name(name)
    module, _, attribute = CODECS.get(name, name).partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError("codec.name", f"{name} ({error})", "the path of a class, package.module:Class") from None
    if not (isinstance(found, type) and hasattr(found, "stride") and hasattr(found, "chunk_frames")):
        raise InputError("codec.name", f"{name}, which is no codec", "a subclass of NormalisedCodec")
    return found
