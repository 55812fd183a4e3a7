"""The codecs by name. A new one is a file with a subclass of `base.NormalisedCodec` and a line here, or no line and the
import path in the configuration. Importing this imports no codec."""

from __future__ import annotations

from faithfusion.utils.errors import InputError
from faithfusion.utils.import_path import imported

CODECS = {"tiny": "faithfusion.video.model.codecs.tiny:TinyVae", "wan": "faithfusion.video.model.codecs.wan:WanVae"}

EXPECTED = "package.module:Class or path/to/file.py:Class, of a subclass of NormalisedCodec"


def require_codec_name(name: str) -> None:
    """Raises InputError for a name that is neither registered nor looks like the path of a class."""
    if name not in CODECS and ":" not in name:
        raise InputError("codec.name", name, f"one of {', '.join(CODECS)}, or the import path of your own")


def codec_class(name: str) -> type:
    """The class of a codec. Raises InputError where there is none."""
    require_codec_name(name)
    found = imported(CODECS.get(name, name), "codec.name", EXPECTED)
    if not (isinstance(found, type) and hasattr(found, "stride") and hasattr(found, "chunk_frames")):
        raise InputError("codec.name", f"{name}, which is no codec", "a subclass of NormalisedCodec")
    return found
