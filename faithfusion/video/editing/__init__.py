"""Turns a rendered window into the edited one: it encodes, samples, decodes, fuses with the render and steadies.
An editor is whatever has `edit(window)`."""
