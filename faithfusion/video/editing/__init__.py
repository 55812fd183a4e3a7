"""From a rendered window to the edited one: encode, sample, decode, fuse with the render, steady in time.
An editor is whatever has `edit(window)`."""
