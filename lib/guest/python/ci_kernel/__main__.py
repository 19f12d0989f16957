"""`python -m ci_kernel FD`: a kernel in an interpreter of its own."""

import os
import sys

import ci_kernel

if __name__ == "__main__":
    if sys.path and sys.path[0] == os.getcwd():  # put there by -m
        del sys.path[0]
    ci_kernel.serve(int(sys.argv[1]))
