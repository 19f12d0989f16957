"""python3 -m netlab COMMAND…: runs a command in the lab; CI_NETLAB names the folder of its certificate."""

import os
import subprocess
import sys

from netlab import enter

with enter() as lab:
    status = subprocess.run(sys.argv[1:] or ["bash"], env={**os.environ, "CI_NETLAB": str(lab.folder)}).returncode
sys.exit(status)
