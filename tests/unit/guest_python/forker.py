"""The process that the tests' kernels are forked from, as a zygote does it: `forker.py FD MODE`.

Over the socket FD comes a JSON object with three descriptors (channel, stdout, stderr), and the answer is the kernel's
process id; or {"wait": PID}, answered by its wait status. MODE: ipython, plain (IPython cannot be imported), bare,
data (libraries preloaded).
"""

import array
import json
import os
import socket
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "lib", "guest", "python")


def load(mode):
    sys.path[0] = ROOT
    if mode == "plain":
        sys.modules["IPython"] = None
    import ci_kernel

    data = ["ssl", "random", "numpy", "pandas", "matplotlib.pyplot"]
    ci_kernel.prepare(data if mode == "data" else [], bare=mode == "bare")
    if mode == "data":
        sys.modules["ssl"].RAND_bytes(8)  # OpenSSL has drawn before the fork
    return ci_kernel


def receive(connection):
    data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(3 * 4))
    fds = array.array("i")
    for _, _, bytes_ in ancillary:
        fds.frombytes(bytes_)
    return json.loads(data) if data else None, list(fds)


def be_kernel(kernel, connection, request, fds):
    connection.close()
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(fds[1], 1)
    os.dup2(fds[2], 2)
    os.dup2(fds[0], 3)
    os.closerange(4, 256)
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    kernel.serve(3)


def main():
    connection = socket.socket(fileno=int(sys.argv[1]))
    kernel = load(sys.argv[2])
    while True:
        request, fds = receive(connection)
        if request is None:
            break
        if "wait" in request:
            answer = os.waitpid(request["wait"], 0)[1]
        else:
            answer = os.fork()
            if answer == 0:
                be_kernel(kernel, connection, request, fds)
            for fd in fds:
                os.close(fd)
        connection.send(json.dumps(answer).encode())


main()
