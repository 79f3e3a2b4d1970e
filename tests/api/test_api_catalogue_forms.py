"""Finding by facets, what a hidden dataset shows, and the catalogue in the forms of others."""

import csv
import io
import json
import warnings
from dataclasses import replace
from typing import Any

import pytest
from rdflib import Graph
from tests.api.conftest import GUIZHOU, HEZHANG, OFFICER, Instance, dataset

from huitong.model.catalog import Sharing, Visibility


@pytest.fixture
def hidden(instance: Instance) -> Instance:
    """A fourth dataset that only the office of education may know of, beside its own."""
    secret = dataset("civil.witness", Sharing.CONDITIONAL, "证人保护", "Witness protection")
    secret = replace(secret, visibility=Visibility.NAMED, known_to=("gz-education",))
    instance.doors.catalog.publish(secret, by=OFFICER)
    return instance


def ids(response: Any) -> set[str]:
    return {one["id"] for one in response.json()["datasets"]}


# --- search ---------------------------------------------------------------------------------------------------------------


def test_hits_are_counted_under_the_facets_that_were_asked_for(instance: Instance) -> None:
    page = instance.get("datasets?facets=sharing&facets=office&facets=level").json()
    assert page["facets"]["office"] == [{"value": "gz-civil-affairs", "count": 3}]
    assert page["facets"]["level"] == [{"value": "province", "count": 3}]
    assert {one["value"]: one["count"] for one in page["facets"]["sharing"]} == {"conditional": 1, "unconditional": 1, "not-shared": 1}
    assert instance.get("datasets").json()["facets"] == {}


def test_values_of_one_facet_widen_and_facets_narrow(instance: Instance) -> None:
    assert ids(instance.get("datasets?sharing=not-shared&sharing=unconditional")) == {"civil.adoption", "civil.shelter"}
    assert ids(instance.get("datasets?sharing=not-shared&office=gz-education")) == set()
    assert ids(instance.get(f"datasets?division={GUIZHOU}&level=province&grade=2&family=3&cycle=monthly&openness=not-open&q=避难")) == {
        "civil.shelter"
    }
    assert ids(instance.get(f"datasets?division={HEZHANG}")) == set()
    assert len(ids(instance.get("datasets?meaning=division-code"))) == 3


def test_the_own_facet_counts_what_else_could_be_chosen(instance: Instance) -> None:
    page = instance.get("datasets?sharing=not-shared&facets=sharing").json()
    assert page["total"] == 1
    assert sum(one["count"] for one in page["facets"]["sharing"]) == 3


@pytest.mark.parametrize(
    ("query", "place"),
    [("sharing=maybe", "sharing[1]"), ("grade=7", "grade[1]"), ("division=52", "division[1]"), ("facets=colour", "facets[1]")],
)
def test_a_value_that_no_facet_has_is_told(instance: Instance, query: str, place: str) -> None:
    response = instance.get(f"datasets?{query}")
    assert response.status_code == 422
    assert [reason["parameters"]["place"] for reason in response.json()["reasons"]] == [place]


# --- what may not be known ------------------------------------------------------------------------------------------------

ABOUT_A_DATASET = [
    "datasets/{id}",
    "datasets/{id}/sample",
    "datasets/{id}/quality",
    "datasets/{id}/snapshots",
    "datasets/{id}/snapshots/0/rejects",
    "datasets/{id}/suggestions",
    "datasets/{id}/loads",
    "datasets/{id}/dcat.ttl",
    "datasets/{id}/dcat.jsonld",
]


@pytest.mark.parametrize("path", ABOUT_A_DATASET)
def test_a_hidden_dataset_answers_as_one_that_is_not(hidden: Instance, path: str) -> None:
    there = hidden.get(path.format(id="civil.witness"), token="stranger")
    nowhere = hidden.get(path.format(id="civil.nothing"), token="stranger")
    assert there.status_code == nowhere.status_code == 404
    assert there.content.decode().replace("witness", "nothing") == nowhere.content.decode()


def test_a_hidden_dataset_shows_in_no_list_and_no_count(hidden: Instance) -> None:
    assert hidden.get("datasets?q=证人", token="analyst").json()["total"] == 1
    for query in ("", "?q=证人", "?q=witness", "?facets=sharing&facets=office"):
        page = hidden.get(f"datasets{query}", token="stranger")
        assert "witness" not in page.content.decode()
        assert all(one["count"] <= 3 for counts in page.json()["facets"].values() for one in counts)
    assert hidden.get("datasets", token="stranger").json()["total"] == 3
    for path in ("catalog.ttl", "catalog.jsonld"):
        assert "witness" not in streamed(hidden.get(path, token=None))
        assert "witness" not in streamed(hidden.get(path, token="officer")), "what is public is the same for everyone"
    assert "证人" not in streamed(hidden.get("catalog.csv", token="stranger"))
    assert "证人" in streamed(hidden.get("catalog.csv", token="officer"))
    assert "witness" not in hidden.get("catalog/entries?office=gz-civil-affairs", token="stranger").content.decode()


def test_who_may_know_is_told_to_its_own_offices_alone(hidden: Instance) -> None:
    assert hidden.get("datasets/civil.witness", token="officer").json()["known_to"] == ["gz-education"]
    told = hidden.get("datasets/civil.witness", token="analyst").json()
    assert (told["visibility"], told["known_to"]) == ("named", [])


# --- sample ---------------------------------------------------------------------------------------------------------------


def test_a_sample_is_synthetic_always_the_same_and_of_the_right_shape(instance: Instance) -> None:
    sample = instance.get("datasets/civil.household/sample?rows=5").json()
    assert sample["synthetic"] is True
    assert sample["items"] == ["household", "division", "members"]
    assert [len(row) for row in sample["rows"]] == [3] * 5
    assert instance.get("datasets/civil.household/sample?rows=5").json() == sample
    assert "520527000000" not in json.dumps(sample), "it is made of the entry, never of its rows"
    assert instance.get("datasets/civil.household/sample?rows=0").status_code == 422


# --- the forms of others --------------------------------------------------------------------------------------------------


def streamed(response: Any) -> str:
    assert response.status_code == 200
    return (b"".join(response.streaming_content) if response.streaming else response.content).decode()


def linked_data(written: str) -> Graph:
    """The triples of a JSON-LD document."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of rdflib's own parser
        return Graph().parse(data=written, format="json-ld")


def test_anyone_harvests_the_public_catalogue(instance: Instance) -> None:
    turtle = Graph().parse(data=streamed(instance.get("catalog.ttl", token=None)), format="turtle")
    linked = linked_data(streamed(instance.get("catalog.jsonld", token=None)))
    assert len(turtle) == len(linked) > 50
    ask = "ASK { ?d a <http://www.w3.org/ns/dcat#Dataset> ; <http://purl.org/dc/terms/title> '低保家庭'@zh-Hans }"
    assert turtle.query(ask).askAnswer


def test_one_entry_in_both_forms(instance: Instance) -> None:
    turtle = instance.get("datasets/civil.shelter/dcat.ttl")
    assert turtle["Content-Type"].startswith("text/turtle")
    linked = instance.get("datasets/civil.shelter/dcat.jsonld")
    assert linked["Content-Type"].startswith("application/ld+json")
    assert len(Graph().parse(data=streamed(turtle), format="turtle")) == len(linked_data(streamed(linked)))
    assert instance.get("datasets/civil.shelter/dcat.ttl", token=None).status_code == 401


def test_the_guide_has_a_line_for_each_item(instance: Instance) -> None:
    lines = list(csv.DictReader(io.StringIO(streamed(instance.get("catalog.csv")).removeprefix("\ufeff"))))
    assert len(lines) == 9
    assert {one["信息资源名称"] for one in lines} == {"低保家庭", "避难场所", "收养登记"}
    assert streamed(instance.get("catalog.csv?office=gz-education")).count("\n") == 1


# --- catalogue as code ----------------------------------------------------------------------------------------------------


def test_what_was_exported_and_is_applied_again_changes_nothing(instance: Instance) -> None:
    entries = instance.get("catalog/entries", token="officer").json()["entries"]
    assert len(entries) == 3
    applied = instance.post("catalog/apply", {"entries": entries}, token="officer").json()
    assert (applied["added"], applied["changed"], applied["unchanged"]) == ([], [], 3)


def test_a_dry_run_tells_and_changes_nothing(instance: Instance) -> None:
    entries = instance.get("catalog/entries", token="officer").json()["entries"]
    entries[0]["abstract"]["en"] = "Another abstract"
    entries.append(entries[1] | {"id": "civil.kitchen"})
    wish = {"entries": entries, "dry_run": True}
    told = instance.post("catalog/apply", wish, token="officer").json()
    assert (told["added"], told["applied"]) == (["civil.kitchen"], False)
    assert told["changed"] == [{"dataset": entries[0]["id"], "fields": ["abstract"]}]
    assert instance.get("datasets/civil.kitchen").status_code == 404
    assert instance.post("catalog/apply", wish | {"dry_run": False}, token="officer").json()["applied"] is True
    assert instance.get(f"datasets/{entries[0]['id']}").json()["abstract"]["en"] == "Another abstract"


def test_one_fault_and_no_entry_is_put_in_force(instance: Instance) -> None:
    entries = instance.get("catalog/entries", token="officer").json()["entries"]
    wish = {"entries": [entries[0] | {"id": "civil.kitchen"}, entries[1] | {"classification": "none"}]}
    response = instance.post("catalog/apply", wish, token="officer")
    assert response.status_code == 422
    assert "classification-invalid" in {reason["code"] for reason in response.json()["reasons"]}
    assert instance.get("datasets/civil.kitchen").status_code == 404
    assert instance.post("catalog/apply", wish, token="analyst").status_code == 403


def test_a_draft_that_nobody_has_confirmed_is_not_published(instance: Instance) -> None:
    entry = instance.get("catalog/entries", token="officer").json()["entries"][0]
    entry |= {"id": "civil.kitchen", "suggested": "by a program"}
    entry["items"][1]["suggested"] = "looks like a division"
    response = instance.post("datasets", entry, token="officer")
    assert response.status_code == 422
    (reason,) = response.json()["reasons"]
    assert reason["code"] == "entry-not-confirmed"
    assert reason["parameters"]["items"] == "entry, division"


def test_an_empty_field_is_told_by_its_name(instance: Instance) -> None:
    entry = instance.get("catalog/entries", token="officer").json()["entries"][0]
    entry["title"]["en"] = entry["items"][1]["title"]["zh"] = ""
    response = instance.post("datasets", entry, token="officer", Accept_Language="zh")
    assert {reason["text"] for reason in response.json()["reasons"]} == {"title.en 为空。请填写。", "items[2].title.zh 为空。请填写。"}


# --- grading, offices, divisions --------------------------------------------------------------------------------------------


def test_the_grading_scheme_in_force(instance: Instance) -> None:
    told = instance.get("grading").json()
    assert told["scheme"]["id"] == "gb-t-43697"
    assert [one["rank"] for one in told["grades"]] == [1, 2, 3, 4, 5, 6]
    assert told["grades"][1]["title"] == {"zh": "一般数据 2 级", "en": "General data, level 2"}
    effective = instance.get("datasets/civil.shelter").json()["effective_grade"]
    assert (effective["rank"], effective["code"], effective["because"]) == (2, "general-2", [])


def test_an_office_takes_over_from_another(instance: Instance) -> None:
    wish = {"successor": "gz-education", "on": "2026-11-23", "words": "Merged by the province's reform"}
    assert instance.post("offices/gz-civil-affairs/succeed", wish, token="officer").status_code == 403
    done = instance.post("offices/gz-civil-affairs/succeed", wish, token="operator")
    assert done.status_code == 200, done.content
    assert set(done.json()["datasets"]) == {"civil.household", "civil.shelter", "civil.adoption"}
    assert instance.get("datasets/civil.shelter").json()["provider"]["id"] == "gz-education"
    assert instance.get("offices/gz-civil-affairs").json()["successor"] == "gz-education"


def test_divisions_change_and_what_touches_them_is_listed(instance: Instance) -> None:
    changes = f"old,new,day,kind,name\n{HEZHANG},{HEZHANG},2026-12-01,renamed,赫章新县\n"
    wish = {"changes": changes, "dry_run": True}
    assert instance.post("division-changes", wish, token="officer").status_code == 403
    told = instance.post("division-changes", wish, token="operator")
    assert told.status_code == 200, told.content
    assert told.json() == {"changes": 1, "dry_run": True, "grants_to_look_at": []}
    assert instance.get(f"divisions/{HEZHANG}").json()["name"] == "赫章县"
    done = instance.post("division-changes", wish | {"dry_run": False}, token="operator").json()
    assert done["dry_run"] is False
    assert instance.get(f"divisions/{HEZHANG}").json()["name"] == "赫章新县"
    unreadable = instance.post("division-changes", {"changes": "old;new\n"}, token="operator")
    assert unreadable.status_code == 422
