"""What an editor gets: a clip of the scene from new poses with EIG, references and warped recorded views.
`window.window_of` makes one."""
