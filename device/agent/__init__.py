"""The agent: the program that Tonearm sends to the board with every request. Standard library only, Python 3.9."""
