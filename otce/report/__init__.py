"""The report of a run: one HTML page, its plots, and what it says in words."""
