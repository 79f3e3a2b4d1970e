"""The walls around one engine process, each as far as this kernel allows, and an honest word on how far that was.

A process enters once, after fork and before any thread exists, and never comes out. It keeps what is already open (the client's
socket, the planned files) and loses the network, every other file, other processes, its privileges and unlimited memory.
Everything is called through ctypes: no helper program, no package, nothing to install.
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_SIGKILL = 9
_LOOKS_AT_THREADS = 8
LANDLOCK_OF_PORTS = 4
"""The version of landlock from which on it can forbid ports."""
LANDLOCK_OF_SIGNALS = 6
"""The version of landlock from which on it keeps signals and abstract unix sockets inside."""
UNPRIVILEGED = 65534
"""The account `nobody`: what a process that was started as root becomes."""


class SandboxLevel(IntEnum):
    """How much holds even if the engine itself were taken over."""

    ENGINE_ONLY = 0
    """Only the engine's own locks and the resource limits."""
    NO_NETWORK = 1
    """It also cannot reach any network."""
    NO_NETWORK_NO_FILES = 2
    """It also cannot open any file outside the plan of its query."""


@dataclass(frozen=True)
class SandboxReport:
    """Which walls stand. `landlock` is the version of the kernel's interface, 0 if it has none. `connect_port` is the one port of a
    process that speaks to a cluster, which keeps its network."""

    network_namespace: bool
    user_namespace: bool
    landlock: int
    system_call_filter: bool
    separate_account: bool
    no_new_privileges: bool
    resource_limits: bool
    connect_port: int | None = None

    @property
    def level(self) -> SandboxLevel:
        """The level reached, lowest wall counting. A process with a network reaches none: there the cluster runs the queries."""
        if self.connect_port is not None:
            return SandboxLevel.ENGINE_ONLY
        network = self.network_namespace or self.system_call_filter
        if network and self.landlock > 0:
            return SandboxLevel.NO_NETWORK_NO_FILES
        return SandboxLevel.NO_NETWORK if network else SandboxLevel.ENGINE_ONLY

    def as_json(self) -> dict[str, bool | int]:
        """For the broker's status and `huitong doctor`."""
        return {
            "level": int(self.level),
            "network_namespace": self.network_namespace,
            "user_namespace": self.user_namespace,
            "landlock": self.landlock,
            "system_call_filter": self.system_call_filter,
            "separate_account": self.separate_account,
            "no_new_privileges": self.no_new_privileges,
            "resource_limits": self.resource_limits,
        }


@dataclass(frozen=True)
class Walls:
    """Which walls to raise; a test takes one away to see that the report and the probes notice."""

    network_namespace: bool = True
    landlock: bool = True
    system_call_filter: bool = True


def leave_network(walls: Walls) -> bool:
    """Put the calling process (the broker, once; children inherit it) into an empty network namespace. False if refused.

    Unix sockets on the file system go on working."""
    if not walls.network_namespace:
        return False
    if _unshare(_CLONE_NEWNET):
        return True
    user, group = os.geteuid(), os.getegid()
    if not _unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        return False
    _map_self(user, group)
    return True


def enter(
    *,
    read_files: Sequence[int],
    temporary_folder: int | None,
    memory_megabytes: int,
    seconds: float,
    threads: int,
    file_megabytes: int,
    network_left: bool,
    walls: Walls,
    connect_port: int | None = None,
    read_besides: Sequence[int] = (),
) -> SandboxReport:
    """Raise every wall around this process: `read_files` and `temporary_folder` are open descriptors it may go on using.

    With `connect_port` it keeps its network, but may only open TCP connections, and where landlock knows of ports (version 4) only to
    this one; `read_besides` are files, and folders with all in them, that it may read besides.

    Must run single-threaded, after all imports. What fails is left out of the report, never hidden."""
    set_limits(memory_megabytes=memory_megabytes, seconds=seconds, threads=threads, file_megabytes=file_megabytes)
    separate = _become_unprivileged() if os.geteuid() == 0 else False
    user_namespace = _unshare(_CLONE_NEWUSER)
    network = network_left
    if not network and walls.network_namespace and connect_port is None:
        network = _unshare(_CLONE_NEWNET)
    no_new_privileges = _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    landlock = _landlock(read_files, temporary_folder, read_besides, connect_port) if walls.landlock and no_new_privileges else 0
    _drop_capabilities()
    filtered = _filter_system_calls(streams=connect_port is not None) if walls.system_call_filter and no_new_privileges else False
    return SandboxReport(
        network_namespace=network,
        user_namespace=user_namespace,
        landlock=landlock,
        system_call_filter=filtered,
        separate_account=separate,
        no_new_privileges=no_new_privileges,
        resource_limits=True,
        connect_port=connect_port,
    )


def stand_back(process: int) -> None:
    """Give all threads of a process of ours only the processor time that nobody else wants (SCHED_IDLE). Threads that they make later
    inherit it. Where the kernel does not let us, it competes on."""
    done: set[str] = set()
    with contextlib.suppress(OSError):
        for _ in range(_LOOKS_AT_THREADS):  # one may be made while the others are looked at
            threads = set(os.listdir(f"/proc/{process}/task")) - done
            if not threads:
                return
            for thread in threads:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
            done |= threads


def processor_seconds(process: int) -> float:
    """The processor time that all threads of a process have used; 0 of one that is gone."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
            after_name = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def die_with_parent(parent: int) -> None:
    """End this process when the one that forked it ends; exits at once if it is gone already.

    The kernel forgets this at every change of account, so it is asked for again after `enter`."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def close_all_but(keep: Sequence[int]) -> None:
    """Close every descriptor except `keep` and the standard three."""
    wanted = sorted({0, 1, 2, *keep})
    for left, right in zip(wanted, [*wanted[1:], resource.getrlimit(resource.RLIMIT_NOFILE)[0]], strict=True):
        if right > left + 1:
            os.closerange(left + 1, right)


def set_limits(*, memory_megabytes: int, seconds: float, threads: int, file_megabytes: int) -> None:
    """Hard limits of the kernel, wider than the engine's own: they catch what the engine did not count.

    The account's process count is not limited here (it counts every process of that account on the machine); the system call
    filter forbids new processes instead."""
    megabyte = 1024 * 1024
    with open("/proc/self/statm", encoding="utf-8") as file:  # noqa: PTH123 - before landlock, one read
        held = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    stacks = (threads + 4) * 72 * megabyte
    _limit(resource.RLIMIT_AS, held + 2 * memory_megabytes * megabyte + stacks + 256 * megabyte)
    _limit(resource.RLIMIT_CPU, int(seconds * (threads + 1)) + 5)
    _limit(resource.RLIMIT_FSIZE, max(1, file_megabytes) * megabyte)
    _limit(resource.RLIMIT_CORE, 0)
    try:  # if memory runs out, the kernel should end this process and no other
        with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write("1000")
    except OSError:
        pass


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _prctl(option: int, *arguments: int) -> bool:
    padded = [*arguments, 0, 0, 0, 0][:4]
    return int(_libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(argument) for argument in padded))) == 0


def _unshare(flags: int) -> bool:
    return int(_libc.unshare(ctypes.c_int(flags))) == 0


def _map_self(user: int, group: int) -> None:
    for name, text in (("uid_map", f"{user} {user} 1"), ("setgroups", "deny"), ("gid_map", f"{group} {group} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(text)
        except OSError:
            return


def _become_unprivileged() -> bool:
    try:
        os.setgroups([])
        os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    except OSError:
        return False
    return True


def _drop_capabilities() -> None:
    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    nothing = (ctypes.c_uint32 * 6)()
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = Header(0x20080522, 0)
    _libc.capset(ctypes.byref(header), ctypes.byref(nothing))


# --- landlock: which files ----------------------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_FS_ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_FS_ALL_NEWEST = (1 << 16) - 1
_FS_READ_FILE, _FS_READ_DIR, _FS_WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
_FS_REMOVE_FILE, _FS_REMOVE_DIR, _FS_MAKE_DIR, _FS_MAKE_REG, _FS_TRUNCATE = 1 << 5, 1 << 4, 1 << 7, 1 << 8, 1 << 14
_NET_ALL = 0b11
_NET_CONNECT = 0b10
_RULE_NET_PORT = 2
_SCOPE_ALL = 0b11


def landlock_version() -> int:
    """The version of the kernel's landlock interface; 0 if there is none or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def _landlock(
    read_files: Sequence[int], temporary_folder: int | None, read_besides: Sequence[int] = (), connect_port: int | None = None
) -> int:
    version = landlock_version()
    if version == 0:
        return 0
    everything = _FS_ALL_BY_VERSION.get(version, _FS_ALL_NEWEST)
    scope = _SCOPE_ALL if version >= LANDLOCK_OF_SIGNALS else 0
    attributes = struct.pack("QQQ", everything, _NET_ALL if version >= LANDLOCK_OF_PORTS else 0, scope)
    size = 24 if version >= LANDLOCK_OF_SIGNALS else 16 if version >= LANDLOCK_OF_PORTS else 8
    rules = int(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)))
    if rules < 0:
        return 0
    try:
        for descriptor in read_files:
            _allow(rules, descriptor, _FS_READ_FILE)
        for descriptor in read_besides:
            folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            _allow(rules, descriptor, _FS_READ_FILE | (_FS_READ_DIR if folder else 0))
        if connect_port is not None and version >= LANDLOCK_OF_PORTS:
            _allow_port(rules, connect_port)
        if temporary_folder is not None:
            allowed = _FS_READ_FILE | _FS_READ_DIR | _FS_WRITE_FILE | _FS_REMOVE_FILE | _FS_REMOVE_DIR | _FS_MAKE_DIR
            _allow(rules, temporary_folder, (allowed | _FS_MAKE_REG | _FS_TRUNCATE) & everything)
        if _libc.syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)) != 0:
            return 0
    finally:
        os.close(rules)
    return version


def _allow(rules: int, descriptor: int, access: int) -> None:
    attribute = struct.pack("=Qi", access, descriptor)
    if _libc.syscall(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_RULE_PATH_BENEATH), attribute, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock rule")


def _allow_port(rules: int, port: int) -> None:
    attribute = struct.pack("=QQ", _NET_CONNECT, port)
    if _libc.syscall(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_RULE_NET_PORT), attribute, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock rule")


# --- seccomp: which system calls ------------------------------------------------------------------------------------------

_ARCHITECTURES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "socketpair": 53, "fork": 57,
            "vfork": 58, "execve": 59, "ptrace": 101, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "swapon": 167,
            "init_module": 175, "delete_module": 176, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
            "accept4": 288, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
            "process_vm_writev": 311, "finit_module": 313, "bpf": 321, "execveat": 322, "userfaultfd": 323, "io_uring_setup": 425,
            "io_uring_enter": 426, "io_uring_register": 427, "pidfd_open": 434, "pidfd_getfd": 438, "clone": 56, "clone3": 435,
            "kill": 62, "tkill": 200, "tgkill": 234,
            "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "unshare": 97, "init_module": 105, "delete_module": 106,
            "ptrace": 117, "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203,
            "add_key": 217, "request_key": 218, "keyctl": 219, "execve": 221, "swapon": 224, "perf_event_open": 241, "accept4": 242,
            "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273,
            "bpf": 280, "execveat": 281, "userfaultfd": 282, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
            "pidfd_open": 434, "pidfd_getfd": 438, "clone": 220, "clone3": 435,
            "kill": 129, "tkill": 130, "tgkill": 131,
            "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "pidfd_send_signal": 424,
        },
    ),
}  # fmt: skip
_CLONE_THREAD = 0x00010000
_FAMILIES, _STREAM, _KIND_OF_SOCKET = (2, 10), 1, 0xF
"""IPv4 and IPv6; SOCK_STREAM, and the bits of its argument that say so."""
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def _filter_system_calls(*, streams: bool = False) -> bool:
    """Forbid new processes and programs, sockets, signals, looking into other processes and io_uring (which would go round the filter).

    Threads stay allowed: `clone` with CLONE_THREAD; `clone3` answers "not known", so the C library falls back to `clone`. Without signals
    `abort` ends the process by an instruction that is not allowed. With `streams` sockets of TCP may be made and connected, no others."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    architecture, calls = known
    clone, clone3 = calls["clone"], calls["clone3"]
    allowed = {"clone", "clone3", *(("socket", "connect") if streams else ())}
    refused = sorted(number for name, number in calls.items() if name not in allowed)
    # (code, jump if true, jump if false, value); jumps count instructions
    program: list[tuple[int, int, int, int]] = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 1, 0, architecture),
        (0x06, 0, 0, _KILL),
        (0x20, 0, 0, 0),  # load the number of the call
        (0x35, 0, 1, 0x40000000),  # the x32 numbers of x86-64
        (0x06, 0, 0, _ERRNO | errno.EPERM),
        (0x15, 0, 1, clone3),
        (0x06, 0, 0, _ERRNO | errno.ENOSYS),
        (0x15, 0, 4, clone),
        (0x20, 0, 0, 16),  # its flags
        (0x45, 0, 1, _CLONE_THREAD),
        (0x06, 0, 0, _ALLOW),
        (0x06, 0, 0, _ERRNO | errno.EPERM),
    ]
    if streams:
        program += [
            (0x15, 0, 8, calls["socket"]),
            (0x20, 0, 0, 16),  # its family
            (0x15, 1, 0, _FAMILIES[0]),
            (0x15, 0, 4, _FAMILIES[1]),
            (0x20, 0, 0, 24),  # its kind
            (0x54, 0, 0, _KIND_OF_SOCKET),
            (0x15, 0, 1, _STREAM),
            (0x06, 0, 0, _ALLOW),
            (0x06, 0, 0, _ERRNO | errno.EPERM),
        ]
    for number in refused:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, _ERRNO | errno.EPERM)]
    program.append((0x06, 0, 0, _ALLOW))
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer)))
    return _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(filter_program))
