"""What benchmarks of a served instance share: making one with an office that gives and one that asks, serving it, calling it."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PURPOSE, BASIS = "education", "Compulsory Education Law, article 44"
UNTIL = "2099-12-31"


# --- making: in a process of its own ----------------------------------------------------------------------------------------------------


def make_instance(home: Path, fill: Callable[[Any, Any], None]) -> None:
    """An instance with the offices `gz-civil` (officer and reviewer `min`) and `gz-education` (analyst `wen`). `fill` is given the opened
    instance and `min`; what it did is folded, and the tokens of both go to standard output."""
    os.environ["HUITONG_HOME"] = str(home)
    from huitong.cli.inside import open_inside
    from huitong.cli.instance import _office
    from huitong.cli.instance import make_instance as make_empty
    from huitong.keystore import FileKeyStore
    from huitong.model.party import Role
    from huitong.settings import read_settings

    settings = read_settings(home=home)
    make_empty(settings, operator="shi", operator_name="shi", office=_office("operations", "运维/Operations", "520000000000", None))
    inside = open_inside(settings)
    from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
    from huitong.portal.wiring import wall_clock

    by = instance_operator("shi")
    accounts = Accounts(inside.stores, inside.ledger, FileKeyStore(settings.keys), wall_clock)
    offices = [_office("gz-civil", "民政/Civil", "520100000000", None), _office("gz-education", "教育/Education", "520200000000", None)]
    accounts.register_offices(offices, by=by)
    people = [
        NewPerson("min", "min", "gz-civil", frozenset({Role.DATA_OFFICER, Role.REVIEWER})),
        NewPerson("wen", "wen", "gz-education", frozenset({Role.ANALYST})),
    ]
    accounts.register_people(people, by=by)
    (officer,), (analyst,) = inside.stores.parties.actors_of("min"), inside.stores.parties.actors_of("wen")
    fill(inside, officer)
    tokens = {actor.person: accounts.issue_token(actor.post, by=by).text for actor in (officer, analyst)}
    inside.platform.sequencer.fold_all()
    print(json.dumps(tokens))


def entry(name: str, items: Sequence[Any], **more: Any) -> Any:
    """An entry of `gz-civil`, shared without condition, synthetic."""
    from huitong.model.catalog import Dataset, Openness, Sharing, UpdateCycle
    from huitong.model.text import BilingualText

    return Dataset(
        id=name,
        title=BilingualText(zh="合成登记", en="Synthetic register"),
        abstract=BilingualText(zh="合成登记。", en="Synthetic register."),
        classification="3-06-0001/000001",
        provider="gz-civil",
        collector="gz-civil",
        sharing=Sharing.UNCONDITIONAL,
        sharing_basis="Regulation of Guizhou Province, article 21",
        sharing_condition=None,
        openness=Openness.NOT_OPEN,
        update_cycle=UpdateCycle.MONTHLY,
        items=tuple(items),
        source="Synthetic",
        **more,
    )


def public_item(name: str, kind: Any = None, meaning: str | None = None) -> Any:
    """A public item; text if no type is named."""
    from huitong.model.catalog import Grade, Item, ItemType
    from huitong.model.text import BilingualText

    return Item(name, BilingualText(zh=name, en=name), kind or ItemType.TEXT, Grade.PUBLIC, meaning)


# --- serving ----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """A running server and how to talk to it."""

    port: int
    tokens: Mapping[str, str]

    @contextlib.contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """One connection; it stays with the process that accepted it."""
        made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(made):
            made.connect()
            yield made

    def call(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, *, person: str = "wen"
    ) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        headers = {"Authorization": f"Bearer {self.tokens[person]}", "Accept": "application/json", "Content-Type": "application/json"}
        connection.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


@contextlib.contextmanager
def serving(folder: Path, make: Sequence[str], *, web: int) -> Iterator[Served]:
    """The instance `folder/instance` served, by so many web processes. It is made first if it is not there: by `python -m` and `make`,
    which are given `--make` and where, and print the tokens; these are kept beside it."""
    home, log, kept = folder / "instance", folder / "log", folder / "tokens.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUITONG_")}
    environment |= {"HUITONG_HOME": str(home), "HUITONG_PROFILE": str(folder / "profile.toml")}
    if not kept.exists():
        made = subprocess.run(
            [sys.executable, "-m", *make, "--make", str(home)],
            env=environment, capture_output=True, text=True, check=False, timeout=1800,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        kept.write_text(made.stdout.strip().splitlines()[-1], "utf-8")
    port = free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "huitong.cli", "serve", "--operator", "shi", "--port", str(port), "--web", str(web)],
            env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        found = Served(port, json.loads(kept.read_text("utf-8")))
        _wait_until_ready(found, server, log)
        yield found
    finally:
        stop(server)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server that was started here; waits until it is gone."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(server: Served, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text("utf-8", "replace")
        with contextlib.suppress(OSError, http.client.HTTPException), server.connection() as connection:
            if server.call(connection, "GET", "whoami")[0] == 200:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text("utf-8", "replace"))
