"""The editors that a run can name: one file each, with the options of its entry in `editors` of a configuration.
`registry.EDITORS` lists them and opens what a run asks for; `own` finds an editor in the user's own Python file."""
