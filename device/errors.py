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
    """Anything that goes wrong between this machine and a board."""


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

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class NoSpaceError(AgentError):
    """The board's disk is full."""


class ImageError(DeviceError):
    """The virtual board's disk image can't be built."""


class WheelError(DeviceError):
    """Wheels for a board can't be had from the package index."""


class NoWheelError(WheelError):
    """There are no wheels for this kind of board."""
