"""The networks: three families, and the parts that they share."""
