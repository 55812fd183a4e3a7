"""This package edits clips: it holds the Wan2.1 generator with its EIG branch, and the single-image fixer.
`open_editors` opens editors by name; a room each holds networks, editing, fixer, weights files and planning."""
