"""What the commands about boards take."""

from __future__ import annotations

from .arguments import Commands, add_board_name, add_command, add_commands


def add_board(commands: Commands) -> None:
    """`tonearm board`."""
    about = "list boards, add, remove, start, stop or look at one"
    command = add_command(commands, "board", about, "board add pi pi@raspberrypi.local --trust")
    actions = add_commands(command, "ACTION")
    add_command(actions, "list", "all boards by name, and where they are", "board list", "board:list_boards")
    _add_add(actions)
    _add_info(actions)
    _add_doctor(actions)
    _add_releases(actions)
    _add_rollback(actions)
    _add_simple(actions, "trust", "compare the host key of a board and trust it from now on", "pi", "board:trust")
    _add_remove(actions)
    _add_simple(actions, "up", "start a virtual board", "virtual", "board:up")
    _add_simple(actions, "down", "stop a virtual board; its disk is kept", "virtual", "board:down")


def _add_simple(actions: Commands, name: str, about: str, example: str, run: str) -> None:
    """An action that takes a board's name and nothing else."""
    add_board_name(add_command(actions, name, about, f"board {name} {example}", run))


def _add_add(actions: Commands) -> None:
    action = add_command(
        actions,
        "add",
        "give a board a name, and see whether it answers",
        "board add pi pi@raspberrypi.local --trust\n  tonearm board add lab kim@[fe80::17]:2222 --key ~/.ssh/lab",
        "board:add",
    )
    action.add_argument("name", metavar="NAME", help="what to call it")
    action.add_argument("target", metavar="[USER@]HOST[:PORT]", help="where it is; a host of ~/.ssh/config will do")
    action.add_argument("--key", metavar="FILE", help="the private key to log in with (default: as ssh does)")
    action.add_argument("--jump", metavar="[USER@]HOST[:PORT]", help="the jump host to connect through")
    action.add_argument("--trust", action="store_true", help="show an unknown host key and ask whether to trust it")


def _add_info(actions: Commands) -> None:
    action = add_command(
        actions,
        "info",
        "show the hardware, system and releases of a board",
        "board info pi\n  tonearm board info pi --json",
        "board_doctor:info",
    )
    add_board_name(action)
    action.add_argument(
        "--json", action="store_true", help="all facts, for programs; what is not known is left out or empty"
    )


def _add_doctor(actions: Commands) -> None:
    action = add_command(
        actions,
        "doctor",
        "find what will spoil a measurement on a board or a deploy to it, and what to do about it",
        "board doctor pi\n  tonearm board doctor pi --tune\n  tonearm board doctor pi --restore\n\n"
        "the exit status is 1 if there is a problem, and 0 if there are only remarks",
        "board_doctor:examine_board",
    )
    add_board_name(action)
    ways = action.add_mutually_exclusive_group()
    ways.add_argument(
        "--tune",
        action="store_true",
        help="first set the governors to performance, until the board restarts; no password is asked for",
    )
    ways.add_argument("--restore", action="store_true", help="put back what --tune has changed, and nothing else")


def _add_releases(actions: Commands) -> None:
    about = "list what has been deployed to a board, what is current and what was before"
    _add_simple(actions, "releases", about, "pi", "board_releases:list_releases")


def _add_rollback(actions: Commands) -> None:
    action = add_command(
        actions,
        "rollback",
        "make the previous release current again, or another one that is on the board; nothing is uploaded",
        "board rollback pi\n  tonearm board rollback pi hpn-reduced-flute",
        "board_releases:roll_back",
    )
    add_board_name(action)
    action.add_argument(
        "release",
        nargs="?",
        default="",
        metavar="RELEASE",
        help="its name, its digest or both, as `board releases` prints them (default: the one that was current before)",
    )


def _add_remove(actions: Commands) -> None:
    about = "remove everything that Tonearm put on a board, and its entry in boards.toml"
    action = add_command(actions, "remove", about, "board remove pi", "board:remove")
    add_board_name(action)
    action.add_argument("--yes", action="store_true", help="don't ask first")
    action.add_argument("--entry", action="store_true", help="only the entry; the board is not contacted")
