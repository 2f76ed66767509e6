#!/usr/bin/env bash
# paramiko 5.1.0: a Match block of ~/.ssh/config whose criterion it does not know counts for every host.
#
# `Match localnetwork NETWORK` (OpenSSH 9.4 on) is about hosts reached from that network only. paramiko's SSHConfig passes
# over a criterion that it does not know, with its argument, and what is left of the condition is true: port, user or jump
# host of the block are used for hosts that it is not about.
#
# Output seen:
#   paramiko 5.1.0
#   the port of pi: 9
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paramiko==5.1.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import paramiko

CONFIG = """
Match localnetwork 203.0.113.0/24
  Port 9
Host pi
  HostName 192.0.2.1
"""
print("paramiko", paramiko.__version__)
found = paramiko.SSHConfig.from_text(CONFIG).lookup("pi").get("port")
print("the port of pi:", found)
if found != "9":
    sys.exit("changed: a criterion that is not known does not count as true any more")
PYTHON
