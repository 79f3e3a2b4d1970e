"""A small writer of RDF: nodes as data, written as Turtle or JSON-LD one after the other, so that a catalogue of any size streams.

Nothing is anonymous: every node has an address, so the same entry always gives the same text.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

PREFIXES: Mapping[str, str] = {
    "adms": "http://www.w3.org/ns/adms#",
    "csvw": "http://www.w3.org/ns/csvw#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcatap": "http://data.europa.eu/r5r/",
    "dct": "http://purl.org/dc/terms/",
    "eli": "http://data.europa.eu/eli/ontology#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "prov": "http://www.w3.org/ns/prov#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
NOT_IN_AN_ADDRESS = re.compile(r'[\x00-\x20<>"{}|\\^`\x7f]')
IN_TURTLE: Mapping[int, str] = {
    **{number: f"\\u{number:04X}" for number in (*range(32), 0x7F)},
    ord("\\"): "\\\\",
    ord('"'): '\\"',
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


@dataclass(frozen=True)
class To:
    """A link to the node at that address."""

    address: str

    def __post_init__(self) -> None:
        if NOT_IN_AN_ADDRESS.search(self.address):
            raise ValueError("an address holds a character that none may hold")


@dataclass(frozen=True)
class Words:
    """A text, of a language or of a type such as `xsd:date`."""

    text: str
    language: str | None = None
    type: str | None = None


@dataclass(frozen=True)
class InOrder:
    """A list of links whose order counts."""

    of: tuple[To, ...]


Value = To | Words | InOrder


@dataclass(frozen=True)
class Node:
    """A thing with its types and what is said of it, in order; predicates and types by prefix, as `dct:title`."""

    address: str
    types: tuple[str, ...] = ()
    said: tuple[tuple[str, Value], ...] = field(default=())


def part(text: str) -> str:
    """A text as one part of an address."""
    return quote(text, safe="", encoding="utf-8")


def turtle(nodes: Iterable[Node]) -> Iterator[str]:
    """The nodes as Turtle, a text for the prefixes and then one for each node."""
    yield "".join(f"@prefix {prefix}: <{address}> .\n" for prefix, address in PREFIXES.items())
    for node in nodes:
        lines = ["a " + ", ".join(node.types)] if node.types else []
        lines += [f"{predicate} {_in_turtle(value)}" for predicate, value in node.said]
        if lines:
            yield f"\n<{To(node.address).address}> " + " ;\n    ".join(lines) + " .\n"


def json_ld(nodes: Iterable[Node]) -> Iterator[str]:
    """The nodes as one JSON-LD document, a text for its beginning, one for each node, one for its end."""
    yield '{"@context": ' + json.dumps(dict(PREFIXES)) + ',\n"@graph": ['
    between = "\n"
    for node in nodes:
        yield between + json.dumps(_in_json(node), ensure_ascii=False)
        between = ",\n"
    yield "\n]}\n"


def _in_turtle(value: Value) -> str:
    if isinstance(value, To):
        return f"<{value.address}>"
    if isinstance(value, InOrder):
        return "( " + " ".join(f"<{one.address}>" for one in value.of) + " )"
    text = '"' + value.text.translate(IN_TURTLE) + '"'
    if value.language is not None:
        return f"{text}@{value.language}"
    return text if value.type is None else f"{text}^^{value.type}"


def _in_json(node: Node) -> dict[str, Any]:
    said: dict[str, Any] = {"@id": To(node.address).address}
    if node.types:
        said["@type"] = list(node.types)
    for predicate, value in node.said:
        said.setdefault(predicate, []).append(_value_in_json(value))
    return said


def _value_in_json(value: Value) -> dict[str, Any]:
    if isinstance(value, To):
        return {"@id": value.address}
    if isinstance(value, InOrder):
        return {"@list": [{"@id": one.address} for one in value.of]}
    written = {"@value": value.text}
    if value.language is not None:
        written["@language"] = value.language
    if value.type is not None:
        written["@type"] = value.type
    return written
