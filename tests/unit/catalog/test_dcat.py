"""The catalogue as DCAT-AP 3: the European shapes accept it, other programs read the same from both forms, nothing hidden is in it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pyshacl import validate
from rdflib import RDF, Graph, Literal, URIRef
from rdflib.collection import Collection
from rdflib.compare import isomorphic
from rdflib.namespace import DCAT, DCTERMS, SH, SKOS, Namespace

from huitong.catalog.dcat import Document, Portal, catalogue_document, dataset_document, lists
from huitong.catalog.rdf import Node, To, Words, json_ld, turtle
from huitong.demo import datasets, offices
from huitong.model.catalog import Dataset, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.party import DivisionLevel, Office
from huitong.model.text import BilingualText

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning:rdflib")
"""rdflib's own JSON-LD reader still uses what rdflib itself calls old."""

SHAPES = Path(__file__).parents[2] / "fixtures" / "dcat" / "dcat_ap_shacl.jsonld"
ADMS = Namespace("http://www.w3.org/ns/adms#")
CSVW = Namespace("http://www.w3.org/ns/csvw#")
ODRL = Namespace("http://www.w3.org/ns/odrl/2/")
BY_ID = {office.id: office for office in offices()}


class Known:
    """The offices of the demo province."""

    @staticmethod
    def office(office_id: str) -> Office | None:
        return BY_ID.get(office_id)


PORTAL = Portal(
    base="https://data.example.org",
    title=BilingualText(zh="贵州省政务信息资源目录", en="Catalogue of government information resources of Guizhou"),
    description=BilingualText(zh="全省各部门的信息资源。", en="What the offices of the province hold."),
    publisher=BY_ID["gz-big-data"],
    spatial="520000000000",
)


@pytest.fixture(scope="module")
def shapes() -> Graph:
    """The shapes as SEMIC publishes them."""
    graph = Graph().parse(SHAPES, format="json-ld")
    assert len(graph) > 1_500
    return graph


def graph_of(document: Document, form: str = "turtle") -> Graph:
    text = document.turtle() if form == "turtle" else document.json_ld()
    return Graph().parse(data=text, format=form)


def complaints(graph: Graph, shapes: Graph) -> dict[str, str]:
    """Where the shapes find fault, with what: by predicate."""
    conforms, results, _ = validate(graph, shacl_graph=shapes, inference="none")
    found = {str(results.value(one, SH.resultPath)): str(results.value(one, SH.resultMessage)) for one in results.subjects(SH.resultPath)}
    assert conforms == (not found)
    return found


def entry(identifier: str) -> Dataset:
    return next(dataset for dataset in datasets() if dataset.id == identifier)


def whole(dataset: Dataset) -> Dataset:
    """The entry with everything that an entry can say."""
    first = replace(dataset.items[0], collector="gz-education", legal_basis="某法第三条", derived_from=("geo.division#name",))
    items = (first, *dataset.items[1:])
    return replace(
        dataset,
        items=items,
        legal_basis="某法第一条 \"引号\" \\ 换行\n",
        related=("1-01-0101/000001",),
        derived_from=("geo.division",),
        spatial="520100000000",
        openness=Openness.CONDITIONAL,
        openness_condition=BilingualText(zh="仅限研究", en="For research only"),
        licence="CC-BY-4.0 OR MulanPSL-2.0",
        primary_key=(dataset.items[0].name,),
    )


@pytest.mark.parametrize("form", ["turtle", "json-ld"])
@pytest.mark.parametrize("identifier", ["geo.division", "civil.minimum_allowance", "health.inpatient", "market.company"])
def test_the_shapes_of_dcat_ap_accept_an_entry(identifier: str, form: str, shapes: Graph) -> None:
    graph = graph_of(dataset_document(entry(identifier), portal=PORTAL, offices=Known()), form)
    assert complaints(graph, shapes) == {}


def test_the_shapes_accept_an_entry_that_says_everything(shapes: Graph) -> None:
    document = dataset_document(whole(entry("market.company")), portal=PORTAL, offices=Known())
    graph = graph_of(document)
    assert complaints(graph, shapes) == {}
    assert isomorphic(graph, graph_of(document, "json-ld")), "both forms say the same"


@pytest.mark.slow
def test_the_shapes_accept_the_whole_catalogue_of_the_province(shapes: Graph) -> None:
    document = catalogue_document(datasets, portal=PORTAL, offices=Known())
    graph = graph_of(document)
    assert complaints(graph, shapes) == {}
    assert isomorphic(graph, graph_of(document, "json-ld"))
    catalogue = URIRef(PORTAL.catalogue)
    assert len(set(graph.objects(catalogue, DCAT.dataset))) == len(datasets()) == len(set(graph.subjects(RDF.type, DCAT.Dataset)))


@pytest.mark.parametrize(
    ("subject", "predicate"),
    [
        ("datasets/civil.minimum_allowance", DCTERMS.title),
        ("datasets/civil.minimum_allowance", DCTERMS.description),
        ("catalog", DCTERMS.publisher),
        ("catalog#query", DCAT.endpointURL),
        ("datasets/civil.minimum_allowance#table", DCAT.accessURL),
    ],
)
def test_the_shapes_notice_what_is_missing(subject: str, predicate: URIRef, shapes: Graph) -> None:
    graph = graph_of(dataset_document(entry("civil.minimum_allowance"), portal=PORTAL, offices=Known()))
    subject = URIRef(f"{PORTAL.base}/{subject}")
    assert list(graph.objects(subject, predicate))
    graph.remove((subject, predicate, None))
    assert str(predicate) in complaints(graph, shapes)


def test_an_entry_says_in_dcat_what_it_says_here() -> None:
    dataset = whole(entry("market.company"))
    graph = graph_of(dataset_document(dataset, portal=PORTAL, offices=Known()))
    here = URIRef(PORTAL.dataset(dataset.id))
    assert set(graph.objects(here, DCTERMS.title)) == {Literal(dataset.title.zh, lang="zh-Hans"), Literal(dataset.title.en, lang="en")}
    (publisher,) = graph.objects(here, DCTERMS.publisher)
    assert graph.value(publisher, DCTERMS.identifier) == Literal(BY_ID[dataset.provider].credit_code)
    assert str(graph.value(here, DCTERMS.accessRights)).endswith("/RESTRICTED")
    assert str(graph.value(here, DCTERMS.accrualPeriodicity)).endswith("/DAILY")
    (code,) = graph.objects(here, ADMS.identifier)
    assert graph.value(code, SKOS.notation) == Literal(dataset.classification)
    schema = URIRef(PORTAL.dataset(dataset.id, "schema"))
    columns = [str(graph.value(column, CSVW.name)) for column in Collection(graph, graph.value(schema, CSVW.column))]
    assert columns == [item.name for item in dataset.items], "in their order"
    assert {str(name) for name in graph.objects(schema, CSVW.primaryKey)} == set(dataset.primary_key)
    legal = URIRef("http://data.europa.eu/eli/ontology#LegalResource")
    laws = {str(label) for law in graph.subjects(RDF.type, legal) for label in graph.objects(law)}
    assert dataset.legal_basis in laws, "quotes, backslashes and line ends come through"


def test_what_is_not_shared_offers_no_table_and_what_has_a_condition_names_the_duty() -> None:
    closed = graph_of(dataset_document(entry("health.inpatient"), portal=PORTAL, offices=Known()))
    assert not list(closed.subject_objects(DCAT.distribution)) and not list(closed.subjects(RDF.type, ODRL.Policy))
    conditional = graph_of(dataset_document(entry("civil.minimum_allowance"), portal=PORTAL, offices=Known()))
    assert list(conditional.objects(None, ODRL.duty))
    free = graph_of(dataset_document(entry("geo.division"), portal=PORTAL, offices=Known()))
    assert list(free.objects(None, ODRL.permission)) and not list(free.objects(None, ODRL.duty))


def test_every_value_of_our_lists_has_its_place_in_theirs() -> None:
    assert set(lists()["access_right"]) == {one.value for one in Openness}
    assert set(lists()["frequency"]) == {one.value for one in UpdateCycle}
    assert set(lists()["sharing"]) == {one.value for one in Sharing}
    assert set(lists()["publisher_type"]) == {one.value for one in DivisionLevel}
    assert set(lists()["datatype"]) == {one.value for one in ItemType}


@pytest.mark.parametrize("text", ['"', "\\", "\n\r\t", "\x00\x0b\x7f", "𠮷", "a\"@en . <x> <y> <z> .", "</script>", "\u2028"])
def test_no_text_breaks_out_of_its_quotes(text: str) -> None:
    node = Node("https://example.org/x", ("dct:Standard",), (("dct:title", Words(text, language="zh-Hans")),))
    for form, written in (("turtle", "".join(turtle([node]))), ("json-ld", "".join(json_ld([node])))):
        graph = Graph().parse(data=written, format=form)
        assert set(graph.objects(None, DCTERMS.title)) == {Literal(text, lang="zh-Hans")} and len(graph) == 2


def test_an_address_cannot_hold_what_would_end_it() -> None:
    with pytest.raises(ValueError, match="address"):
        To("https://example.org/> <x")
    with pytest.raises(ValueError, match="address"):
        "".join(turtle([Node("https://example.org/a b", ("dct:Standard",))]))


def test_the_same_catalogue_gives_the_same_text() -> None:
    document = catalogue_document(lambda: datasets()[:5], portal=PORTAL, offices=Known())
    assert document.turtle() == document.turtle() and document.json_ld() == document.json_ld()
    assert json.loads(document.json_ld())["@graph"]


STREAM = """
import resource, sys
from dataclasses import replace
from tests.unit.catalog.test_dcat import PORTAL, Known, entry
from huitong.catalog.dcat import catalogue_document
model = entry("civil.minimum_allowance")
def many():
    return (replace(model, id=f"civil.number_{number}") for number in range(int(sys.argv[1])))
document = catalogue_document(many, portal=PORTAL, offices=Known())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
written = sum(len(part) for part in document.turtle_parts())
print(written, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_large_catalogue_is_written_in_bounded_memory() -> None:
    done = subprocess.run([sys.executable, "-c", STREAM, "6000"], capture_output=True, text=True, check=True)
    written, grown_kilobytes = map(int, done.stdout.split())
    assert written > 50_000_000, "enough that holding it would show"
    assert grown_kilobytes < 10_000
