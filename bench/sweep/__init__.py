"""Measuring: plans and their cases, runs on boards, the search for the smallest block, published protocols."""
