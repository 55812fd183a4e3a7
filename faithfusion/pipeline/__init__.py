"""One run: the stages fit, calibrate, edit and distil, each written once, and what they leave on disk.
`refine.run_refinement` chains them; benchmarks, ablation and pairs call the same stages."""
