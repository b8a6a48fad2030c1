"""What hostile and broken UDFs try, and what comes of it: the list that docs/udf-security.md shows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """Something that a UDF tries.

    Attributes:
        name: of the test.
        group: heading in the table.
        tried: as the table says it.
        came: of it, as the table says it.
        code: runs inside of a UDF, with `cube` and what the test hands over; sets `result`, `got`, or raises.
        expect: regular expression that the error's class and message, or `got`, must match.
        control: whether the same code does succeed without a sandbox, which shows that it is a real attempt.
        limits: that the runner is given; an attempt with limits gets a process of its own.
    """

    name: str
    group: str
    tried: str
    came: str
    code: str
    expect: str
    control: bool = False
    limits: tuple[tuple[str, float], ...] | None = None


def _attempt(
    group: str, name: str, tried: str, came: str, code: str, expect: str, control: bool = False
) -> Attempt:
    return Attempt(name, group, tried, came, textwrap.dedent(code), expect, control)


def _ended(group: str, name: str, tried: str, came: str, code: str, expect: str, **limits: float) -> Attempt:
    return Attempt(name, group, tried, came, textwrap.dedent(code), expect, False, tuple(limits.items()))


_LIBC = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""
_NET, _FILES, _PROC = "Network", "Files", "Other processes and the kernel"
_LIMITS, _ENDS, _RESULTS = "Limits", "Ends and the channel", "Results"
_GONE, _READ_ONLY = "FileNotFoundError", r"OSError: \[Errno 30\] Read-only"
MIB = 2**20

NETWORK = (
    _attempt(
        _NET,
        "tcp-loopback",
        "TCP to a server on the machine's loopback",
        "refused: the sandbox has a loopback of its own",
        "import socket; socket.create_connection(('127.0.0.1', tcp_port), 5)",
        "ConnectionRefusedError",
        True,
    ),
    _attempt(
        _NET,
        "tcp-outside",
        "TCP to an address outside",
        "network unreachable",
        "import socket; socket.create_connection(('192.0.2.1', 80), 5)",
        "Network is unreachable",
    ),
    _attempt(
        _NET,
        "udp",
        "UDP to an address outside",
        "network unreachable",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "Network is unreachable",
    ),
    _attempt(
        _NET,
        "name",
        "looking up a host name",
        "no name server is reached",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "gaierror",
    ),
    _attempt(
        _NET,
        "unix-socket",
        "a unix socket of another program",
        "no such file",
        "import socket; socket.socket(socket.AF_UNIX).connect(unix_path)",
        _GONE,
        True,
    ),
    _attempt(
        _NET,
        "abstract-socket",
        "an abstract unix socket of another program",
        "refused: these belong to the network",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + abstract)",
        "ConnectionRefusedError",
        True,
    ),
    _attempt(
        _NET,
        "vsock",
        "a socket to the host of a virtual machine (AF_VSOCK)",
        "system call denied",
        "import socket; socket.socket(socket.AF_VSOCK)",
        "PermissionError",
    ),
    _attempt(
        _NET,
        "netlink",
        "a socket to the kernel's network settings (AF_NETLINK)",
        "system call denied",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        "PermissionError",
        True,
    ),
)

FILES = (
    _attempt(
        _FILES,
        "passwd",
        "reading /etc/passwd",
        "no such file",
        "got = open('/etc/passwd').read()",
        _GONE,
        True,
    ),
    _attempt(
        _FILES,
        "ssh-key",
        "reading an ssh key in the server's home",
        "no such file",
        "got = open(home + '/.ssh/id_ed25519').read()",
        _GONE,
        True,
    ),
    _attempt(
        _FILES,
        "other-job",
        "listing another job's folder",
        "no such folder",
        "import os; got = os.listdir(other_job)",
        _GONE,
        True,
    ),
    _attempt(
        _FILES,
        "other-job-write",
        "writing into another job's folder",
        "no such folder",
        "open(other_job + '/planted', 'w').write('x')",
        _GONE,
        True,
    ),
    _attempt(
        _FILES,
        "symlink",
        "a symbolic link in its own folder to another job's file",
        "the link leads nowhere",
        "import os; os.symlink(other_job + '/result.tif', 'link'); got = open('link').read()",
        _GONE,
        True,
    ),
    _attempt(
        _FILES,
        "proc-root",
        "another way to the root folder, through /proc/1/root",
        "no such file, or no permission",
        "got = open('/proc/1/root' + home + '/.ssh/id_ed25519').read()",
        f"{_GONE}|PermissionError",
    ),
    _attempt(
        _FILES,
        "dotdot",
        "leaving its folder by ../..",
        "no such file",
        "got = open('../../../../../..' + other_job + '/result.tif').read()",
        _GONE,
        True,
    ),
    _attempt(
        _FILES,
        "interpreter",
        "writing among the interpreter's packages",
        "read-only",
        "import numpy, os; open(os.path.dirname(numpy.__file__) + '/planted.py', 'w')",
        _READ_ONLY,
    ),
    _attempt(
        _FILES,
        "worker",
        "writing over the program that runs it",
        "read-only",
        "import sys; open(sys.modules['__main__'].__file__, 'a')",
        _READ_ONLY,
    ),
    _attempt(
        _FILES,
        "root",
        "writing into the root folder",
        "read-only",
        "open('/planted', 'w')",
        _READ_ONLY,
    ),
    _attempt(
        _FILES,
        "model-write",
        "writing into its model",
        "read-only",
        "open(model, 'ab')",
        f"{_READ_ONLY}|PermissionError",
    ),
    _attempt(
        _FILES,
        "model-chmod",
        "making its model writable",
        "read-only",
        "import os; os.chmod(model, 0o666)",
        _READ_ONLY,
        True,
    ),
    _attempt(
        _FILES,
        "disk",
        "filling the disk through its temporary folder",
        "no space left: the folder is a piece of memory with a limit",
        "import os\nwith open('/tmp/full', 'wb') as f:\n    try:\n"
        "        while f.tell() < 2**27: f.write(bytes(2**20))\n    finally: os.unlink('/tmp/full')",
        "No space left",
    ),
    _attempt(
        _FILES,
        "shm",
        "filling shared memory in /dev/shm",
        "no space left",
        "import os\nwith open('/dev/shm/full', 'wb') as f:\n    try:\n"
        "        while f.tell() < 2**27: f.write(bytes(2**20))\n    finally: os.unlink('/dev/shm/full')",
        "No space left",
    ),
    _attempt(
        _FILES,
        "descriptors",
        "finding descriptors that it inherited",
        "its own output, its channel and the array that it was given",
        """
        import os
        targets = {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                   if os.path.exists(f"/proc/self/fd/{name}")}
        got = sorted({t.partition(":")[0] for t in targets.values() if not t.startswith("/proc/")})
        """,
        r"^got \['/dev/null', '/memfd', 'pipe', 'socket'\]$",
    ),
    _attempt(
        _FILES,
        "acreage",
        "importing the server's own package",
        "not found, and not there either where the hook that says so is taken away",
        """
        import sys
        sys.meta_path = [f for f in sys.meta_path if "Acreage" not in type(f).__name__]
        import acreage.udf
        """,
        "ModuleNotFoundError: No module named 'acreage'",
    ),
)

PROCESSES = (
    _attempt(
        _PROC,
        "environ",
        "credentials in its environment variables (AWS_*, OPENEO_*)",
        "none: the environment is made anew",
        "import os; got = [n for n in os.environ if n.startswith(('AWS_', 'OPENEO_', 'ACREAGE_'))]",
        r"^got \[\]$",
    ),
    _attempt(
        _PROC,
        "parent-environ",
        "the server's environment, through /proc",
        "no such process",
        "got = open(f'/proc/{server}/environ', 'rb').read()",
        _GONE,
        True,
    ),
    _attempt(
        _PROC,
        "any-environ",
        "the environment of every process that it sees",
        "nothing: it sees only its own",
        """
        import os
        got = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try: text = open(f"/proc/{pid}/environ", "rb").read()
            except OSError: continue
            got += [pid] if b"AWS_SECRET" in text else []
        """,
        r"^got \[\]$",
    ),
    _attempt(
        _PROC,
        "signal",
        "a signal to the server",
        "no such process",
        "import os; os.kill(server, 0)",
        "ProcessLookupError",
        True,
    ),
    _attempt(
        _PROC,
        "ptrace",
        "tracing another process (ptrace)",
        "system call denied",
        _LIBC + "call('ptrace', 16, 1, None, None)",
        "PermissionError",
    ),
    _attempt(
        _PROC,
        "read-memory",
        "reading another process's memory",
        "system call denied",
        _LIBC + "call('process_vm_readv', 1, None, 0, None, 0, 0)",
        "PermissionError",
        True,
    ),
    _attempt(
        _PROC,
        "namespace",
        "becoming root in a namespace of its own",
        "system call denied, and none can be made",
        _LIBC + "call('unshare', 0x10000000)",
        "PermissionError|No space left",
    ),
    _attempt(
        _PROC,
        "mount",
        "mounting a file system",
        "system call denied",
        _LIBC + "call('mount', b'none', b'/tmp', b'tmpfs', 0, None)",
        "PermissionError",
    ),
    _attempt(
        _PROC,
        "root-user",
        "becoming another user",
        "not permitted",
        "import os; os.setuid(0)",
        "PermissionError|Invalid argument",
    ),
    _attempt(
        _PROC,
        "capabilities",
        "privileges that it could have kept",
        "none, new ones cannot be gained, and a filter of system calls is on",
        """
        status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        got = [status[n].strip() for n in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")]
        """,
        r"^got \['0+', '0+', '1', '2'\]$",
    ),
    _attempt(
        _PROC,
        "devices",
        "devices: disks, memory, kernel messages",
        "not there",
        """
        import os
        words = ("sd", "vd", "nvme", "loop", "mem", "km", "kvm")
        got = [d for d in os.listdir("/dev") if d.startswith(words)]
        """,
        r"^got \[\]$",
    ),
    _attempt(
        _PROC,
        "device-node",
        "making a device",
        "not permitted",
        "import os; os.mknod('disk', 0o60600, os.makedev(254, 0))",
        "PermissionError",
    ),
    _attempt(
        _PROC,
        "kernel-settings",
        "changing the kernel's settings: opening every file of /proc for writing, but those of processes",
        "none can be opened",
        """
        import os
        got = []
        for folder, folders, files in os.walk("/proc"):
            folders[:] = [f for f in folders if not f.isdigit() and "self" not in f]
            for name in files:
                try: os.close(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_NONBLOCK))
                except OSError: continue
                got.append(f"{folder}/{name}")
        """,
        r"^got \[\]$",
    ),
    _attempt(
        _PROC,
        "terminal",
        "typing on the server's terminal",
        "it has none",
        "open('/dev/tty', 'w')",
        "No such device",
    ),
)

LIMITS = (
    _ended(
        _LIMITS,
        "fork-bomb",
        "a fork bomb",
        "stopped: too many processes, all of them end",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "UdfProcessesExceeded|UdfTimeout",
        processes=64,
        timeout_s=20,
    ),
    _ended(
        _LIMITS,
        "thread-bomb",
        "threads without end",
        "stopped: too many threads",
        """
        import threading, time
        while True:
            try: threading.Thread(target=time.sleep, args=(600,)).start()
            except RuntimeError: pass
        """,
        "UdfProcessesExceeded|UdfTimeout",
        processes=64,
        timeout_s=20,
    ),
    _ended(
        _LIMITS,
        "memory",
        "more memory than it may take",
        "an error with the line of the UDF",
        "hog = bytearray(2**30)",
        "UdfMemoryExceeded: The UDF raised MemoryError",
        memory_bytes=400 * MIB,
    ),
    _ended(
        _LIMITS,
        "shared-memory",
        "more memory than it may take, as shared memory",
        "stopped: too much memory",
        """
        import mmap, time
        hog = mmap.mmap(-1, 2**30)
        for at in range(0, 2**30, 4096): hog[at] = 1
        time.sleep(60)
        """,
        "UdfMemoryExceeded",
        memory_bytes=400 * MIB,
    ),
    _ended(
        _LIMITS,
        "hidden-memory",
        "more memory than it may take, in memory files that no process maps",
        "stopped: too much memory",
        """
        import os, time
        for n in range(20): os.write(os.memfd_create("x"), bytes(64 * 2**20))
        time.sleep(60)
        """,
        "UdfMemoryExceeded",
        memory_bytes=400 * MIB,
    ),
    _ended(
        _LIMITS,
        "loop",
        "an endless loop that ignores signals",
        "stopped at its time limit",
        "import signal\nfor s in (15, 2, 1): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "UdfTimeout: The UDF took longer than 2 s",
        timeout_s=2,
    ),
    _ended(
        _LIMITS,
        "cpu",
        "more CPU time than it may take",
        "stopped at its limit of CPU time",
        "while True: pass",
        "UdfTimeout: The UDF used more than 1 s of CPU",
        cpu_seconds=1,
        timeout_s=120,
    ),
    _ended(
        _LIMITS,
        "stopped",
        "stopping itself, to be waited for",
        "stopped at its time limit",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "UdfTimeout",
        timeout_s=2,
    ),
    _ended(
        _LIMITS,
        "print",
        "printing 200 MB, lines and one endless line",
        "the log keeps the beginning and the end, and says how much was dropped; an error comes with its log",
        """
        print("first")
        for i in range(10**5): print("x" * 1000)
        print("x" * 10**8)
        raise ValueError("at last")
        """,
        "UdfRaised: .*at last.*first.*bytes of output were dropped",
        log_bytes=10_000,
        timeout_s=120,
    ),
    _ended(
        _LIMITS,
        "huge-exception",
        "an exception with a text of 100 MB",
        "an error with the beginning of the text",
        "raise ValueError('x' * 10**8)",
        "UdfRaised: The UDF raised ValueError: xxxx",
        timeout_s=120,
    ),
    _ended(
        _LIMITS,
        "huge-result",
        "a result larger than its memory",
        "not taken, with an error",
        "result = xarray.DataArray(0.0).expand_dims(z=2**40)",
        "UdfMemoryExceeded: The UDF's result has 8796093022208 bytes",
        memory_bytes=500 * MIB,
    ),
)

ENDS = (
    _ended(
        _ENDS,
        "exit",
        "sys.exit()",
        "an error with the line",
        "import sys; sys.exit(3)",
        "UdfRaised: The UDF raised SystemExit: 3",
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "hard-exit",
        "os._exit()",
        "an error with the exit code and the log",
        "import os; print('last words', flush=True); os._exit(3)",
        "UdfProcessDied: The UDF's process ended itself with exit code 3.*last words",
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "segfault",
        "a segmentation fault",
        "an error with the signal, the log has the line",
        "import ctypes; ctypes.string_at(0)",
        'UdfProcessDied: The UDF\'s process was killed by SIGSEGV.*File "udf.py", line',
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "daemon",
        "a process that leaves its group and outlives it",
        "ends with the sandbox",
        """
        import os, subprocess, sys
        command = [sys.executable, "-S", "-c", "import time; time.sleep(600)", mark]
        subprocess.Popen(command, start_new_session=True)
        os._exit(0)
        """,
        "UdfProcessDied: The UDF's process ended itself with exit code 0",
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "closed",
        "closing descriptors that it did not open",
        "an error: it broke its channel",
        "import os; os.closerange(3, 1024)",
        "UdfProcessDied",
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "garbage",
        "nonsense on the channel",
        "an error: it broke its channel",
        """
        import os, time
        for fd in range(3, 1024):
            try: os.write(fd, b"x" * 64)
            except OSError: pass
        time.sleep(60)
        """,
        "UdfProcessDied",
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "nested",
        "a reply that is nested a million times",
        "an error: it broke its channel",
        """
        import os, stat, struct, time
        reply = struct.pack("!Q", 10**6) + b"[" * 10**6
        for fd in range(3, 1024):
            try: stat.S_ISSOCK(os.fstat(fd).st_mode) and os.write(fd, reply)
            except OSError: pass
        time.sleep(60)
        """,
        "UdfProcessDied",
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "short",
        "an array whose memory is smaller than it says",
        "an error: the reply cannot be read",
        "import os, sys; sys.modules['_udf_channel']._write = lambda a: os.memfd_create('short')",
        "UdfProcessDied: The UDF's process sent a reply that cannot be read",
        timeout_s=60,
    ),
    _ended(
        _ENDS,
        "dimensions",
        "an array of a hundred dimensions",
        "an error: the reply cannot be read",
        """
        import sys
        send = sys.modules["_udf_channel"].send
        def lie(sock, message, *more):
            send(sock, {**message, "array": {"dtype": "<f4", "shape": [1] * 100}})
        sys.modules["_udf_channel"].send = lie
        """,
        "UdfProcessDied: The UDF's process sent a reply that cannot be read",
        timeout_s=60,
    ),
)

RESULTS = tuple(
    _attempt(
        _RESULTS, name, tried, "an error that says what was returned", code, f"UdfResultInvalid: .*{expect}"
    )
    for name, tried, code, expect in (
        ("array", "a NumPy array", "result = cube.values", "returned a numpy.ndarray, not a data cube"),
        ("none", "nothing", "result = None", "NoneType, not a data cube"),
        ("text", "text", "result = cube.astype(str)", "has the dtype <U"),
        ("objects", "objects", "result = cube.astype(object)", "has the dtype object"),
        ("dates", "dates", "result = (cube * 0).fillna(0).astype('M8[ns]')", "has the dtype datetime64"),
        ("complex", "complex numbers", "result = cube.astype('c8')", "has the dtype complex64"),
        (
            "fewer",
            "fewer pixels",
            "result = cube.isel(x=slice(1, None))",
            "2 pixels along x, where it was given 3",
        ),
        ("more", "more pixels", "result = cube.pad(y=1)", "5 pixels along y, where it was given 3"),
        (
            "flipped",
            "pixels in another order",
            "result = cube.isel(y=slice(None, None, -1))",
            "coordinates along y",
        ),
        (
            "exchanged",
            "x and y exchanged",
            "result = cube.rename(x='y', y='x').transpose(*cube.dims)",
            "other coordinates along x",
        ),
        (
            "stacked",
            "pixels as one dimension",
            "result = cube.stack(p=('y', 'x'))",
            "labels of dimension 'p'",
        ),
    )
)

ATTEMPTS = (*NETWORK, *FILES, *PROCESSES, *LIMITS, *ENDS, *RESULTS)


def table() -> str:
    """The list as it stands in docs/udf-security.md."""
    lines = []
    for group in dict.fromkeys(a.group for a in ATTEMPTS):
        lines += [f"### {group}", "", "| tried | what came of it |", "|---|---|"]
        lines += [f"| {a.tried} | {a.came} |" for a in ATTEMPTS if a.group == group]
        lines.append("")
    return "\n".join(lines)
