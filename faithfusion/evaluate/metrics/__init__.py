"""What is measured of images, clips and uncertainty maps, mostly against the truth. `registry.METRICS` lists the
metrics of clips by name."""
