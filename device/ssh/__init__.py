"""SSH: where boards are, who they are, how to log in, and the one way a connection is used."""
