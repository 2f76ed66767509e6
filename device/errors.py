"""What can go wrong with a board.

DeviceError
├── BoardError             a board can't be started or used
│   ├── UnknownBoardError  no board of that name
│   ├── UnreachableError   it does not answer, or the connection broke
│   ├── BusyError          somebody else works on it
│   ├── HostKeyError       its host key is unknown or has changed
│   └── AgentError         it answers, and can't do what was asked
│       └── NoSpaceError   because its disk is full
├── ImageError             the virtual board's disk image can't be built
└── WheelError             wheels for a board can't be had from the package index
    └── NoWheelError       because there are none for this kind of board
"""

from ..runtime.errors import TonearmError


class DeviceError(TonearmError):
    """Anything that goes wrong between this machine and a board.

    `reason` is what happened, and `board` the name of the one where it did, if that is known: it stands before the
    reason in the error's text.
    """

    def __init__(self, reason: str, *, board: str = "") -> None:
        super().__init__(f"{board}: {reason}" if board else reason)
        self.reason, self.board = reason, board


class BoardError(DeviceError):
    """A board can't be started, reached or used."""


class UnknownBoardError(BoardError):
    """No board of that name."""


class UnreachableError(BoardError):
    """Nothing answers there, nobody is let in, or the connection broke."""


class BusyError(BoardError):
    """Somebody else works on the board, and goes on."""


class HostKeyError(BoardError):
    """The host key is unknown or has changed; it is never accepted silently."""


class AgentError(BoardError):
    """The board answers and can't do what was asked; `kind` tells a program why."""

    def __init__(self, reason: str, kind: str = "", *, board: str = "") -> None:
        super().__init__(reason, board=board)
        self.kind = kind


class NoSpaceError(AgentError):
    """The board's disk is full."""


class ImageError(DeviceError):
    """The virtual board's disk image can't be built."""


class WheelError(DeviceError):
    """Wheels for a board can't be had from the package index."""


class NoWheelError(WheelError):
    """There are no wheels for this kind of board."""


def reason_of(error: Exception) -> str:
    """What happened, without the board's name, for a line that has it already."""
    return error.reason if isinstance(error, DeviceError) else str(error)
