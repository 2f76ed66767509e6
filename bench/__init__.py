"""The host's harness: sweeps on boards, raw records, pandas tables, reports, the command line."""
