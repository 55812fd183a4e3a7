"""Networks that improve pictures in pixels: the small fixer, alone or with its neighbouring frames, and the generator's
head. What all fixers read, and what they have in common."""
