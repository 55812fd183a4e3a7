"""How much every pixel of an edited clip counts in the distillation: ours, and those it is compared with.
`registry.WEIGHTS` lists them by name; `context` holds what a weight may look at beside the clip."""
