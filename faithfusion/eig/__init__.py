"""Expected information gain: what recorded views tell about the Gaussians, and what a pixel would still tell.
`field.EigField` is the whole quantity behind one class; the other files are its formulas and kernels."""
