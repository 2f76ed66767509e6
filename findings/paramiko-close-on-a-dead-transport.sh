#!/usr/bin/env bash
# paramiko 5.1.0: Channel.close() on a connection that has ended raises EOFError.
#
# Seen: a `with channel:` whose body raises an error of its own, after the connection is cut and before paramiko's own
# thread has noticed, ends with a bare EOFError from close(); the error of the body is left in its __context__ only. Expected: closing what is closed is
# silent, as with a socket or a file.
#
# Output seen:
#   paramiko 5.1.0
#   caught EOFError() in place of ValueError('the error in flight')
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paramiko==5.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import sys
import threading

import paramiko


class Server(paramiko.ServerInterface):
    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED


print("paramiko", paramiko.__version__)


def error_of_a_cut_connection():
    here, there = socket.socketpair()
    server = paramiko.Transport(there)
    server.add_server_key(paramiko.ECDSAKey.generate())
    server.start_server(threading.Event(), Server())
    client = paramiko.Transport(here)
    client.connect(username="someone", password="anything")
    try:
        with client.open_session():
            client.packetizer.close()  # the cable is cut: nothing can be sent any more
            raise ValueError("the error in flight")
    except Exception as error:
        return error
    finally:
        client.close()
        server.close()


# Several times: where paramiko's thread is faster, close() has nothing left to do.
caught = [error_of_a_cut_connection() for _ in range(5)]
caught = next((error for error in caught if isinstance(error, EOFError)), caught[0])
if not isinstance(caught, EOFError):
    sys.exit(f"changed: caught {caught!r}")
print(f"caught {caught!r} in place of {caught.__context__!r}")
PYTHON
