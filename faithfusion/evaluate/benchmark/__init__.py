"""Many drives, one table: every drive is fitted, edited and distilled at every shift by every method, then measured.

`config` and `drives` say what is compared where, `one_drive` makes the results of one drive, `engine` maps the drives
over this machine or a Ray cluster, `run` chains everything and `table` writes what came out.
"""
