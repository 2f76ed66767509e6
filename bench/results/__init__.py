"""Results: records on disk, the columns that are derived from them, pandas tables."""
