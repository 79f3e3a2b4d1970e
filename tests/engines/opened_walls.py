"""Opens one wall after another and prints, for each, which probes then went through (or why else nobody was served).

    python opened_walls.py HOME

HOME has a lake, keys/*.key and a file `control`. Each opened wall is still reported as standing: only a probe can find it.
"""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huitong.engines import probes, process, sandbox
from huitong.engines.broker import Broker, BrokerSettings, NotSafeError

HOME = Path(sys.argv[1])
READ, WRITE, EXECUTE, LIST, MAKE = 1 << 2, 1 << 1, 1 << 0, 1 << 3, 1 << 8
"""Rights of landlock on files and folders."""

Opening = Callable[[], object]
PathOf = Callable[[probes.Targets], Path]
_seen: list[probes.Targets] = []
_undo: list[Opening] = []


def put(owner: Any, name: str, value: object) -> None:
    _undo.append(functools.partial(setattr, owner, name, getattr(owner, name)))
    setattr(owner, name, value)


def watch_targets() -> None:
    real = process.probe

    def probe(*, targets: probes.Targets, **given: Any) -> None:
        _seen.append(targets)
        real(targets=targets, **given)

    put(process, "probe", probe)


def system_call(*names: str) -> None:
    for _, calls in sandbox._ARCHITECTURES.values():
        kept = dict(calls)
        _undo.append(functools.partial(calls.update, kept))
        for name in names:
            calls.pop(name, None)


def landlock_allows(access: int, path: PathOf) -> None:
    enter, allow = sandbox.enter, sandbox._allow

    def entering(*, temporary_folder: int, **given: Any) -> sandbox.SandboxReport:
        opened = os.open(path(_seen[0]), os.O_RDONLY) if _seen else None  # while this is still the broker's account

        def adding(rules: int, descriptor: int, allowed: int) -> None:
            allow(rules, descriptor, allowed)
            if opened is not None and descriptor == temporary_folder:
                allow(rules, opened, access)

        sandbox._allow = adding
        return enter(temporary_folder=temporary_folder, **given)

    put(sandbox, "enter", entering)


def landlock() -> None:
    put(sandbox, "_landlock", lambda *_: sandbox.landlock_version())


def account() -> None:
    put(sandbox, "_become_unprivileged", lambda: True)


def folders_of_one_account() -> None:
    put(sandbox, "UNPRIVILEGED", os.geteuid())


def capabilities() -> None:
    put(sandbox, "_drop_capabilities", lambda: None)


def user_namespace() -> None:
    put(sandbox, "_unshare", lambda _flags: True)


def network() -> None:
    put(sandbox, "leave_network", lambda _walls: True)


def statement(name: str) -> None:
    real = probes.sql_attacks
    put(probes, "sql_attacks", lambda forbidden: {**real(forbidden), name: "SELECT 1"})


def environment() -> None:
    real = process._leave_parent

    def leave(parent: int) -> None:
        real(parent)
        os.environ["KEPT"] = "yes"

    put(process, "_leave_parent", leave)


def all_of(*openings: Opening) -> Opening:
    return lambda: [opening() for opening in openings]


def call(*names: str) -> Opening:
    return lambda: system_call(*names)


def allows(access: int, path: PathOf) -> Opening:
    return lambda: landlock_allows(access, path)


def new_process() -> None:
    put(sandbox, "_CLONE_THREAD", 0xFFFFFFFF)


OPENINGS: dict[str, Opening] = {
    "network": all_of(network, call("socket", "connect"), landlock),  # first: the others leave the network for good
    "nothing": all_of(),
    **{f"statement {name}": functools.partial(statement, name) for name in probes.sql_attacks(Path("/"))},
    "environment": environment,
    "file": all_of(account, allows(READ, lambda at: at.forbidden / "f.csv")),
    "folder": all_of(account, allows(LIST, lambda at: at.forbidden)),
    "system file": allows(READ, lambda at: Path("/etc/passwd")),
    "own environment": all_of(account, allows(READ, lambda at: Path("/proc/self/environ"))),
    "write": all_of(account, allows(WRITE | MAKE, lambda at: at.forbidden)),
    "key": allows(READ, lambda at: at.secrets[0]),
    "database": allows(READ, lambda at: at.secrets[-1]),
    "folder of another": all_of(folders_of_one_account, allows(LIST, lambda at: at.other_folder)),
    "file of another": all_of(folders_of_one_account, allows(READ, lambda at: at.other_folder / "spilled")),
    "writing of another": all_of(folders_of_one_account, allows(WRITE, lambda at: at.other_folder / "spilled")),
    "processes": all_of(landlock, account, user_namespace, capabilities),
    "trace": call("ptrace"),
    "trace, processes": all_of(call("ptrace"), landlock, account, user_namespace, capabilities),
    "signal": call("kill"),
    "signal, scope": all_of(call("kill"), lambda: put(sandbox, "_SCOPE_ALL", 0)),
    "signal, scope, account": all_of(call("kill"), lambda: put(sandbox, "_SCOPE_ALL", 0), account),
    "socket": call("socket"),
    "broker socket": all_of(call("socket", "connect"), account),
    "program": all_of(call("execve"), allows(READ | EXECUTE, lambda at: Path("/bin/sh"))),
    "process": new_process,
    "program in process": all_of(new_process, call("execve"), landlock),
    "account": all_of(account, user_namespace),
}


def told_of(number: int, opening: Opening) -> object:
    _seen.clear()
    watch_targets()
    opening()
    settings = BrokerSettings(socket=HOME / f"{number}.sock", lake=HOME / "lake", keys=HOME / "keys", database=HOME / "control")
    broker = Broker(settings)
    allow = sandbox._allow
    try:
        broker.prepare()
    except NotSafeError as error:
        return sorted(error.passed) or str(error)
    finally:
        broker._listener.close()
        sandbox._allow = allow
        while _undo:
            _undo.pop()()
    return []


if __name__ == "__main__":
    told = {}
    for number, (name, opening) in enumerate(OPENINGS.items()):
        told[name] = told_of(number, opening)
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # the engine's library reports leaks of its own at an ordinary end
