"""What runs on the board on our behalf, sent over SSH with every request. Standard library only, Python 3.9."""
