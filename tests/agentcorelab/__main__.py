"""python3 -m agentcorelab [--manner plain|captured] [COMMAND…]: runs a command with the stub's address and keys in its
environment. Ends with 77 where something that the stub is made of is not there."""

import argparse
import subprocess
import sys

import agentcorelab
from labs import plain_environment

parser = argparse.ArgumentParser(prog="agentcorelab", description=__doc__)
parser.add_argument("--manner", choices=agentcorelab.MANNERS, default="plain")
parser.add_argument("command", nargs=argparse.REMAINDER)
options = parser.parse_args()
try:
    with agentcorelab.start(options.manner) as service:
        environment = {**plain_environment(), **service.environment()}
        status = subprocess.run(options.command or ["bash"], env=environment).returncode
except agentcorelab.Missing as error:
    print(f"SKIPPED: {error}")
    status = 77
sys.exit(status)
