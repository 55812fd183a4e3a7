"""Video codecs, one file each: `registry.py` says which name means which. A codec subclasses `base.NormalisedCodec`.
Wan2.1's causal VAE, and a small convolutional codec for a CPU."""
