# SPDX-License-Identifier: Apache-2.0
"""The writable memory of a program just before it exits, read as a debugger would (ptrace(2)). Needs root: the programs
are not dumpable."""
import ctypes
import os
import signal

from harness import CLEAN_ENVIRONMENT

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS = 0, 7, 0x4200
PTRACE_O_TRACEEXIT, PTRACE_O_TRACEEXEC, PTRACE_O_EXITKILL = 0x40, 0x10, 0x100000
PTRACE_EVENT_EXEC, PTRACE_EVENT_EXIT = 4, 6
LIBC = ctypes.CDLL(None, use_errno=True)


def ptrace(request, pid, data=0):
    if LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(0), ctypes.c_void_p(data)) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def writable_memory(pid):
    """Name of each writable mapping → its bytes."""
    found = {}
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            fields = line.split()
            start, end = (int(word, 16) for word in fields[0].split("-"))
            if fields[1].startswith("rw"):
                mem.seek(start)
                found[f"{fields[5] if len(fields) > 5 else 'anonymous'} {fields[0]}"] = mem.read(end - start)
    return found


def run_to_exit(*command, env=None, stdin=b"", cwd=None):
    """Runs a program; returns its exit code, its output and its memory before the exit."""
    out_reader, out_writer = os.pipe()
    in_file = os.memfd_create("stdin")
    os.write(in_file, stdin)
    os.lseek(in_file, 0, os.SEEK_SET)
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(in_file, 0)
            os.dup2(out_writer, 1)
            os.dup2(out_writer, 2)
            os.chdir(cwd or ".")
            ptrace(PTRACE_TRACEME, 0)
            os.execve(str(command[0]), [str(word) for word in command], CLEAN_ENVIRONMENT | (env or {}))
        finally:
            os._exit(127)
    os.close(in_file)
    os.close(out_writer)
    os.waitpid(pid, 0)
    ptrace(PTRACE_SETOPTIONS, pid, PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)
    deliver, memory = 0, {}
    while True:
        ptrace(PTRACE_CONT, pid, deliver)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            break
        event, deliver = status >> 16, 0
        if event == PTRACE_EVENT_EXIT:
            memory = writable_memory(pid)
        elif event == 0 and os.WSTOPSIG(status) != signal.SIGTRAP:
            deliver = os.WSTOPSIG(status)
    with os.fdopen(out_reader, "rb") as out:
        return os.waitstatus_to_exitcode(status), out.read(), memory
