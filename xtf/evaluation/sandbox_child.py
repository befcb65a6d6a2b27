"""The sandboxed process of :mod:`xtf.evaluation.sandbox`: gives up its rights, then runs the program it is handed.

Started as a file, with nothing of XTF imported. Refused from then on, with EPERM: sockets of any kind, new processes,
signals and tracing, files opened to be written, and every call that changes a file, a folder or the system. The filter
fails closed: on another architecture or kernel the program is not run at all.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import sys

NO_FILTER = 86
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_THREAD = 0x10000  # CLONE_THREAD

# numbers of <asm/unistd.h>: (audit architecture, calls refused, calls and the argument with the flags of opening)
_X86 = (0xC000003E, {
    41, 42, 43, 44, 46, 49, 50, 53, 288, 307,                      # socket … socketpair, accept4, sendmmsg
    57, 58, 59, 322, 62, 200, 234, 101, 310, 311, 424, 434, 438,   # fork, exec, kill, ptrace, other processes' memory
    76, 77, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 132, 133, 188, 189, 190, 197, 198, 199, 235, 261,
    258, 259, 260, 263, 264, 265, 266, 268, 280, 285, 316, 437, 452,  # truncate, rename, mkdir, chmod, utime, openat2
    155, 157, 161, 165, 166, 167, 169, 170, 171, 175, 246, 248, 249, 250, 272, 298, 304, 308, 313, 317, 321, 323,
    425, 426, 427, 428, 429, 430, 431, 432, 442,                   # mount, bpf, keys, namespaces, io_uring
    29, 30, 31, 64, 65, 66, 67, 68, 69, 70, 71, 240, 241,          # memory and queues shared with others
}, {2: 1, 257: 2}, 56)  # fmt: skip
_ARM = (0xC00000B7, {
    198, 199, 200, 201, 202, 203, 206, 211, 242, 269,
    221, 281, 129, 130, 131, 138, 240, 117, 270, 271, 424, 434, 438,
    33, 34, 35, 36, 37, 38, 45, 46, 47, 52, 53, 54, 55, 5, 6, 7, 14, 15, 16, 88, 276, 437, 452,
    39, 40, 41, 51, 97, 104, 105, 106, 142, 161, 162, 167, 170, 217, 218, 219, 224, 225, 241, 265, 268, 273, 277, 280,
    282, 425, 426, 427, 428, 429, 430, 431, 432, 442,
    180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197,
}, {56: 2}, 220)  # fmt: skip
_TABLES = {"x86_64": _X86, "aarch64": _ARM}


class _Step(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class _Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step))]


_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000
_NO_SUCH_CALL = 0x00050000 | 38  # glibc then starts its threads by the older clone


def _steps() -> list[_Step]:
    """The filter: loads and jumps over ``struct seccomp_data`` (number, architecture, …, arguments from byte 16)."""
    architecture, refused, opening, clone = _TABLES[platform.machine()]
    steps = [_Step(_LOAD, 0, 0, 4), _Step(_EQUAL, 1, 0, architecture), _Step(_RETURN, 0, 0, _KILL)]
    steps += [_Step(_LOAD, 0, 0, 0), _Step(_AT_LEAST, 0, 1, 0x40000000), _Step(_RETURN, 0, 0, _KILL)]
    for number in sorted(refused):
        steps += [_Step(_EQUAL, 0, 1, number), _Step(_RETURN, 0, 0, _REFUSE)]
    steps += [_Step(_EQUAL, 0, 1, 435), _Step(_RETURN, 0, 0, _NO_SUCH_CALL)]
    for number, argument in opening.items():
        steps += [_Step(_EQUAL, 0, 4, number), _Step(_LOAD, 0, 0, 16 + 8 * argument)]
        steps += [_Step(_ANY_BIT, 0, 1, _WRITING), _Step(_RETURN, 0, 0, _REFUSE), _Step(_RETURN, 0, 0, _ALLOW)]
    steps += [_Step(_EQUAL, 0, 4, clone), _Step(_LOAD, 0, 0, 16)]
    steps += [_Step(_ANY_BIT, 1, 0, _THREAD), _Step(_RETURN, 0, 0, _REFUSE), _Step(_RETURN, 0, 0, _ALLOW)]
    return [*steps, _Step(_RETURN, 0, 0, _ALLOW)]


def confine(seconds: int, memory: int) -> None:
    """Set the limits and the filter; leaves the process with code 86 where there is no such filter."""
    limits = {"CPU": seconds, "AS": memory, "CORE": 0, "FSIZE": 1 << 16}
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    if sys.platform != "linux" or platform.machine() not in _TABLES or sys.byteorder != "little":
        os._exit(NO_FILTER)
    steps = _steps()
    program = _Filter(len(steps), (_Step * len(steps))(*steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):  # no new privileges; seccomp
        os._exit(NO_FILTER)


def main() -> None:
    """Read the program from standard input, run it, and write the agreed word where it came to its end."""
    given = json.loads(sys.stdin.buffer.read())
    confine(given["seconds"], given["memory"])
    sys.setrecursionlimit(10_000)
    word, writer = given.pop("word"), int(sys.argv[1])
    try:
        exec(compile(given["program"], "<answer>", "exec"), {"__name__": "__main__"})  # noqa: S102 — the purpose
    except BaseException:  # whatever generated code raises, SystemExit with it
        os._exit(1)
    os.write(writer, word.encode())
    os._exit(0)


if __name__ == "__main__":
    main()
