"""Training pairs from streets and recorded drives: degraded renders, their EIG, true views and the true clip.
`make.make_pairs` is the way in."""
