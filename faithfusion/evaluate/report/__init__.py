"""What people look at: panels, charts, tables, and the page of a run."""
