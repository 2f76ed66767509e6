"""Text that comes from elsewhere, made fit for a terminal; imports nothing, so that whatever prints can have it."""


def printable(text: object) -> str:
    """A text whose every character can be shown: what a board says must not move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))
