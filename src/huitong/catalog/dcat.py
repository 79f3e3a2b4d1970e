"""Entries and the catalogue as DCAT-AP 3, in Turtle and JSON-LD: what other catalogues harvest.

`dataset_document` is one entry, `catalogue_document` all entries that are given to it, one after the other in bounded memory.
What goes in is what a viewer may know (`CatalogActions.dataset`, `CatalogActions.every_dataset`): nothing is looked up here
that could tell more. Every text stands in Chinese and in English where the catalogue has both.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from huitong.catalog.rdf import InOrder, Node, To, Value, Words, json_ld, part, turtle
from huitong.model.catalog import Dataset, Item, Openness, Sharing, SharingManner, Snapshot
from huitong.model.party import Office
from huitong.model.text import BilingualText

SPDX_IDENTIFIER = re.compile(r"[A-Za-z0-9.+-]+")
Said = list[tuple[str, Value]]


class Offices(Protocol):
    """Where offices are found (`PartyStore`)."""

    def office(self, office_id: str) -> Office | None:
        """The office of that id."""
        ...


@dataclass(frozen=True, kw_only=True)
class Portal:
    """The instance that publishes the catalogue: where it is reached and who runs it. Addresses of all things begin with `base`."""

    base: str
    """Address of the portal as others reach it, without a slash at the end."""
    title: BilingualText
    description: BilingualText
    publisher: Office
    """The office that runs the platform."""
    spatial: str | None = None
    """Division (12 digits) whose offices the catalogue holds."""

    @property
    def catalogue(self) -> str:
        """Address of the catalogue."""
        return f"{self.base}/catalog"

    @property
    def service(self) -> str:
        """Address of the service through which grants are used."""
        return f"{self.base}/catalog#query"

    @property
    def families(self) -> str:
        """Address of the list of families of the national guide."""
        return f"{self.base}/catalog#families"

    def dataset(self, dataset_id: str, of: str = "") -> str:
        """Address of an entry, or of a part of it."""
        return f"{self.base}/datasets/{part(dataset_id)}" + (f"#{part(of)}" if of else "")

    def office(self, office_id: str) -> str:
        """Address of an office."""
        return f"{self.base}/offices/{part(office_id)}"

    def division(self, code: str) -> str:
        """Address of a division."""
        return f"{self.base}/divisions/{part(code)}"

    def meaning(self, meaning: str) -> str:
        """Address of a semantic type."""
        return f"{self.base}/catalog#meaning-{part(meaning)}"


@dataclass(frozen=True)
class Document:
    """A set of nodes that can be written as often as wanted, whole or piece by piece."""

    nodes: Callable[[], Iterable[Node]]

    def turtle(self) -> str:
        """As Turtle."""
        return "".join(self.turtle_parts())

    def json_ld(self) -> str:
        """As JSON-LD."""
        return "".join(self.json_ld_parts())

    def turtle_parts(self) -> Iterator[str]:
        """As Turtle, a node at a time."""
        return turtle(self.nodes())

    def json_ld_parts(self) -> Iterator[str]:
        """As JSON-LD, a node at a time."""
        return json_ld(self.nodes())


@cache
def lists() -> Mapping[str, Any]:
    """The controlled lists and how ours are put on them (`dcat.toml`, with its source)."""
    return tomllib.loads((files(__package__) / "dcat.toml").read_text("utf-8"))


def dataset_document(dataset: Dataset, *, portal: Portal, offices: Offices, snapshot: Snapshot | None = None) -> Document:
    """One entry with everything that it speaks of, as a document that stands alone."""

    def nodes() -> Iterator[Node]:
        shared = _Once()
        yield from shared.new(_portal_nodes(portal))
        yield from shared.new(_dataset_nodes(dataset, portal, offices, snapshot))

    return Document(nodes)


def catalogue_document(
    datasets: Callable[[], Iterable[Dataset]],
    *,
    portal: Portal,
    offices: Offices,
    snapshot_of: Callable[[str], Snapshot | None] = lambda _: None,
) -> Document:
    """The catalogue of these entries; `datasets` is called once for each time that it is written.

    Memory does not grow with the entries, but for the addresses of offices, divisions and other things they share."""

    def nodes() -> Iterator[Node]:
        shared = _Once()
        yield from shared.new(_portal_nodes(portal))
        for dataset in datasets():
            address = To(portal.dataset(dataset.id))
            yield Node(portal.catalogue, said=(("dcat:dataset", address),))
            yield from shared.new(_dataset_nodes(dataset, portal, offices, snapshot_of(dataset.id)))

    return Document(nodes)


class _Once:
    """Leaves out nodes that stand for what several entries share, once they were written. Parts of an entry are not remembered."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def new(self, nodes: Iterable[tuple[bool, Node]]) -> Iterator[Node]:
        for is_shared, node in nodes:
            if is_shared:
                if node.address in self._seen:
                    continue
                self._seen.add(node.address)
            yield node


def _both(predicate: str, text: BilingualText) -> Said:
    return [(predicate, Words(text.zh, language="zh-Hans")), (predicate, Words(text.en, language="en"))]


def _portal_nodes(portal: Portal) -> Iterator[tuple[bool, Node]]:
    """The catalogue, its service and its lists: what stands at the head of every document."""
    said: Said = [*_both("dct:title", portal.title), *_both("dct:description", portal.description)]
    said += [("dct:publisher", To(portal.office(portal.publisher.id))), ("foaf:homepage", To(portal.base + "/"))]
    said += [("dct:language", To(address)) for address in lists()["language"].values()]
    said += [("dcat:themeTaxonomy", To(portal.families)), ("dcat:themeTaxonomy", To(lists()["theme"]["scheme"]))]
    said.append(("dcat:service", To(portal.service)))
    if portal.spatial is not None:
        said.append(("dct:spatial", To(portal.division(portal.spatial))))
        yield True, _division(portal, portal.spatial)
    yield False, Node(portal.catalogue, ("dcat:Catalog",), tuple(said))
    yield True, Node(portal.base + "/", ("foaf:Document",))
    yield from _office_nodes(portal, portal.publisher)
    for address in lists()["language"].values():
        yield True, Node(address, ("dct:LinguisticSystem",))
    query = BilingualText(zh="受控查询服务", en="Governed query service")
    about = BilingualText(zh="凭共享授权查询；每次使用留有存证。", en="Queries under a grant; every use leaves a receipt.")
    endpoint = f"{portal.base}/api/v1/query"
    description = f"{portal.base}/api/v1/openapi.json"
    yield False, Node(
        portal.service,
        ("dcat:DataService",),
        (
            *_both("dct:title", query),
            *_both("dct:description", about),
            ("dcat:endpointURL", To(endpoint)),
            ("dcat:endpointDescription", To(description)),
            ("dct:publisher", To(portal.office(portal.publisher.id))),
            ("dct:accessRights", To(lists()["access_right"]["conditional"])),
        ),
    )
    yield True, Node(endpoint, ("rdfs:Resource",))
    yield True, Node(description, ("rdfs:Resource",))
    yield True, Node(lists()["access_right"]["conditional"], ("dct:RightsStatement",))
    families = BilingualText(zh="政务信息资源目录分类", en="Families of the catalogue of government information resources")
    yield True, Node(portal.families, ("skos:ConceptScheme",), tuple(_both("dct:title", families)))
    theme = lists()["theme"]
    yield True, Node(theme["scheme"], ("skos:ConceptScheme",), (("dct:title", Words("Data theme", language="en")),))
    said = [*_both("skos:prefLabel", BilingualText(zh=theme["zh"], en=theme["en"])), ("skos:inScheme", To(theme["scheme"]))]
    yield True, Node(theme["address"], ("skos:Concept",), tuple(said))


def _dataset_nodes(
    dataset: Dataset, portal: Portal, offices: Offices, snapshot: Snapshot | None
) -> Iterator[tuple[bool, Node]]:
    """The entry and all it speaks of; whether each is shared with other entries."""
    here = portal.dataset(dataset.id)
    said: Said = [*_both("dct:title", dataset.title), *_both("dct:description", dataset.abstract)]
    said += [("dct:identifier", Words(dataset.id)), ("adms:identifier", To(portal.dataset(dataset.id, "code")))]
    said.append(("dct:publisher", To(portal.office(dataset.provider))))
    if dataset.collector != dataset.provider:
        said.append(("dct:creator", To(portal.office(dataset.collector))))
    access = lists()["access_right"][dataset.openness.value]
    frequency = lists()["frequency"][dataset.update_cycle.value]
    said += [
        ("dcat:contactPoint", To(portal.dataset(dataset.id, "contact"))),
        ("dct:accessRights", To(access)),
        ("dcat:theme", To(lists()["theme"]["address"])),
        ("dcat:theme", To(f"{portal.families}-{dataset.classification[:1]}")),
        ("dct:accrualPeriodicity", To(frequency)),
        ("dct:language", To(lists()["language"]["zh"])),
        ("dct:provenance", To(portal.dataset(dataset.id, "provenance"))),
        ("dct:conformsTo", To(f"{portal.base}/catalog#guide")),
        ("dcat:landingPage", To(here + "/")),
        ("adms:sample", To(portal.dataset(dataset.id, "sample"))),
        ("dcatap:applicableLegislation", To(portal.dataset(dataset.id, "sharing-basis"))),
    ]
    if dataset.legal_basis is not None:
        said.append(("dcatap:applicableLegislation", To(portal.dataset(dataset.id, "legal-basis"))))
    if dataset.published_on is not None:
        said.append(("dct:issued", Words(dataset.published_on.isoformat(), type="xsd:date")))
    if snapshot is not None:
        said.append(("dct:modified", Words(snapshot.taken_at.isoformat(), type="xsd:dateTime")))
    if dataset.spatial is not None:
        said.append(("dct:spatial", To(portal.division(dataset.spatial))))
    said += [("prov:wasDerivedFrom", To(portal.dataset(source))) for source in dataset.derived_from]
    said += [("dct:relation", To(f"{portal.base}/catalog/codes/{part(code)}")) for code in dataset.related]
    meanings = dict.fromkeys(item.meaning for item in dataset.items if item.meaning)
    said += [("dcat:keyword", Words(meaning, language="en")) for meaning in meanings]
    if dataset.sharing is not Sharing.NOT_SHARED:
        said.append(("dcat:distribution", To(portal.dataset(dataset.id, "table"))))
    yield False, Node(here, ("dcat:Dataset",), tuple(said))

    code = (("skos:notation", Words(dataset.classification)), *_both("adms:schemaAgency", _guide()))
    yield False, Node(portal.dataset(dataset.id, "code"), ("adms:Identifier",), code)
    for name in dict.fromkeys((dataset.provider, dataset.collector, *(item.collector for item in dataset.items if item.collector))):
        if (office := offices.office(name)) is not None:
            yield from _office_nodes(portal, office)
    yield from _contact_nodes(dataset, portal, offices)
    yield True, Node(access, ("dct:RightsStatement",))
    yield True, Node(frequency, ("dct:Frequency",))
    yield from _family_nodes(dataset, portal)
    yield True, Node(f"{portal.base}/catalog#guide", ("dct:Standard",), tuple(_both("dct:title", _guide())))
    yield False, Node(portal.dataset(dataset.id, "provenance"), ("dct:ProvenanceStatement",), tuple(_provenance(dataset, offices)))
    yield False, Node(here + "/", ("foaf:Document", "rdfs:Resource"), tuple(_both("dct:title", dataset.title)))
    basis = portal.dataset(dataset.id, "sharing-basis")
    yield False, Node(basis, ("eli:LegalResource",), (("rdfs:label", Words(dataset.sharing_basis)),))
    if dataset.legal_basis is not None:
        basis = portal.dataset(dataset.id, "legal-basis")
        yield False, Node(basis, ("eli:LegalResource",), (("rdfs:label", Words(dataset.legal_basis)),))
    if dataset.spatial is not None:
        yield True, _division(portal, dataset.spatial)
    for source in dataset.derived_from:
        yield True, Node(portal.dataset(source), ("rdfs:Resource",))
    for related in dataset.related:
        yield True, Node(f"{portal.base}/catalog/codes/{part(related)}", ("rdfs:Resource",), (("dct:identifier", Words(related)),))
    yield from _sample_nodes(dataset, portal)
    if dataset.sharing is not Sharing.NOT_SHARED:
        yield from _table_nodes(dataset, portal, snapshot)
    yield from _schema_nodes(dataset, portal)


def _guide() -> BilingualText:
    return BilingualText(zh=lists()["guide"]["zh"], en=lists()["guide"]["en"])


def _division(portal: Portal, code: str) -> Node:
    return Node(portal.division(code), ("dct:Location",), (("dct:identifier", Words(code)),))


def _office_nodes(portal: Portal, office: Office) -> Iterator[tuple[bool, Node]]:
    address, name = lists()["publisher_type"][office.level.value]
    said = (*_both("foaf:name", office.title), ("dct:identifier", Words(office.credit_code)), ("dct:type", To(address)))
    yield True, Node(portal.office(office.id), ("foaf:Agent", "foaf:Organization"), said)
    yield True, Node(address, ("skos:Concept",), (("skos:prefLabel", Words(name, language="en")),))


def _contact_nodes(dataset: Dataset, portal: Portal, offices: Offices) -> Iterator[tuple[bool, Node]]:
    office = offices.office(dataset.provider)
    name = office.title if office is not None else BilingualText(zh=dataset.provider, en=dataset.provider)
    said = (*_both("vcard:fn", name), ("vcard:hasURL", To(portal.dataset(dataset.id) + "/")))
    yield False, Node(portal.dataset(dataset.id, "contact"), ("vcard:Kind", "vcard:Organization"), said)


def _family_nodes(dataset: Dataset, portal: Portal) -> Iterator[tuple[bool, Node]]:
    family = lists()["family"].get(dataset.classification[:1])
    label = BilingualText(zh=family[0], en=family[1]) if family else BilingualText(zh="其他", en="Other")
    said = (*_both("skos:prefLabel", label), ("skos:inScheme", To(portal.families)))
    yield True, Node(f"{portal.families}-{dataset.classification[:1]}", ("skos:Concept",), said)


def _provenance(dataset: Dataset, offices: Offices) -> Said:
    if dataset.source is not None:
        return [("rdfs:label", Words(dataset.source))]
    office = offices.office(dataset.collector)
    title = office.title if office is not None else BilingualText(zh=dataset.collector, en=dataset.collector)
    return _both("rdfs:label", BilingualText(zh=f"由{title.zh}采集", en=f"Collected by {title.en}"))


def _sample_nodes(dataset: Dataset, portal: Portal) -> Iterator[tuple[bool, Node]]:
    title = BilingualText(zh="合成样例（不含任何真实数据）", en="Synthetic sample (holds no real data)")
    address = f"{portal.base}/api/v1/datasets/{part(dataset.id)}/sample"
    said = (*_both("dct:title", title), ("dcat:accessURL", To(address)))
    yield False, Node(portal.dataset(dataset.id, "sample"), ("dcat:Distribution",), said)
    yield False, Node(address, ("rdfs:Resource",))


def _table_nodes(dataset: Dataset, portal: Portal, snapshot: Snapshot | None) -> Iterator[tuple[bool, Node]]:
    """The table as it may be had through the platform, on which conditions, under which licence."""
    table, here = portal.dataset(dataset.id, "table"), portal.dataset(dataset.id)
    said: Said = [*_both("dct:title", dataset.title), ("dcat:accessURL", To(here + "/"))]
    said += [("dct:conformsTo", To(portal.dataset(dataset.id, "schema"))), ("dct:rights", To(portal.dataset(dataset.id, "rights")))]
    said.append(("odrl:hasPolicy", To(portal.dataset(dataset.id, "offer"))))
    if dataset.sharing_manner is not SharingManner.FILE:
        said.append(("dcat:accessService", To(portal.service)))
    if snapshot is not None:
        said.append(("dct:modified", Words(snapshot.taken_at.isoformat(), type="xsd:dateTime")))
    if dataset.licence is not None:
        licence = _licence(dataset, portal)
        said.append(("dct:license", To(licence.address)))
        yield True, licence
    yield False, Node(table, ("dcat:Distribution",), tuple(said))
    if dataset.sharing_manner is not SharingManner.FILE:
        yield False, Node(portal.service, said=(("dcat:servesDataset", To(here)),))
    words = lists()["sharing"][dataset.sharing.value]
    condition = dataset.sharing_condition
    zh, en = words[0] + (f"：{condition.zh}" if condition else ""), words[1] + (f": {condition.en}" if condition else "")
    rights: Said = _both("rdfs:label", BilingualText(zh=zh, en=en))
    if dataset.openness is Openness.CONDITIONAL and dataset.openness_condition is not None:
        rights += _both("rdfs:comment", dataset.openness_condition)
    yield False, Node(portal.dataset(dataset.id, "rights"), ("dct:RightsStatement",), tuple(rights))
    offer, permission = portal.dataset(dataset.id, "offer"), portal.dataset(dataset.id, "permission")
    yield False, Node(
        offer,
        ("odrl:Policy", "odrl:Offer"),
        (("odrl:uid", To(offer)), ("odrl:assigner", To(portal.office(dataset.provider))), ("odrl:permission", To(permission))),
    )
    allowed: Said = [("odrl:target", To(here)), ("odrl:action", To("http://www.w3.org/ns/odrl/2/use"))]
    if dataset.sharing is Sharing.CONDITIONAL:
        duty = portal.dataset(dataset.id, "duty")
        allowed.append(("odrl:duty", To(duty)))
        consent = (
            ("odrl:action", To("http://www.w3.org/ns/odrl/2/obtainConsent")),
            ("odrl:consentingParty", To(portal.office(dataset.provider))),
        )
        yield False, Node(duty, ("odrl:Duty",), consent)
    yield False, Node(permission, ("odrl:Permission",), tuple(allowed))


def _licence(dataset: Dataset, portal: Portal) -> Node:
    """The licence at its SPDX address, or an expression of several as a document of the entry."""
    licence = dataset.licence or ""
    single = SPDX_IDENTIFIER.fullmatch(licence) is not None
    address = f"https://spdx.org/licenses/{part(licence)}" if single else portal.dataset(dataset.id, "licence")
    return Node(address, ("dct:LicenseDocument",), (("dct:identifier", Words(licence)),))


def _schema_nodes(dataset: Dataset, portal: Portal) -> Iterator[tuple[bool, Node]]:
    """The items as columns of CSV on the Web, in their order."""
    columns = tuple(To(portal.dataset(dataset.id, f"item-{item.name}")) for item in dataset.items)
    said: Said = [*_both("dct:title", dataset.title), ("csvw:column", InOrder(columns))]
    said += [("csvw:primaryKey", Words(name)) for name in dataset.primary_key]
    yield False, Node(portal.dataset(dataset.id, "schema"), ("dct:Standard", "csvw:Schema"), tuple(said))
    for item, column in zip(dataset.items, columns, strict=True):
        yield False, Node(column.address, ("csvw:Column",), tuple(_column(dataset, item, portal)))


def _column(dataset: Dataset, item: Item, portal: Portal) -> Said:
    said: Said = [("csvw:name", Words(item.name)), *_both("csvw:title", item.title)]
    said += _both("dct:title", item.title)
    said.append(("csvw:datatype", Words(lists()["datatype"][item.type.value])))
    if item.name in dataset.primary_key:
        said.append(("csvw:required", Words("true", type="xsd:boolean")))
    if item.meaning is not None:
        said.append(("csvw:propertyUrl", To(portal.meaning(item.meaning))))
    if item.collector is not None:
        said.append(("dct:creator", To(portal.office(item.collector))))
    if item.legal_basis is not None:
        said.append(("dct:description", Words(item.legal_basis)))
    for source in item.derived_from:
        name, _, made_of = source.partition("#")
        said.append(("prov:wasDerivedFrom", To(portal.dataset(name, f"item-{made_of}"))))
    return said
