"""Weights times editors on test streets: settings, rows, streets, intervals and the table."""
