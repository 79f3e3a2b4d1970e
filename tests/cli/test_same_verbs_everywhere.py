"""Every operation of the API is a method of the Python client and a command of the command line; what is missing is named."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from types import FunctionType
from typing import Any

import click
import pytest

from huitong.cli.base import Group
from huitong.cli.root import root
from huitong.client import Client
from huitong.portal.api.app import api
from huitong.portal.api.idempotency import Manner, manner_of

SENDERS = ("_json", "_send", "_upload")
FOLLOWED = {"extracts/{}/download"}
"""Addresses that the client is given by another operation, with a signature, and follows as they are."""
OPERATIONS = {
    (operation.methods[0], path): operation
    for operation in api.operations()
    if (path := re.sub(r"{\w+}", "{}", operation.path.strip("/"))) not in FOLLOWED
}


# --- the client: what each method sends --------------------------------------------------------------------------------------


def methods() -> dict[str, ast.FunctionDef]:
    """The public methods of the client, and those that they are made of."""
    found = {}
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        tree = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        found[name] = tree
    return found


def addresses(expression: ast.expr, names: dict[str, ast.expr]) -> list[str]:
    """The addresses that an expression may give, `{}` for a part that somebody names and `*` for what is not known here."""
    if isinstance(expression, ast.Constant):
        return [str(expression.value)]
    if isinstance(expression, ast.IfExp):
        return addresses(expression.body, names) + addresses(expression.orelse, names)
    if isinstance(expression, ast.Name) and expression.id in names:
        return addresses(names[expression.id], names)
    if isinstance(expression, ast.JoinedStr):
        made = [""]
        for part in expression.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            made = [start + end for start in made for end in addresses(inner, names)]
        return made
    named = isinstance(expression, ast.Call) and getattr(expression.func, "id", "") == "_part"
    return ["{}" if named or not isinstance(expression, ast.Name) else "*"]


@cache
def sent_by_methods() -> dict[str, list[tuple[str, str, bool]]]:
    """Of each public method: the verbs and addresses that it sends to, and whether with a key."""
    trees = methods()
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for name, tree in trees.items():
        if name.startswith("_"):
            continue
        found[name] = []
        for part in (tree, *(trees[one] for one in _own_calls(tree) if one in trees and one not in SENDERS[:2])):
            names = {
                target.id: node.value
                for node in ast.walk(part)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for call in (node for node in ast.walk(part) if isinstance(node, ast.Call)):
                if getattr(call.func, "attr", "") not in ("_json", "_send") or len(call.args) < 2:
                    continue
                verb = str(getattr(call.args[0], "value", "*"))
                keyed = call.func.attr == "_json" and verb != "GET"  # type: ignore[attr-defined]
                for word in call.keywords:
                    if word.arg == "keyed":
                        keyed = bool(getattr(word.value, "value", True))
                found[name] += [(verb, address, keyed) for address in addresses(call.args[1], names)]
    return found


def _own_calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "self":
            yield node.func.attr


def methods_of(verb: str, address: str) -> dict[str, bool]:
    """The methods that send to an operation, and whether with a key."""
    return {
        name: keyed
        for name, sent in sent_by_methods().items()
        for sent_verb, pattern, keyed in sent
        if sent_verb == verb and fnmatchcase(address, pattern)
    }


def test_every_operation_has_a_method_of_the_client() -> None:
    missing = [f"{verb} /{address}" for verb, address in OPERATIONS if not methods_of(verb, address)]
    assert not missing, "huitong.client.Client has no method for these operations of the API"


def test_the_client_sends_to_nothing_that_is_not_there() -> None:
    sent = {(verb, pattern) for found in sent_by_methods().values() for verb, pattern, _ in found if verb != "*"}
    unknown = [one for one in sent if not any(verb == one[0] and fnmatchcase(address, one[1]) for verb, address in OPERATIONS)]
    assert not unknown


def test_a_call_carries_a_key_exactly_where_the_server_takes_one() -> None:
    wrong = {}
    for (verb, address), operation in OPERATIONS.items():
        manner = manner_of(operation, api.get_openapi_operation_id(operation))
        takes = manner not in (None, Manner.NONE)
        wrong |= {f"{verb} /{address}": name for name, keyed in methods_of(verb, address).items() if keyed is not takes}
    assert not wrong, "say keyed=False where the server takes no key (it changes nothing, or gives rows or a secret)"


# --- the command line: which methods each command calls --------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, Group):
            yield path, command
            return
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from walk(found, f"{path} {name}".strip())

    return walk(root, "")


def called_by(function: Any, seen: set[Any] | None = None) -> set[str]:
    """The methods of a client that a function calls, or a function of the command line that it names."""
    seen = set() if seen is None else seen
    if not isinstance(function, FunctionType) or function in seen or not function.__module__.startswith("huitong.cli"):
        return set()
    seen.add(function)
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "client":
            found.add(node.attr)
        if isinstance(node, ast.Name):
            found |= called_by(vars(sys.modules[function.__module__]).get(node.id), seen)
    return found


def test_every_operation_has_a_command() -> None:
    used = set().union(*(called_by(command.callback) for _, command in commands()))
    missing = [
        f"{verb} /{address} (client.{' or client.'.join(found)})"
        for verb, address in OPERATIONS
        if (found := methods_of(verb, address)) and not used & found.keys()
    ]
    assert not missing, "no command of huitong calls these"


@pytest.mark.parametrize("name", [name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")])
def test_every_method_of_the_client_says_what_it_does_and_what_it_takes_and_gives(name: str) -> None:
    method = getattr(Client, name)
    signature = inspect.signature(method)
    assert inspect.getdoc(method)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(one.annotation is not inspect.Parameter.empty for one in list(signature.parameters.values())[1:])
