"""Runs inside a sandbox: tries each system call that must be refused, and prints its name and how it failed."""

import ctypes
import errno
import mmap
import platform
import socket

libc = ctypes.CDLL(None, use_errno=True)

X86 = platform.machine() == "x86_64"
# Name: number on x86-64, number on arm64 (None: not there), arguments.
CALLS = {
    "mount": (165, 40, (b"none", b"/tmp", b"tmpfs", 0, None)),
    "umount2": (166, 39, (b"/tmp", 0)),
    "open_tree": (428, 428, (-100, b"/", 1)),
    "move_mount": (429, 429, (-100, b"/", -100, b"/tmp", 0)),
    "fsopen": (430, 430, (b"tmpfs", 0)),
    "fsconfig": (431, 431, (-1, 0, None, None, 0)),
    "fsmount": (432, 432, (-1, 0, 0)),
    "fspick": (433, 433, (-100, b"/", 0)),
    "mount_setattr": (442, 442, (-100, b"/", 0, None, 0)),
    "statmount": (457, 457, (None, None, 0, 0)),
    "listmount": (458, 458, (None, None, 0, 0)),
    "open_tree_attr": (467, 467, (-100, b"/", 1, None, 0)),
    "pivot_root": (155, 41, (b"/", b"/tmp")),
    "chroot": (161, 51, (b"/tmp",)),
    "mknod character device": (133, None, (b"/tmp/device", 0o020666, 0x103)),
    "mknod block device": (133, None, (b"/tmp/device", 0o060666, 0x700)),
    "mknodat character device": (259, 33, (-100, b"/tmp/device", 0o020666, 0x103)),
    "mknodat block device": (259, 33, (-100, b"/tmp/device", 0o060666, 0x700)),
    "unshare user": (272, 97, (0x10000000,)),
    "unshare mount": (272, 97, (0x00020000,)),
    "unshare nothing": (272, 97, (0,)),
    "setns": (308, 268, (0, 0)),
    "clone user": (56, 220, (0x10000000 | 17, 0, 0, 0, 0)),
    "clone mount": (56, 220, (0x00020000 | 17, 0, 0, 0, 0)),
    "clone pid": (56, 220, (0x20000000 | 17, 0, 0, 0, 0)),
    "clone net": (56, 220, (0x40000000 | 17, 0, 0, 0, 0)),
    "clone ipc": (56, 220, (0x08000000 | 17, 0, 0, 0, 0)),
    "clone uts": (56, 220, (0x04000000 | 17, 0, 0, 0, 0)),
    "clone cgroup": (56, 220, (0x02000000 | 17, 0, 0, 0, 0)),
    "ptrace": (101, 117, (0, 0, 0, 0)),
    "process_vm_readv": (310, 270, (1, None, 0, None, 0, 0)),
    "process_vm_writev": (311, 271, (1, None, 0, None, 0, 0)),
    "kcmp": (312, 272, (1, 1, 0, 0, 0)),
    "pidfd_getfd": (438, 438, (0, 0, 0)),
    "bpf": (321, 280, (0, None, 0)),
    "perf_event_open": (298, 241, (None, 0, 0, 0, 0)),
    "io_uring_setup": (425, 425, (1, None)),
    "io_uring_enter": (426, 426, (0, 0, 0, 0, None, 0)),
    "io_uring_register": (427, 427, (0, 0, None, 0)),
    "userfaultfd": (323, 282, (0,)),
    "keyctl": (250, 219, (0, 0, 0, 0, 0)),
    "add_key": (248, 217, (b"user", b"x", b"y", 1, 0)),
    "request_key": (249, 218, (b"user", b"x", None, 0)),
    "open_by_handle_at": (304, 265, (-1, None, 0)),
    "kexec_load": (246, 104, (0, 0, None, 0)),
    "kexec_file_load": (320, 294, (0, 0, 0, None, 0)),
    "init_module": (175, 105, (None, 0, b"")),
    "finit_module": (313, 273, (0, b"", 0)),
    "delete_module": (176, 106, (b"x", 0)),
    "swapon": (167, 224, (b"/tmp/x", 0)),
    "swapoff": (168, 225, (b"/tmp/x",)),
    "reboot": (169, 142, (0, 0, 0, None)),
    "quotactl": (179, 60, (0, None, 0, None)),
    "quotactl_fd": (443, 443, (-1, 0, 0, None)),
    "acct": (163, 89, (None,)),
    "personality change": (135, 92, (0x0040000,)),
    "personality reset": (135, 92, (0,)),
    "syslog": (103, 116, (10, None, 0)),
    "socket packet": (41, 198, (socket.AF_PACKET, socket.SOCK_RAW, 0)),
    "socket raw": (41, 198, (socket.AF_INET, socket.SOCK_RAW, 1)),
    "socket raw v6": (41, 198, (socket.AF_INET6, socket.SOCK_RAW, 58)),
    "socket inet packet": (41, 198, (socket.AF_INET, 10, 0)),
    "socket packet upper bits": (41, 198, (socket.AF_PACKET | 1 << 40, socket.SOCK_RAW, 0)),
    "socket beyond": (41, 198, (1000, 1, 0)),
    "socketpair inet": (53, 199, (socket.AF_INET, 1, 0, None)),
    "ioctl TIOCSTI": (16, 29, (0, 0x5412, b"x")),
    "ioctl TIOCLINUX": (16, 29, (0, 0x541C, b"x")),
    "ioctl TIOCSTI upper bits": (16, 29, (0, 0x5412 | 1 << 40, b"x")),
    # x32: the same numbers with a bit of their own.
    "x32 getpid": (0x40000000 + 39, None, ()),
}
for family in range(100):
    if family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        for kind in range(1, 11):
            CALLS[f"socket family {family} type {kind}"] = (41, 198, (family, kind, 0))
for protocol in range(1, 40):
    CALLS[f"socket netlink {protocol}"] = (41, 198, (socket.AF_NETLINK, socket.SOCK_RAW, protocol))
# As on a kernel that does not have them, so that programs fall back.
UNKNOWN = {
    "clone3": (435, 435, (None, 0)),
    "beyond all": (1000, 1000, ()),
    "minus one": (-1, -1, ()),
}
# What programs need must not be refused on the way.
ALLOWED = {
    "personality asked": (135, 92, (0xFFFFFFFF,)),
    "socket unix": (41, 198, (socket.AF_UNIX, socket.SOCK_STREAM, 0)),
    "socket inet": (41, 198, (socket.AF_INET, socket.SOCK_STREAM, 0)),
    "socket inet6": (41, 198, (socket.AF_INET6, socket.SOCK_DGRAM, 0)),
    "socket netlink route": (41, 198, (16, 3, 0)),
    "mknod fifo": (259, 33, (-100, b"/tmp/fifo", 0o010666, 0)),
    "memfd_create": (319, 279, (b"x", 0)),
    "getrandom": (318, 278, (ctypes.create_string_buffer(8), 8, 0)),
}


# The 32-bit table by way of the instruction it has: numbers in eax. mov $NUMBER, %eax; push %rbx; xor %ebx, %ebx;
# int $0x80; pop %rbx; ret.
FOREIGN = {"getpid": 20, "mount": 21, "ptrace": 26, "socketcall": 102, "clone": 120, "vm86": 113}


def attempt_foreign(number):
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8" + number.to_bytes(4, "little") + b"\x53\x31\xdb\xcd\x80\x5b\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    return errno.errorcode.get(-result, "worked")


def attempt(number, arguments):
    ctypes.set_errno(0)
    wrapped = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *wrapped)
    if result < 0:
        return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))
    return "worked"


for kind, table in (("refused", CALLS), ("unknown", UNKNOWN), ("allowed", ALLOWED)):
    for name, (x86, arm, arguments) in table.items():
        number = x86 if X86 else arm
        if number is not None:
            print(kind, name.replace(" ", "-"), attempt(number, arguments), flush=True)
if X86:
    for name, number in FOREIGN.items():
        print("refused", "foreign-" + name, attempt_foreign(number), flush=True)
