"""The notebook of the tutorials, its cells run in order against a served instance, as its reader would; and calls over a real wire."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx
import pytest
from pyarrow import parquet
from tests.e2e.conftest import ROOT, _free_port

from huitong.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TUTORIALS = ROOT / "docs" / "tutorials"
ENGLISH, CHINESE = TUTORIALS / "use-data-in-python.ipynb", TUTORIALS / "use-data-in-python.zh-Hans.ipynb"


def cells(notebook: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A served instance with an engine; what its reader has in the environment."""
    home, port = tmp_path_factory.mktemp("n"), _free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "DJANGO_"))}
    environment = {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "HUITONG_HOME": str(home)}
    make = [sys.executable, str(ROOT / "tests" / "e2e" / "make_small_demo.py"), str(home)]
    subprocess.run(make, env=environment, check=True, timeout=300)
    serve = [sys.executable, "-m", "huitong.cli", "serve", "--operator", "operator", "--port", str(port), "--web", "1"]
    with (home / "serve.log").open("wb") as log:
        server = subprocess.Popen(serve, env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/api/v1/ledger/key", server, home / "serve.log")
        yield {"HUITONG_DEMO": str(home), "HUITONG_URL": f"http://127.0.0.1:{port}"}
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text("utf-8")
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError("the server did not answer")


def test_every_cell_of_the_notebook_does_what_it_says(
    province: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in province.items():
        monkeypatch.setenv(name, value)
    found: dict[str, Any] = {}
    for number, code in enumerate(cells(ENGLISH, "code")):
        exec(compile(code, f"{ENGLISH.name}, code cell {number}", "exec"), found)
    assert found["me"]["roles"] == ["analyst"]
    assert "geo.county_coordinates" in {one["id"] for one in found["found"]["datasets"]}
    assert found["request"]["state"] == "granted"
    assert len(found["frame"]) == 88 and 0 < len(found["north"]) < 20
    assert found["refused"] and all(found["refused"])
    assert (found["finding"].ok, found["finding"].included, found["forged"].ok) == (True, True, False)
    assert (found["snapshot"]["rows"], found["snapshot"]["rejected_rows"]) == (3, 0)
    assert capsys.readouterr().out


def test_the_notebooks_of_both_languages_run_the_same_code_and_keep_no_output() -> None:
    assert cells(ENGLISH, "code") == cells(CHINESE, "code")
    assert len(cells(ENGLISH, "markdown")) == len(cells(CHINESE, "markdown"))
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in cells(CHINESE, "markdown"))
    for notebook in (ENGLISH, CHINESE):
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
            assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


POINTS = {
    "id": "natural.points",
    "title": {"zh": "点", "en": "Points"},
    "abstract": {"zh": "每点一行。", "en": "One row per point."},
    "classification": "3-07-0001/000900",
    "provider": "gz-natural-resources",
    "collector": "gz-natural-resources",
    "sharing": "unconditional",
    "sharing_basis": "x",
    "openness": "open",
    "update_cycle": "yearly",
    "items": [{"name": "number", "title": {"zh": "号", "en": "Number"}, "type": "integer", "grade": 1}],
}


def test_calls_and_files_of_many_blocks_arrive_whole_over_the_wire(province: dict[str, str]) -> None:
    """What no test inside one process sees: the server hands a body over in blocks, and lets it be read once."""
    token = json.loads((Path(province["HUITONG_DEMO"]) / "demo-accounts.json").read_text("utf-8"))["natural-officer"]["token"]
    with Client(province["HUITONG_URL"], token) as client:
        assert client.publish(POINTS)["id"] == "natural.points"
        for rows in (1, 400_000):
            content = b"number\n" + b"".join(b"%d\n" % number for number in range(rows))
            assert client.upload("natural.points", content, kind="text/csv")["rows"] == rows
        lines = b"".join(b'{"number": %d}\n' % number for number in range(50_000))
        assert client.upload("natural.points", iter([lines[:1000], lines[1000:]]), kind="application/x-ndjson")["rows"] == 50_000
        listed = b"[" + b",".join(b'{"number": %d}' % number for number in range(100)) + b"]"
        assert client.upload("natural.points", listed, kind="application/json")["rows"] == 100
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": '"over-the-wire"'}
    with httpx.Client(base_url=province["HUITONG_URL"], headers=headers) as raw:
        for replayed in (None, "true"):
            answer = raw.post("/api/v1/datasets", json=POINTS)
            assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (201, replayed)
        page = raw.get("/api/v1/datasets/natural.points/snapshots", headers={"Accept": "application/vnd.apache.parquet"})
        assert parquet.read_table(io.BytesIO(page.content)).column("rows").to_pylist() == [100, 50_000, 400_000, 1]
