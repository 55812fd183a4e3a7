"""Checks a drive for faults that parse fine, and draws what was understood of it.
`check_clip.check_clip` asks every question in turn; `page` shows the answers."""
