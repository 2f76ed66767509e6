"""Text that comes from elsewhere, made fit for a terminal; imports nothing, so that whatever prints can have it."""

QUOTED_LINES, QUOTED_LETTERS = 3, 400


def printable(text: object) -> str:
    """A text whose every character can be shown: what a board says must not move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def quoted(said: bytes, before: int = 0, letters: int = QUOTED_LETTERS) -> str:
    """The last lines of what somebody else printed, in one line that can be shown and says what it leaves out.

    Args:
        said: what was printed.
        before: so many bytes came before it, which are not shown either.
        letters: the most of them that are shown.
    """
    kept = said[-8 * letters :]
    lines = [line for line in map(printable, kept.decode(errors="replace").splitlines()) if line.strip(" ?")]
    text = " / ".join(line.strip() for line in lines[-QUOTED_LINES:])
    hidden = before + len(said) - len(kept)
    if not hidden and len(lines) <= QUOTED_LINES and len(text) <= letters:
        return text
    return f"... {text[-letters:]} (the end of {before + len(said)} bytes)"


def shortened(text: object, letters: int = QUOTED_LETTERS) -> str:
    """The beginning of a text from elsewhere, in one line that can be shown and says that it goes on."""
    whole = str(text)
    return printable(whole) if len(whole) <= letters else f"{printable(whole[:letters])} ... ({len(whole)} characters)"
