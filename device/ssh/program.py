"""What is sent to a board to be run there: the agent as one program, and the command that reads it."""

from __future__ import annotations

import base64
import functools
import json
import zlib
from importlib import resources

from ..agent.protocol import ANSWER, PARTS


@functools.cache
def agent_source() -> bytes:
    """A program that runs the agent: its modules by name, the last one being what is run, and what loads them."""
    folder = resources.files("tonearm.device.agent")
    names = [*PARTS, "main"]
    sources = json.dumps({name: folder.joinpath(f"{name}.py").read_text() for name in names})
    packed = base64.b85encode(zlib.compress(sources.encode(), 9)).decode()
    return f"packed = {packed!r}\n{_START}".encode()


# A login shell reads this, sh as well as fish or csh: one line, no backslash, no quote, no '!', no '$'.
# Its argument: how long the program is that comes on standard input.
BOOTSTRAP = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"

# Runs on any Python 3, so that an old one is told apart from a broken one.
_START = f"""
import sys
if sys.version_info < (3, 9):
    print('{ANSWER}{{"error": "Python %d.%d is too old: 3.9 or newer is needed", "kind": "python"}}'
          % sys.version_info[:2])
else:
    import base64, json, types, zlib
    for name, source in json.loads(zlib.decompress(base64.b85decode(packed))).items():
        module = sys.modules["agent." + name] = types.ModuleType("agent." + name)
        module.__package__ = "agent"
        exec(compile(source, name, "exec"), vars(module))
    module.main()
"""
