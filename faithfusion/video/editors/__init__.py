"""The editors that a run can name: one file each, with the options of its entry in `editors` of a configuration.
`kinds.EDITORS` lists them, `registry` opens what a run asks for, `own` finds an editor in a Python file of the user."""
