"""A file comes as the body of a call: streamed, counted, checked; nothing of a broken one is loaded."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from tests.api.conftest import Instance

from huitong.errors import InputInvalid
from huitong.portal.api.limits import LIMITS
from huitong.portal.api.uploads import received

CSV = b"household,division,members\nh1,520527000000,3\n"
SMALL = replace(LIMITS, upload_bytes=100, upload_block_bytes=7)


def call(body: bytes, *, kind: str = "text/csv", **environment: str) -> WSGIRequest:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_TYPE": kind, "wsgi.input": io.BytesIO(body), **environment}
    return WSGIRequest(environ)


def test_a_file_becomes_the_next_snapshot(instance: Instance) -> None:
    before = instance.get("datasets/civil.shelter").json()["snapshot"]["version"]
    response = instance.send("datasets/civil.shelter/snapshots", CSV, "text/csv")
    assert response.status_code == 201
    assert response.json()["version"] == before + 1
    assert response.json()["rejects"] == []
    assert response.json()["source_hash"] == hashlib.sha256(CSV).hexdigest()
    assert instance.get("datasets/civil.shelter").json()["snapshot"]["rows"] == 1


def test_what_is_inside_decides_and_not_what_the_body_is_called(instance: Instance) -> None:
    taken = instance.send("datasets/civil.shelter/snapshots", CSV, "application/vnd.apache.parquet")
    assert taken.status_code == 201
    assert taken.json()["reading"]["format"] == "text"
    broken = instance.send("datasets/civil.shelter/snapshots", b"PAR1", "application/vnd.apache.parquet")
    assert broken.status_code == 422
    assert instance.get("datasets/civil.shelter").json()["snapshot"]["version"] == taken.json()["version"]


def test_rows_that_were_left_out_are_named_by_line_and_reason(instance: Instance) -> None:
    dirty = CSV + b"h2,520527000000,many\n"
    assert instance.send("datasets/civil.shelter/snapshots", dirty, "text/csv").status_code == 422
    response = instance.send("datasets/civil.shelter/snapshots?reject_limit=5", dirty, "text/csv")
    assert response.status_code == 201
    (reject,) = response.json()["rejects"]
    assert (reject["line"], reject["item"]) == (3, "members")
    assert "many" not in response.content.decode(), "an answer never holds a value of a row"
    assert reject["text"] != reject["reason"]


def test_who_may_not_load_is_told_before_the_body_is_read(instance: Instance) -> None:
    response = instance.send("datasets/civil.shelter/snapshots", CSV, "text/csv", token="analyst")
    assert response.status_code == 403
    assert instance.send("datasets/civil.nothing/snapshots", CSV, "text/csv").status_code == 404
    assert list(settings.HUITONG.uploads.glob("*")) == []


def test_a_form_that_is_not_known_is_told_with_those_that_are(instance: Instance) -> None:
    response = instance.send("datasets/civil.shelter/snapshots", CSV, "application/zip")
    assert response.status_code == 415
    assert "text/csv" in response.json()["detail"]


def test_a_file_without_a_length_is_told(instance: Instance) -> None:
    headers = {"Authorization": "Bearer officer", "Content-Type": "text/csv"}
    response = instance.client.generic("POST", "/api/v1/datasets/civil.shelter/snapshots", b"", headers=headers)
    assert response.status_code == 411
    assert response.json()["code"] == "body-length-missing"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (call(b"x" * 101, CONTENT_LENGTH="101"), "body-too-large"),
        (call(b"x" * 40, CONTENT_LENGTH="50"), "body-cut"),
        (call(b"x"), "body-length-missing"),
        (call(b"x", CONTENT_LENGTH="-1"), "body-length-missing"),
        (call(b"x", HTTP_TRANSFER_ENCODING="chunked"), "body-length-missing"),
        (call(b"", CONTENT_LENGTH="0"), "body-empty"),
        (call(b"x", CONTENT_LENGTH="1", kind=""), "body-form-unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_body_leaves_nothing_behind(request_: WSGIRequest, code: str, tmp_path: Path) -> None:
    with pytest.raises(InputInvalid) as caught, received(request_, limits=SMALL, folder=tmp_path):
        pass
    assert caught.value.reasons[0].code == code
    assert list(tmp_path.iterdir()) == []


def test_a_body_is_read_in_blocks(tmp_path: Path) -> None:
    with received(call(b"y" * 100, CONTENT_LENGTH="100"), limits=SMALL, folder=tmp_path) as body:
        assert body.path.read_bytes() == b"y" * 100
        assert (body.path.suffix, body.hash) == (".csv", "")
    with received(call(b"y", CONTENT_LENGTH="1", HTTP_IDEMPOTENCY_KEY="k"), limits=SMALL, folder=tmp_path) as body:
        assert body.hash == hashlib.sha256(b"y").hexdigest()
    assert list(tmp_path.iterdir()) == []
