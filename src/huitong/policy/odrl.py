"""A grant as an ODRL 2.2 Agreement in JSON-LD, and back: the form in which other systems read what was agreed.

The document stands alone: its context is in it, and nothing needs to be fetched. It is written in the profile of `odrl.toml`, whose
own words are explained in the document itself. Reading is strict: a document that holds anything which this profile does not know, or
which does not follow from the terms it states, is refused; no constraint is ever passed over. Of subjects it holds a digest and a
count, never an identifier; what people wrote in free words beside a grant stays out of it."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from huitong.errors import InputInvalid
from huitong.model.catalog import Dataset
from huitong.model.party import Office
from huitong.model.policy import (
    MILLION,
    Comparator,
    Comparison,
    DivisionRows,
    Grant,
    GrantState,
    ItemTerm,
    Mask,
    MaskKind,
    Mode,
    NoisedTerms,
    Purpose,
    Quota,
    QuotaPeriod,
    SubjectRows,
    Terms,
    ValueBounds,
    epsilon_text,
)
from huitong.model.text import BilingualText

JSON = dict[str, Any]
PROFILE = "urn:huitong:odrl-profile:1"
HASH_DIGITS = 64
_LINK = {"@type": "@id"}


def _link(name: str) -> JSON:
    return {"@id": name, **_LINK}


CONTEXT: Mapping[str, Any] = {
    "@version": 1.1,
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "ht": f"{PROFILE}#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "prov": "http://www.w3.org/ns/prov#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "uid": "@id",
    "type": "@type",
    # ODRL
    "profile": _link("odrl:profile"),
    "conflict": _link("odrl:conflict"),
    "assigner": _link("odrl:assigner"),
    "assignee": _link("odrl:assignee"),
    "permission": _link("odrl:permission"),
    "prohibition": _link("odrl:prohibition"),
    "obligation": _link("odrl:obligation"),
    "duty": _link("odrl:duty"),
    "target": _link("odrl:target"),
    "source": _link("odrl:source"),
    "action": _link("odrl:action"),
    "includedIn": _link("odrl:includedIn"),
    "value": _link("rdf:value"),
    "constraint": _link("odrl:constraint"),
    "refinement": _link("odrl:refinement"),
    "leftOperand": _link("odrl:leftOperand"),
    "operator": _link("odrl:operator"),
    "rightOperand": {"@id": "odrl:rightOperand"},
    "unit": _link("odrl:unit"),
    # parties, dataset, versions
    "identifier": {"@id": "dct:identifier"},
    "title": {"@id": "dct:title", "@container": "@language"},
    "name": {"@id": "foaf:name", "@container": "@language"},
    "label": {"@id": "skos:prefLabel", "@container": "@language"},
    "definition": {"@id": "skos:definition", "@container": "@language"},
    "words": {"@id": "dct:description", "@container": "@language"},
    "because": {"@id": "ht:because", "@container": "@language"},
    "issued": {"@id": "dct:issued", "@type": "xsd:dateTime"},
    "revisionOf": _link("prov:wasRevisionOf"),
    "derivedFrom": _link("prov:wasDerivedFrom"),
    "invalidatedAt": {"@id": "prov:invalidatedAtTime", "@type": "xsd:dateTime"},
    # own words
    "version": {"@id": "ht:version", "@type": "xsd:integer"},
    "termsHash": {"@id": "ht:termsHash", "@type": "xsd:hexBinary"},
    "signedBy": {"@id": "ht:signedBy"},
    "request": {"@id": "ht:request"},
    "state": _link("ht:state"),
    "creditCode": {"@id": "ht:creditCode"},
    "legalBasis": {"@id": "ht:legalBasis"},
    "sharingBasis": {"@id": "ht:sharingBasis"},
    "mask": {"@id": "ht:mask"},
    "maskKind": _link("ht:maskKind"),
    "parameter": {"@id": "ht:parameter"},
    "parameterName": {"@id": "ht:parameterName"},
    "parameterValue": {"@id": "ht:parameterValue"},
    "itemName": {"@id": "ht:itemName"},
    "ofItem": {"@id": "ht:ofItem"},
    "per": _link("ht:per"),
    "digest": {"@id": "ht:digest"},
    "count": {"@id": "ht:count", "@type": "xsd:integer"},
    "vocabulary": {"@id": "ht:vocabulary", **_LINK},
}
"""The terms of the document, mapped to the real addresses of ODRL, DCAT, Dublin Core, PROV, SKOS, FOAF, and to those of the profile."""

_OPERATORS: Mapping[Comparator, str] = {
    Comparator.IN: "odrl:isAnyOf",
    Comparator.NOT_IN: "odrl:isNoneOf",
    Comparator.AT_LEAST: "odrl:gteq",
    Comparator.MORE_THAN: "odrl:gt",
    Comparator.AT_MOST: "odrl:lteq",
    Comparator.LESS_THAN: "odrl:lt",
}
_UNITS = {"rows": "ht:row", "queries": "ht:query", "calls": "ht:call"}
_SETS = frozenset({"constraint", "refinement", "prohibition", "obligation", "duty"})
"""Members whose order says nothing."""
_INFORMATIVE = frozenset(
    {"issued", "revisionOf", "derivedFrom", "invalidatedAt", "state", "request", "sharingBasis", "title", "vocabulary"}
)
"""Members that tell of the agreement without being part of the terms."""
_BINDING = frozenset(
    {
        "@context", "uid", "type", "profile", "conflict", "identifier", "version", "termsHash", "signedBy", "assigner", "assignee",
        "permission", "prohibition", "obligation",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """What an ODRL document says, read back: terms and parties, and the hash that it states for them (not checked here)."""

    grant: str
    version: int
    dataset: str
    provider: str
    using_office: str
    signed_by: str
    terms: Terms
    terms_hash: str


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What is written beside the grant itself."""

    instance: str
    """Name of the instance, the origin of its ledger."""
    dataset: Dataset
    dataset_address: str
    """Address of the entry in the catalogue, as DCAT names it."""
    provider: Office
    using_office: Office
    purpose: BilingualText | None = None
    """The words of the purpose, if the list has them."""
    replaced_at: datetime | None = None
    """When the next version took the place of this one."""


@cache
def profile() -> Mapping[str, Any]:
    """The own words of the profile and the rules of every agreement (`odrl.toml`, with its sources)."""
    return tomllib.loads((files(__package__) / "odrl.toml").read_text("utf-8"))


def grant_urn(instance: str, grant: str, version: int) -> str:
    """The name of one version of a grant, the same for ever."""
    return f"{_urn(instance)}:grant:{_part(grant)}:{version}"


def odrl_of(grant: Grant, writing: Writing) -> JSON:
    """The agreement as JSON-LD. Equal grants give equal documents."""
    uid = grant_urn(writing.instance, grant.id, grant.version)
    said: JSON = {
        "@context": _plain(CONTEXT),
        "uid": uid,
        "type": "odrl:Agreement",
        "profile": PROFILE,
        "conflict": "odrl:prohibit",
        "identifier": grant.id,
        "version": grant.version,
        "termsHash": grant.terms_hash,
        "signedBy": grant.signed_by,
        "issued": _instant(grant.granted_at),
        "request": grant.request,
        "state": _state(grant, writing),
        "title": _words(writing.dataset.title),
        "sharingBasis": writing.dataset.sharing_basis,
        "assigner": _party(writing.provider, writing.instance),
        "assignee": _party(writing.using_office, writing.instance),
        **_rules(_Frame(uid, writing.instance, writing.dataset_address, grant.dataset, writing.purpose), grant.terms),
        "vocabulary": _vocabulary(),
    }
    if grant.version > 1:
        said["revisionOf"] = grant_urn(writing.instance, grant.id, grant.version - 1)
    if grant.moved_from is not None:
        said["derivedFrom"] = f"{_urn(writing.instance)}:grant:{_part(grant.moved_from)}"
    ended = grant.revoked_at if writing.replaced_at is None else writing.replaced_at
    if ended is not None:
        said["invalidatedAt"] = _instant(ended)
    return said


def terms_of_odrl(document: Mapping[str, Any]) -> Terms:
    """The terms that the document states. Raises as `agreement_of_odrl` does."""
    return agreement_of_odrl(document).terms


def agreement_of_odrl(document: Mapping[str, Any]) -> Agreement:
    """Terms and parties of a document of this profile.

    Raises InputInvalid `odrl-not-understood` with the place of the first thing that is not known, is missing, or does not follow from
    the terms; and what `Terms` says of terms that cannot be."""
    if not isinstance(document, Mapping):
        _refuse("$")
    if _canonical(document.get("@context")) != _canonical(_plain(CONTEXT)):
        _refuse("@context")
    for name in document:
        if name not in _BINDING | _INFORMATIVE:
            _refuse(str(name))
    try:
        agreement, frame = _read(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration, OverflowError):
        _refuse("permission")
    expected = {
        "uid": frame.uid,
        "type": "odrl:Agreement",
        "profile": PROFILE,
        "conflict": "odrl:prohibit",
        "identifier": agreement.grant,
        "version": agreement.version,
        **_rules(frame, agreement.terms),
    }
    for name, wanted in expected.items():
        _same(document.get(name), wanted, name)
    return agreement


# --- writing ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """What the rules name beside the terms."""

    uid: str
    instance: str
    dataset_address: str
    dataset: str
    purpose: BilingualText | None

    def of(self, name: str) -> str:
        return f"{self.uid}#{name}"


def _rules(frame: _Frame, terms: Terms) -> JSON:
    """Permission, prohibitions and obligations: all that binds, and nothing else."""
    target = {
        "uid": frame.of("rows"),
        "type": "odrl:AssetCollection",
        "source": {"uid": frame.dataset_address, "type": ["odrl:Asset", "dcat:Dataset"], "identifier": frame.dataset},
        "refinement": [*_refinements(frame, terms)],
    }
    purpose = _purpose(frame, terms.purpose)
    return {
        "permission": {
            "uid": frame.of("permission"),
            "type": "odrl:Permission",
            "target": target,
            "action": _action(frame, terms),
            "constraint": [*_constraints(frame, terms, purpose)],
            "duty": [_rule(frame, "record", "odrl:Duty", action="ht:record")],
        },
        "prohibition": [
            _rule(
                frame,
                "other-purpose",
                "odrl:Prohibition",
                action="odrl:use",
                target=frame.dataset_address,
                constraint=[_constraint(frame.of("other-purpose-is"), "odrl:purpose", "odrl:neq", purpose)],
            ),
            _rule(frame, "third-parties", "odrl:Prohibition", action="odrl:distribute", target=frame.dataset_address),
            _rule(frame, "reidentify", "odrl:Prohibition", action="ht:reidentify", target=frame.dataset_address),
        ],
        "obligation": [
            _rule(
                frame,
                "delete",
                "odrl:Duty",
                action="odrl:delete",
                target=frame.of("rows"),
                constraint=[_constraint(frame.of("after-the-end"), "odrl:dateTime", "odrl:gteq", _typed(terms.valid_until))],
            )
        ],
    }


def _rule(frame: _Frame, name: str, kind: str, *, action: str, **more: Any) -> JSON:
    """A rule of every agreement, with its words and where it comes from."""
    told = profile()["rule"][name]
    words = {"zh-Hans": told["zh"], "en": told["en"]}
    because = {"zh-Hans": told["source_zh"], "en": told["source_en"]}
    return {"uid": frame.of(name), "type": kind, "action": action, **more, "words": words, "because": because}


def _action(frame: _Frame, terms: Terms) -> JSON:
    action: JSON = {"uid": frame.of("action"), "type": "odrl:Action"}
    if terms.mode is Mode.ROWS:
        return {**action, "value": "odrl:read"}
    if terms.noised is not None:
        return {**action, "value": "ht:noisedTotals", "refinement": [*_noise(frame, terms.noised)]}
    least = _constraint(frame.of("least-group"), "ht:leastGroup", "odrl:gteq", terms.k)
    return {**action, "value": "odrl:aggregate", "refinement": [least]}


def _noise(frame: _Frame, noised: NoisedTerms) -> Iterator[JSON]:
    """How much may be told of one entity, and what bounds its part."""
    yield _constraint(frame.of("epsilon"), "ht:epsilon", "odrl:lteq", epsilon_text(noised.epsilon))
    yield _constraint(frame.of("epsilon-together"), "ht:epsilonTogether", "odrl:lteq", epsilon_text(noised.together))
    yield _constraint(frame.of("rows-per-entity"), "ht:rowsPerEntity", "odrl:lteq", noised.rows_per_entity)
    for number, one in enumerate(noised.bounds, start=1):
        yield _constraint(frame.of(f"counted-from-{number}"), "ht:countedFrom", "odrl:gteq", one.lower, ofItem=one.item)
        yield _constraint(frame.of(f"counted-to-{number}"), "ht:countedTo", "odrl:lteq", one.upper, ofItem=one.item)


def _refinements(frame: _Frame, terms: Terms) -> Iterator[JSON]:
    """Which part of the dataset it is about: items, each with its mask, and rows."""
    items = {"@list": [_granted_item(frame, number, term) for number, term in enumerate(terms.items, start=1)]}
    yield _constraint(frame.of("items"), "ht:item", "odrl:isAnyOf", items)
    if terms.rows is not None:
        division = {"uid": f"urn:huitong:division:{terms.rows.division}", "identifier": terms.rows.division}
        yield _constraint(frame.of("division"), "odrl:spatial", "odrl:isPartOf", division, ofItem=terms.rows.item)
    for number, one in enumerate(terms.condition, start=1):
        uid = frame.of(f"condition-{number}")
        if one.comparator in (Comparator.KNOWN, Comparator.MISSING):
            yield _constraint(uid, "ht:isKnown", "odrl:eq", one.comparator is Comparator.KNOWN, ofItem=one.item)
        elif one.comparator in (Comparator.IN, Comparator.NOT_IN):
            yield _constraint(uid, "ht:valueOf", _OPERATORS[one.comparator], {"@list": list(one.values)}, ofItem=one.item)
        else:
            yield _constraint(uid, "ht:valueOf", _OPERATORS[one.comparator], one.values[0], ofItem=one.item)
    if terms.salt is not None:
        yield _constraint(frame.of("condition-salt"), "ht:conditionSalt", "odrl:eq", terms.salt)
    if terms.subjects is not None:
        listed = {
            "uid": frame.of("subject-list"),
            "identifier": terms.subjects.subjects,
            "digest": terms.subjects.digest,
            "count": terms.subjects.count,
        }
        yield _constraint(frame.of("subjects"), "ht:subject", "odrl:isAnyOf", listed, ofItem=terms.subjects.item)


def _granted_item(frame: _Frame, number: int, term: ItemTerm) -> JSON:
    mask: JSON = {"maskKind": f"ht:{term.mask.kind.value}"}
    if term.mask.parameters:
        mask["parameter"] = [
            {"parameterName": name, "parameterValue": value} for name, value in sorted(term.mask.parameters.items())
        ]
    return {"uid": frame.of(f"item-{number}"), "itemName": term.item, "mask": mask}


def _purpose(frame: _Frame, purpose: Purpose) -> JSON:
    said: JSON = {"uid": f"{_urn(frame.instance)}:purpose:{_part(purpose.code)}", "identifier": purpose.code}
    if frame.purpose is not None:
        said["label"] = _words(frame.purpose)
    return said


def _constraints(frame: _Frame, terms: Terms, purpose: JSON) -> Iterator[JSON]:
    yield _constraint(frame.of("purpose"), "odrl:purpose", "odrl:eq", purpose, legalBasis=terms.purpose.legal_basis)
    yield _constraint(frame.of("from"), "odrl:dateTime", "odrl:gteq", _typed(terms.valid_from))
    yield _constraint(frame.of("until"), "odrl:dateTime", "odrl:lt", _typed(terms.valid_until))
    yield _constraint(frame.of("linkage"), "ht:linkageGroup", "odrl:eq", terms.linkage_group)
    if terms.quota is not None:
        for name, unit in _UNITS.items():
            limit = getattr(terms.quota, name)
            if limit is not None:
                period = f"ht:{terms.quota.period.value}"
                yield _constraint(frame.of(f"quota-{name}"), "odrl:count", "odrl:lteq", limit, unit=unit, per=period)


def _constraint(uid: str, left: str, operator: str, right: Any, **more: Any) -> JSON:
    return {"uid": uid, "type": "odrl:Constraint", "leftOperand": left, "operator": operator, "rightOperand": right, **more}


def _party(office: Office, instance: str) -> JSON:
    return {
        "uid": f"{_urn(instance)}:office:{_part(office.id)}",
        "type": ["odrl:Party", "foaf:Organization"],
        "identifier": office.id,
        "creditCode": office.credit_code,
        "name": _words(office.title),
    }


def _state(grant: Grant, writing: Writing) -> str:
    if writing.replaced_at is not None:
        return "ht:replaced"
    return f"ht:{grant.state.value}"


STATES = frozenset({"ht:replaced", *(f"ht:{state.value}" for state in GrantState)})


def _vocabulary() -> list[JSON]:
    """The own words of the profile, explained: who reads the document needs no other."""
    found = []
    for name, told in profile()["term"].items():
        kind = "skos:Concept" if told["class"] == "Concept" else f"odrl:{told['class']}"
        term: JSON = {
            "uid": f"ht:{name}",
            "type": kind,
            "label": {"zh-Hans": told["zh"], "en": told["en"]},
            "definition": {"zh-Hans": told["meaning_zh"], "en": told["meaning_en"]},
        }
        if "included_in" in told:
            term["includedIn"] = f"odrl:{told['included_in']}"
        found.append(term)
    return found


def _words(text: BilingualText) -> JSON:
    return {"zh-Hans": text.zh, "en": text.en}


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _typed(instant: datetime) -> JSON:
    return {"@value": _instant(instant), "@type": "xsd:dateTime"}


def _urn(instance: str) -> str:
    return f"urn:huitong:{quote(instance, safe='/.-')}"


def _part(text: str) -> str:
    return quote(text, safe="")


# --- reading ------------------------------------------------------------------------------------------------------------


def _read(document: Mapping[str, Any]) -> tuple[Agreement, _Frame]:
    """What the document says, taken from where this profile says it; whether it says nothing else is checked by the caller."""
    permission = _only(document, "permission", {"uid", "type", "target", "action", "constraint", "duty"})
    target = _only(permission, "target", {"uid", "type", "source", "refinement"})
    source = _only(target, "source", {"uid", "type", "identifier"})
    parties = [
        _only(document, side, {"uid", "type", "identifier", "creditCode", "name"}) for side in ("assigner", "assignee")
    ]
    constraints, refinements = _by_operand(permission["constraint"]), _by_operand(target["refinement"])
    purpose = _one(constraints, "odrl:purpose")
    legal_basis, right = purpose["legalBasis"], purpose["rightOperand"]
    instants = {one["operator"]: _read_instant(one["rightOperand"]) for one in constraints["odrl:dateTime"]}
    action = permission["action"]
    mode = {"odrl:read": Mode.ROWS, "odrl:aggregate": Mode.AGGREGATE_ONLY, "ht:noisedTotals": Mode.NOISED}[action["value"]]
    terms = Terms(
        purpose=Purpose(_text(right["identifier"]), _text(legal_basis)),
        items=tuple(_read_item(one) for one in _one(refinements, "ht:item")["rightOperand"]["@list"]),
        rows=_read_rows(refinements),
        mode=mode,
        linkage_group=_text(_one(constraints, "ht:linkageGroup")["rightOperand"]),
        valid_from=instants["odrl:gteq"],
        valid_until=instants["odrl:lt"],
        condition=tuple(_read_condition(target["refinement"])),
        subjects=_read_subjects(refinements),
        k=_number(_one(_by_operand(action["refinement"]), "ht:leastGroup")["rightOperand"]) if mode is Mode.AGGREGATE_ONLY else None,
        quota=_read_quota(constraints.get("odrl:count", [])),
        noised=_read_noise(_by_operand(action["refinement"])) if mode is Mode.NOISED else None,
        salt=_text(_one(refinements, "ht:conditionSalt")["rightOperand"]) if "ht:conditionSalt" in refinements else None,
    )
    uid, grant, version = _text(document["uid"]), _text(document["identifier"]), _number(document["version"])
    ending = f":grant:{_part(grant)}:{version}"
    if not uid.startswith("urn:huitong:") or not uid.endswith(ending):
        _refuse("uid")
    # The name of the instance stands in the document's name and nowhere else; written again it must give the same.
    instance = unquote(uid[len("urn:huitong:") : -len(ending)])
    for side, party in zip(("assigner", "assignee"), parties, strict=True):
        office = _text(party["identifier"])
        _same(party["uid"], f"{_urn(instance)}:office:{_part(office)}", f"{side}.uid")
        _same(party["type"], ["odrl:Party", "foaf:Organization"], f"{side}.type")
        _text(party["creditCode"])
        _bilingual(party["name"])
    terms_hash = _text(document["termsHash"])
    if len(terms_hash) != HASH_DIGITS or set(terms_hash) - set("0123456789abcdef"):
        _refuse("termsHash")
    if "state" in document and document["state"] not in STATES:
        _refuse("state")
    if "vocabulary" in document:
        _same(document["vocabulary"], _vocabulary(), "vocabulary")
    for name in ("issued", "invalidatedAt"):
        if name in document:
            datetime.fromisoformat(_text(document[name]))
    for name in ("revisionOf", "derivedFrom", "request", "sharingBasis"):
        if name in document:
            _text(document[name])
    if "title" in document:
        _bilingual(document["title"])
    agreement = Agreement(
        grant=grant,
        version=version,
        dataset=_text(source["identifier"]),
        provider=parties[0]["identifier"],
        using_office=parties[1]["identifier"],
        signed_by=_text(document["signedBy"]),
        terms=terms,
        terms_hash=terms_hash,
    )
    label = _bilingual(right["label"]) if "label" in right else None
    return agreement, _Frame(uid, instance, _text(source["uid"]), agreement.dataset, label)


def _only(holder: Mapping[str, Any], name: str, known: set[str]) -> Mapping[str, Any]:
    found = holder[name]
    if not isinstance(found, Mapping):
        _refuse(name)
    for one in found:
        if one not in known:
            _refuse(f"{name}.{one}")
    return found


def _by_operand(constraints: Any) -> dict[str, list[Mapping[str, Any]]]:
    if not isinstance(constraints, list):
        raise TypeError
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in constraints:
        found.setdefault(_text(one["leftOperand"]), []).append(one)
    return found


def _one(constraints: Mapping[str, Sequence[Mapping[str, Any]]], operand: str) -> Mapping[str, Any]:
    (found,) = constraints[operand]
    return found


def _read_item(written: Mapping[str, Any]) -> ItemTerm:
    mask = written["mask"]
    parameters = {_text(one["parameterName"]): one["parameterValue"] for one in mask.get("parameter", [])}
    if not all(type(value) in (int, str) for value in parameters.values()):
        raise TypeError
    return ItemTerm(_text(written["itemName"]), Mask(MaskKind(_own(mask["maskKind"])), parameters))


def _read_rows(refinements: Mapping[str, Sequence[Mapping[str, Any]]]) -> DivisionRows | None:
    if "odrl:spatial" not in refinements:
        return None
    found = _one(refinements, "odrl:spatial")
    return DivisionRows(_text(found["ofItem"]), _text(found["rightOperand"]["identifier"]))


def _read_condition(refinements: Iterable[Mapping[str, Any]]) -> Iterator[Comparison]:
    comparators = {operator: comparator for comparator, operator in _OPERATORS.items()}
    numbered = [one for one in refinements if one["leftOperand"] in ("ht:valueOf", "ht:isKnown")]
    for one in sorted(numbered, key=lambda one: int(one["uid"].rpartition("#condition-")[2])):
        right = one["rightOperand"]
        if one["leftOperand"] == "ht:isKnown":
            if not isinstance(right, bool):
                raise TypeError
            yield Comparison(_text(one["ofItem"]), Comparator.KNOWN if right else Comparator.MISSING)
        else:
            values = right["@list"] if isinstance(right, Mapping) else [right]
            yield Comparison(_text(one["ofItem"]), comparators[one["operator"]], tuple(_text(value) for value in values))


def _read_subjects(refinements: Mapping[str, Sequence[Mapping[str, Any]]]) -> SubjectRows | None:
    if "ht:subject" not in refinements:
        return None
    found = _one(refinements, "ht:subject")
    right = found["rightOperand"]
    return SubjectRows(_text(found["ofItem"]), _text(right["identifier"]), _text(right["digest"]), _number(right["count"]))


def _read_quota(written: Iterable[Mapping[str, Any]]) -> Quota | None:
    names = {unit: name for name, unit in _UNITS.items()}
    limits = {names[one["unit"]]: (_number(one["rightOperand"]), _own(one["per"])) for one in written}
    if not limits:
        return None
    (period,) = {period for _, period in limits.values()}
    return Quota(QuotaPeriod(period), **{name: limit for name, (limit, _) in limits.items()})


def _read_noise(written: Mapping[str, Sequence[Mapping[str, Any]]]) -> NoisedTerms:
    bounds = zip(written.get("ht:countedFrom", ()), written.get("ht:countedTo", ()), strict=True)
    epsilon, together = (_millionths(_one(written, name)["rightOperand"]) for name in ("ht:epsilon", "ht:epsilonTogether"))
    return NoisedTerms(
        epsilon,
        together,
        _number(_one(written, "ht:rowsPerEntity")["rightOperand"]),
        tuple(ValueBounds(_text(low["ofItem"]), _text(low["rightOperand"]), _text(high["rightOperand"])) for low, high in bounds),
    )


def _millionths(written: Any) -> int:
    text = _text(written)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text) is None:
        raise ValueError
    return int(Decimal(text) * MILLION)


def _read_instant(written: Any) -> datetime:
    return datetime.fromisoformat(_text(written["@value"]))


def _own(written: Any) -> str:
    prefix, _, name = _text(written).partition(":")
    if prefix != "ht":
        raise ValueError
    return name


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _bilingual(value: Any) -> BilingualText:
    if not isinstance(value, Mapping) or set(value) != {"zh-Hans", "en"}:
        raise TypeError
    return BilingualText(zh=_text(value["zh-Hans"]), en=_text(value["en"]))


def _same(found: Any, wanted: Any, where: str) -> None:
    """Refuse at the first place where the two differ. In sets of rules and constraints the order says nothing."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            _refuse(where)
        for name in [*wanted, *(name for name in found if name not in wanted)]:
            if name not in wanted or name not in found:
                _refuse(f"{where}.{name}")
            _same(found[name], wanted[name], f"{where}.{name}")
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            _refuse(where)
        if where.rpartition(".")[2] in _SETS:
            found = _in_order(found, [one["uid"] for one in wanted], where)
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            _same(one, other, f"{where}.{number}")
    elif type(found) is not type(wanted) or found != wanted:
        _refuse(where)


def _in_order(found: Sequence[Any], names: Sequence[str], where: str) -> list[Any]:
    by_name = {one["uid"]: one for one in found if isinstance(one, Mapping) and isinstance(one.get("uid"), str)}
    if set(by_name) != set(names):
        _refuse(where)
    return [by_name[name] for name in names]


def _refuse(where: str) -> NoReturn:
    raise InputInvalid.because("odrl-not-understood", where=where[:200])


def _plain(value: Any) -> Any:
    """Mappings as new dictionaries: who changes a document changes nothing of ours."""
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, Mapping) else value


def _canonical(value: Any) -> str | None:
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        return None
