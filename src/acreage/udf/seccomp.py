"""The system calls that a sandboxed UDF may not make, as a BPF program for `bwrap --seccomp`.

A sandbox hides files, processes and the network; this closes what is left of the kernel to a program that
only computes: other processes' memory, mounts, namespaces, keys, kernel tracing, memory that no process
shows, and sockets other than those of the sandbox's own network.
"""

from __future__ import annotations

import platform
import socket
import struct

#: AUDIT_ARCH of linux/audit.h.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: Number per architecture, as in `_ARCHITECTURES` (asm/unistd_64.h, asm-generic/unistd.h).
_DENIED: dict[str, tuple[int, int]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_SOCKET = (41, 198)
#: Network namespaces do not hold other families back: AF_VSOCK reaches a virtual machine's host.
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050001


def seccomp_filter(machine: str | None = None) -> bytes | None:
    """The program as an array of `struct sock_filter`; None for a machine whose call numbers are not known.

    Args:
        machine: as `platform.machine()` has it, which is taken where None.
    """
    names = tuple(_ARCHITECTURES)
    machine = platform.machine() if machine is None else machine
    if machine not in names:
        return None
    column = names.index(machine)
    numbers = sorted(numbers[column] for numbers in _DENIED.values())
    # Jumps are counted from the next instruction; both ends stand at the bottom: allow, then deny.
    tests = len(numbers)
    families = len(_FAMILIES)
    below = 3 + families  # the block of socket() and its return, before "deny"
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, tests + below, 0, _X32),
        *((_EQUAL, tests - 1 - i + below, 0, number) for i, number in enumerate(numbers)),
        (_EQUAL, 0, 1 + families, _SOCKET[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *((_EQUAL, families - 1 - i, 0 if i < families - 1 else 1, f) for i, f in enumerate(_FAMILIES)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
