"""The parts of a report's page: each takes a board and makes its text, plots and tables."""
