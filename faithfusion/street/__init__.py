"""The procedural street: a drive with exact truth on the recorded path and beside it, traced on the CPU.
`writer.make_street` is the way in; everything else is what stands, walks and drives there."""
