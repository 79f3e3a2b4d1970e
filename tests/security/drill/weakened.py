"""A drill instance from which a protection was taken away, as far as a procedure can tell: calls it makes are changed on their way."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from huitong.drill.ground import Ground


@dataclass
class Call:
    """A call as a procedure makes it."""

    actor: str | None
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


Change = Callable[[Call], "Call | httpx.Response | None"]
"""The call to make in the place of this one, or the answer at once; None: as it stands."""


class Weakened:
    """Everything of the instance that it stands before, but calls that match are changed first."""

    def __init__(self, ground: Ground, changes: Mapping[str, Change]) -> None:
        self._ground, self._changes = ground, changes
        self.changed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ground, name)

    def call(self, actor: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        asked = Call(actor, method, path, more.get("body"), dict(more.get("headers") or {}), more.get("content"))
        for pattern, change in self._changes.items():
            if re.search(pattern, f"{method} {path}"):
                made = change(asked)
                if isinstance(made, httpx.Response):
                    self.changed += 1
                    made.request = httpx.Request(method, f"http://127.0.0.1/{path}")
                    return made
                if made is not None:
                    self.changed += 1
                    asked = made
        return self._ground.call(asked.actor, asked.method, asked.path, body=asked.body, headers=asked.headers, content=asked.content)

    def query(self, actor: str, sql: str, **more: Any) -> httpx.Response:
        from huitong.drill.instance import PURPOSES

        return self.call(actor, "POST", "query", body={"sql": sql, "purpose": PURPOSES.get(actor, "audit"), **more})


def as_actor(who: str, *, unless: str | None = None) -> Change:
    """A server that takes everybody for this one."""

    def change(call: Call) -> Call | None:
        if call.actor in (who, unless):
            return None
        call.actor = who
        return call

    return change


def answered(status: int, body: Any = None) -> Change:
    """A server that answers so, whatever is asked."""
    return lambda _: httpx.Response(status, json={} if body is None else body)
