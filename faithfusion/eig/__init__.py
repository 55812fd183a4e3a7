"""See docs/pipeline.md."""
