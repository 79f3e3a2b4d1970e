"""How to use a dataset from a terminal, from Python and over HTTP: examples with its own names."""

import json
import shlex
from dataclasses import dataclass

from django.utils.translation import gettext

from huitong.model.catalog import Dataset, Grade, Sharing
from huitong.model.policy import Grant, MaskKind


@dataclass(frozen=True)
class Snippet:
    """One example."""

    id: str
    title: str
    text: str


def snippets_of(dataset: Dataset, grant: Grant | None, *, address: str) -> list[Snippet]:
    """How to ask, and the same statement by three doors; with a grant of the reader's office, its items and its purpose."""
    names = _names(dataset, grant)
    sql = f"SELECT {', '.join(names)} FROM {dataset.id} LIMIT 10"  # noqa: S608 - text for a person to read; nothing here runs it
    purpose = grant.terms.purpose.code if grant else gettext("PURPOSE")
    body = json.dumps({"sql": sql, "purpose": purpose}, ensure_ascii=False)
    http = (
        f"curl {address}/api/v1/query \\\n"
        '  -H "Authorization: Bearer $HUITONG_TOKEN" \\\n'
        '  -H "Content-Type: application/json" -H "Accept: text/csv" \\\n'
        f"  -d {shlex.quote(body)}"
    )
    python = (
        "import os\n\nfrom huitong.client import Client\n\n"
        f'with Client({json.dumps(address)}, os.environ["HUITONG_TOKEN"]) as client:\n'
        "    result = client.query(\n"
        f"        {json.dumps(sql, ensure_ascii=False)},\n"
        f"        purpose={json.dumps(purpose, ensure_ascii=False)},\n"
        "    )\n"
        "    frame = result.pandas()\n"
        "    receipt = result.receipt()"
    )
    shell = f"export HUITONG_URL={address}\nhuitong query {shlex.quote(sql)} --purpose {shlex.quote(purpose)}"
    law, day = gettext("LAW AND ARTICLE"), gettext("YYYY-MM-DD")
    asking = (
        f"export HUITONG_URL={address}\nhuitong request submit {dataset.id} \\\n"
        + "".join(f"  --item {shlex.quote(name)} \\\n" for name in names)
        + f"  --purpose {shlex.quote(purpose)} --legal-basis {shlex.quote(law)} \\\n"
        f"  --until {day}"
    )
    use = [
        Snippet("terminal", gettext("Terminal"), shell),
        Snippet("python", "Python", python),
        Snippet("api", gettext("HTTP API"), http),
    ]
    return use if grant or dataset.sharing is Sharing.NOT_SHARED else [Snippet("ask", gettext("Ask"), asking), *use]


def _names(dataset: Dataset, grant: Grant | None) -> list[str]:
    """Three items for a first statement that is likely to be allowed: those of the grant, or the least sensitive ones."""
    if grant:
        names = [term.item for term in grant.terms.items if term.mask.kind is not MaskKind.HIDE]
    else:
        names = [item.name for item in dataset.items if item.grade <= Grade.INTERNAL]
    return (names or [dataset.items[0].name])[:3]
