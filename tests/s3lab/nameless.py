"""nameless.py PROGRAM ARGUMENT…: runs a Python program that looks its user up, for one whom no passwd(5) knows."""

import os
import pwd
import runpy
import shutil
import sys

NAME = "s3lab"
known = pwd.getpwnam


def getpwnam(name: str) -> pwd.struct_passwd:
    if name != NAME:
        return known(name)
    return pwd.struct_passwd((NAME, "x", os.getuid(), os.getgid(), "", os.getcwd(), "/bin/sh"))


pwd.getpwnam = getpwnam
del sys.argv[0], sys.path[0]  # what lies beside this file is no module of the program
runpy.run_path(shutil.which(sys.argv[0]) or sys.argv[0], run_name="__main__")
