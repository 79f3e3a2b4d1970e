"""A grant as an ODRL agreement, and back."""

import copy
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyshacl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdflib import ODRL2, PROV, RDF, Graph, Namespace, URIRef
from rdflib.compare import isomorphic
from rdflib.term import Literal
from tests.unit.policy.odrl_examples import CIVIL, EDUCATION, FULL, PLAIN, START, WRITING, grant, terms

from huitong.errors import InputInvalid
from huitong.model.policy import GrantState, Mode, NoisedTerms, Terms, ValueBounds
from huitong.policy.odrl import Agreement, agreement_of_odrl, grant_urn, odrl_of, terms_of_odrl
from huitong.sharing.terms import hash_of_terms

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*is deprecated:DeprecationWarning:{package}") for package in ("rdflib", "pyshacl")
]
HT = Namespace("urn:huitong:odrl-profile:1#")
SHAPES = Path(__file__).parents[2] / "fixtures" / "odrl" / "shapes.ttl"
SAID = {"permission", "prohibition", "obligation"}


def graph_of(document: dict[str, Any]) -> Graph:
    """The triples; a context that had to be fetched would fail, for tests have no network."""
    found = Graph()
    found.parse(data=json.dumps(document, ensure_ascii=False), format="json-ld")
    return found


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places(one, (*path, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from places(one, (*path, number))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def hash_of(read: Agreement) -> str:
    parties = {name: getattr(read, name) for name in ("dataset", "provider", "using_office", "signed_by", "version")}
    return hash_of_terms(read.terms, **parties)


@pytest.mark.parametrize("wanted", [PLAIN, FULL], ids=["plain", "full"])
def test_examples_come_back_as_they_went_in(wanted: Terms) -> None:
    assert terms_of_odrl(odrl_of(grant(wanted), WRITING)) == wanted


@pytest.mark.slow
@settings(max_examples=100)
@given(terms())
def test_terms_come_back_as_they_went_in(wanted: Terms) -> None:
    document = odrl_of(grant(wanted), WRITING)
    assert terms_of_odrl(document) == wanted
    assert terms_of_odrl(json.loads(json.dumps(document))) == wanted


@pytest.mark.slow
@settings(max_examples=40)
@given(terms(), st.integers(1, 9))
def test_the_hash_of_the_terms_can_be_counted_from_the_document_alone(wanted: Terms, version: int) -> None:
    kept = grant(wanted, version=version)
    read = agreement_of_odrl(odrl_of(kept, WRITING))
    assert hash_of(read) == read.terms_hash == kept.terms_hash


def test_what_the_terms_do_not_say_is_nowhere_and_what_they_say_is_somewhere() -> None:
    """A term that is added one day must be written here too, or nobody would be bound by it."""
    known = {
        "purpose", "items", "rows", "mode", "linkage_group", "valid_from", "valid_until", "condition", "subjects", "k", "quota",
        "noised", "salt",
    }  # fmt: skip
    assert {field.name for field in fields(Terms)} == known
    noised = replace(FULL, mode=Mode.NOISED, k=None, noised=NoisedTerms(1_500_000, 3_000_000, 2, (ValueBounds("amount", "0", "9.5"),)))
    assert terms_of_odrl(odrl_of(grant(noised), WRITING)) == noised
    for name in ("rows", "condition", "subjects", "quota", "salt"):
        less = replace(FULL, **{name: getattr(PLAIN, name)})
        assert odrl_of(grant(less), WRITING)["permission"] != odrl_of(grant(FULL), WRITING)["permission"]


@pytest.mark.parametrize("wanted", [PLAIN, FULL], ids=["plain", "full"])
def test_nothing_of_what_binds_can_be_changed_added_or_left_out_unseen(wanted: Terms) -> None:
    document = json.loads(json.dumps(odrl_of(grant(wanted), WRITING)))
    for path in list(places(document)):
        if not path or path[0] not in SAID:
            continue
        for change in ("leave out", "add", "another"):
            altered = copy.deepcopy(document)
            holder, last = at(altered, path[:-1]), path[-1]
            if change == "leave out":
                del holder[last]
            elif change == "another":
                value = holder[last]
                holder[last] = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else [value]
            elif isinstance(holder[last], dict):
                holder[last]["odrl:consequence"] = "x"
            elif isinstance(holder[last], list):
                holder[last].append({"uid": "urn:x:more", "type": "odrl:Constraint", "leftOperand": "odrl:event"})
            else:
                continue
            try:
                read = agreement_of_odrl(altered)
            except InputInvalid:
                continue
            # Another number, or a cut less, reads as other terms: their hash is not the one that stands in the document.
            assert hash_of(read) != read.terms_hash, (path, change)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_put_anywhere_is_refused_or_read_never_a_fault(data: st.DataObject) -> None:
    document = odrl_of(grant(FULL), WRITING)
    path = data.draw(st.sampled_from([path for path in places(document) if path]))
    holder = at(document, path[:-1])
    holder[path[-1]] = data.draw(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
        | st.dictionaries(st.sampled_from(["uid", "type", "identifier", "@list"]), st.text(max_size=3), max_size=3)
    )  # fmt: skip
    try:
        read = agreement_of_odrl(document)
    except InputInvalid:
        return
    assert isinstance(read, Agreement)


@pytest.mark.parametrize(
    "other",
    [
        {}, {"@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Set"}, {"@context": {}}, {"permission": []},
    ],
)  # fmt: skip
def test_documents_of_others_are_refused(other: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid) as caught:
        agreement_of_odrl(other)
    assert caught.value.reasons[0].code == "odrl-not-understood"


def test_the_order_of_rules_and_constraints_says_nothing() -> None:
    document = odrl_of(grant(FULL), WRITING)
    document["prohibition"].reverse()
    document["permission"]["constraint"].reverse()
    document["permission"]["target"]["refinement"].reverse()
    assert terms_of_odrl(document) == FULL


@pytest.mark.parametrize("wanted", [PLAIN, FULL], ids=["plain", "full"])
def test_it_is_odrl_that_others_read(wanted: Terms) -> None:
    document = odrl_of(grant(wanted), WRITING)
    found = graph_of(document)
    assert "@context" in document and isinstance(document["@context"], dict), "nothing to fetch"
    for triple in found:
        for term in triple:
            if isinstance(term, URIRef) and str(term).startswith(str(ODRL2)):
                assert str(term).removeprefix(str(ODRL2)) in dir(ODRL2) or term in ODRL2, f"{term} is no word of ODRL 2.2"
    own = {term for triple in found for term in triple if isinstance(term, URIRef) and term in HT}
    assert own, "words of the profile"
    uid = URIRef(grant_urn("huitong.local/demo", "G-2026-000007", 1))
    assert (uid, RDF.type, ODRL2.Agreement) in found
    assert (uid, ODRL2.profile, URIRef("urn:huitong:odrl-profile:1")) in found
    permission = found.value(uid, ODRL2.permission)
    assert permission is not None
    target = found.value(permission, ODRL2.target)
    assert str(found.value(target, ODRL2.source)) == WRITING.dataset_address
    operands = {found.value(one, ODRL2.leftOperand) for one in found.objects(permission, ODRL2.constraint)}
    assert operands >= {ODRL2.purpose, ODRL2.dateTime, HT.linkageGroup}
    codes = {str(one) for one in found.objects(None, HT.creditCode)}
    assert codes == {CIVIL.credit_code, EDUCATION.credit_code}
    for operand in set(found.objects(None, ODRL2.leftOperand)):
        assert operand in ODRL2 or (operand, RDF.type, ODRL2.LeftOperand) in found, f"{operand} is explained nowhere"
    for action in set(found.objects(None, ODRL2.action)):
        assert action in ODRL2 or (action, RDF.type, ODRL2.Action) in found


def test_from_is_included_and_until_is_not() -> None:
    found = graph_of(odrl_of(grant(), WRITING))
    bounds = {}
    permission = next(found.subjects(RDF.type, ODRL2.Permission))
    for one in found.objects(permission, ODRL2.constraint):
        if found.value(one, ODRL2.leftOperand) == ODRL2.dateTime:
            right = found.value(one, ODRL2.rightOperand)
            assert isinstance(right, Literal)
            bounds[found.value(one, ODRL2.operator)] = right.toPython()
    assert bounds == {ODRL2.gteq: PLAIN.valid_from, ODRL2.lt: PLAIN.valid_until}


@pytest.mark.parametrize("wanted", [PLAIN, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("state", list(GrantState))
def test_it_has_the_shape_of_an_agreement(wanted: Terms, state: GrantState) -> None:
    document = odrl_of(grant(wanted, version=2, state=state), WRITING)
    conforms, _, report = pyshacl.validate(graph_of(document), shacl_graph=str(SHAPES), shacl_graph_format="turtle")
    assert conforms, report


def test_the_shapes_find_what_is_missing() -> None:
    for name in ("assignee", "termsHash", "prohibition", "permission"):
        document = odrl_of(grant(), WRITING)
        del document[name]
        conforms, _, _ = pyshacl.validate(graph_of(document), shacl_graph=str(SHAPES), shacl_graph_format="turtle")
        assert not conforms, name


def test_versions_name_the_one_before_and_when_they_ended() -> None:
    first = graph_of(odrl_of(grant(), replace(WRITING, replaced_at=START + timedelta(days=9))))
    uid = URIRef(grant_urn("huitong.local/demo", "G-2026-000007", 1))
    assert first.value(uid, HT.state) == HT.replaced and first.value(uid, PROV.wasRevisionOf) is None
    ended = first.value(uid, PROV.invalidatedAtTime)
    assert isinstance(ended, Literal) and ended.toPython() == START + timedelta(days=9)
    second = graph_of(odrl_of(grant(version=2, state=GrantState.REVOKED), WRITING))
    later = URIRef(grant_urn("huitong.local/demo", "G-2026-000007", 2))
    assert second.value(later, PROV.wasRevisionOf) == uid
    assert second.value(later, HT.state) == HT.revoked and second.value(later, PROV.invalidatedAtTime) is not None


def test_equal_grants_give_equal_documents_and_one_graph() -> None:
    one, other = (odrl_of(grant(FULL), WRITING) for _ in range(2))
    assert json.dumps(one) == json.dumps(other)
    assert isomorphic(graph_of(one), graph_of(other))


def test_it_holds_no_identifier_of_a_person_and_no_free_words() -> None:
    text = json.dumps(odrl_of(grant(FULL, state=GrantState.REVOKED), WRITING), ensure_ascii=False)
    assert "Zhang" not in text, "what was written beside the revocation stays out"
    assert FULL.subjects is not None and FULL.subjects.digest in text and '"count": 41' in text
    assert text.count('"wen"') == 1, "who signed is named once, by account"


@pytest.mark.parametrize("instance", ["huitong.local/demo", "数据.贵州/一", "a b:c"])
def test_names_are_names_whatever_the_instance_is_called(instance: str) -> None:
    document = odrl_of(grant(), replace(WRITING, instance=instance))
    assert " " not in document["uid"] and document["uid"].isascii()
    assert terms_of_odrl(document) == PLAIN
    assert graph_of(document)
