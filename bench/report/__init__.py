"""Reports of one or several boards: tables, notes, plots and a page."""
