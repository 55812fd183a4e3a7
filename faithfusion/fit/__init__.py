"""Fitting a Gaussian scene to recorded or edited views: optimiser, losses, exposure, motion, memory budget.
`fit.fit_scene` is the way in from a drive."""
