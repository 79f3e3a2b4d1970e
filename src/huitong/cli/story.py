"""The story of the demo, told on the terminal: find, ask, grant, query, refuse, revoke, prove.

Each step is done through the API with the token of the person who acts; what is shown is what came back. A step that does
not come out as the story says ends the demo with an error: a demo that only looks right would be a lie.
"""

import copy
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import cells, wrap
from huitong.cli.catalogue import choice, item_text, office_text
from huitong.cli.failing import printable, sentences
from huitong.cli.language import words
from huitong.cli.output import show_table, text
from huitong.client import Client
from huitong.errors import HuitongError, LedgerBroken, Refused
from huitong.settings import Settings

ANALYST = "agriculture-analyst"
MEDICAL_REVIEWER = "medical-reviewer"
CIVIL_REVIEWER = "civil-reviewer"
PURPOSE = "poverty-monitoring"
ZUNYI = "520300000000"
LEGAL_BASIS = "《中共中央 国务院关于实现巩固拓展脱贫攻坚成果同乡村振兴有效衔接的意见》（2020）：健全防止返贫动态监测和帮扶机制"
MEDICAL_ITEMS = ("resident_id", "division_code", "settled_on", "treatment", "out_of_pocket_fen")
CIVIL_ITEMS = ("applicant_id", "division_code", "allowance_kind", "people_covered")
STATEMENT = """\
SELECT d.name AS county, count(DISTINCT m.applicant_id) AS households,
       CAST(sum(s.out_of_pocket_fen) / 100.0 / count(DISTINCT m.applicant_id) AS DECIMAL(12, 2)) AS own_pay_yuan
FROM civil.minimum_allowance AS m
JOIN medical.settlement AS s ON s.resident_id = m.applicant_id
JOIN geo.division AS d ON d.code = substr(m.division_code, 1, 6) || '000000'
GROUP BY d.name ORDER BY own_pay_yuan DESC LIMIT 8"""
FORBIDDEN = """\
SELECT s.disease_group, i.main_diagnosis, count(*) AS n
FROM medical.settlement AS s JOIN health.inpatient AS i ON i.resident_id = s.resident_id
GROUP BY s.disease_group, i.main_diagnosis"""
SMALL_STATEMENT = "SELECT level, count(*) AS n FROM geo.division GROUP BY level ORDER BY n"
SMALL_FORBIDDEN = "SELECT main_diagnosis FROM health.inpatient"
LINE = 96


class Teller:
    """Prints the story: rules, remarks, tables. Colour only on a terminal."""

    def __init__(self) -> None:
        self.number = 0

    def line(self, sentence: str = "", **style: Any) -> None:
        """A paragraph, broken to the width of the page."""
        for one in wrap(printable(sentence), LINE):
            click.secho(one, **style)

    def opening(self, folder: Path) -> None:
        """What this is."""
        self.line(words("demo-opening"), bold=True)
        self.line(words("demo-folder", folder=str(folder)))
        self.line()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A spinner on a terminal while the block runs; nothing in a log."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(what):
            yield

    def done(self, what: str) -> None:
        """A step of the preparation that is done."""
        click.echo(f"  {click.style('✓', fg='green')} {printable(what)}")

    def ready(self, seconds: float) -> None:
        """The province stands."""
        self.line()
        self.line(words("demo-ready", seconds=f"{seconds:.0f}"))

    def chapter(self, title: str, sentence: str) -> None:
        """A heading and what happens below it."""
        self.number += 1
        head = f"── {self.number}. {title} "
        click.echo()
        click.secho(head + "─" * max(0, LINE - cells(head)), fg="cyan", bold=True)
        self.line(sentence)

    def by(self, person: str, office: str) -> None:
        """Who acts now."""
        click.secho(printable(words("demo-acts", person=person, office=office)), dim=True)

    def typed(self, call: str) -> None:
        """The command that does the same."""
        for position, one in enumerate(call.split("\n")):
            click.secho(("  $ " if position == 0 else "    ") + one, fg="yellow")

    def refused(self, error: HuitongError) -> None:
        """A refusal with all its reasons."""
        number = getattr(error, "query", None)
        head = words("failed-refused") + (words("failed-query", query=number) if number else "")
        click.secho(f"  ✗ {printable(head)}", fg="red")
        for sentence in sentences(error):
            lines = wrap(printable(sentence), LINE - 6)
            click.echo("    - " + "\n      ".join(lines))

    def held(self, ok: bool, sentence: str) -> None:
        """A finding of the verifier."""
        mark = click.style("✓", fg="green") if ok else click.style("✗", fg="red")
        click.echo(f"  {mark} " + "\n    ".join(wrap(printable(sentence), LINE - 4)))

    def farewell(self, seconds: float) -> None:
        """The end of the terminal part."""
        click.echo()
        click.secho("─" * LINE, fg="cyan")
        self.line(words("demo-farewell", seconds=f"{seconds:.0f}"), bold=True)

    def try_it(self, address: str, settings: Settings, accounts: Any) -> None:
        """Accounts, tokens and five commands to try."""
        click.echo()
        shown = (ANALYST, MEDICAL_REVIEWER, CIVIL_REVIEWER, "medical-officer", "zunyi-agriculture-analyst", "operator")
        rows = []
        for account in shown:
            person = accounts.people[account]
            roles = text([choice(role) for role in person["roles"]])
            rows.append([account, text(person["name"]), roles, person["office"], person["password"]])
        show_table([words(f"title-{key}") for key in ("account", "name", "roles", "office", "password")], rows)
        click.echo()
        show_table([words("title-account"), words("title-token")], [[account, accounts.token(account)] for account in shown])
        click.echo()
        self.line(words("demo-all-accounts", file=str(accounts.path)))
        click.echo()
        click.echo(words("demo-try"))
        huitong, home = _huitong(), _from_here(settings.home)
        click.secho(f"  export HUITONG_URL={address.rstrip('/')} HUITONG_TOKEN={accounts.token(ANALYST)}", fg="yellow")
        for call in (
            f"{huitong} dataset search 低保",
            f"{huitong} dataset show medical.settlement",
            f'{huitong} query "{SMALL_STATEMENT}" --purpose {PURPOSE}',
            f'{huitong} why "{SMALL_FORBIDDEN}" --purpose {PURPOSE}',
            f"{huitong} receipt verify {home / 'receipt.json'} --log-key {home / 'ledger.vkey'} --result {home / 'result.arrow'}",
        ):
            click.secho(f"  {call}", fg="yellow")
        click.echo()


def _huitong() -> str:
    """How `huitong` is called from here."""
    from shutil import which

    place = Path(sys.executable).with_name("huitong")
    return "huitong" if which("huitong") or not place.exists() else str(_from_here(place))


def _from_here(path: Path) -> Path:
    """The path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def expect(step: str, found: object, wanted: object) -> None:
    """The story is true or it ends. Raises LedgerBroken for a proof, HuitongError for the rest."""
    if found != wanted:
        raise HuitongError.because("cli-demo-differs", step=step, found=str(found)[:200])


def tell(teller: Teller, settings: Settings, inside: Any, accounts: Any, transport: Any) -> None:
    """The whole story."""

    def client(account: str) -> Client:
        return Client("http://127.0.0.1", accounts.token(account), transport=transport, language=words.language)

    Story(teller, settings, inside, client).tell()


class Story:
    """The chapters in their order, with what one hands to the next."""

    def __init__(self, teller: Teller, settings: Settings, inside: Any, client: Callable[[str], Client]) -> None:
        self.teller, self.settings, self.inside, self.client = teller, settings, inside, client
        self.grants: dict[str, str] = {}
        self.result: Any = None

    def tell(self) -> None:
        """From finding to proof."""
        self.find()
        self.ask()
        self.approve()
        self.use()
        self.refuse()
        self.revoke()
        self.prove()

    def _acting(self, account: str) -> Client:
        client = self.client(account)
        me = client.whoami()
        self.teller.by(me["name"], office_text(me["office"]))
        return client

    def find(self) -> None:
        """Search in Chinese and English; can I have it, how, by when."""
        self.teller.chapter(words("demo-find"), words("demo-find-text"))
        analyst = self._acting(ANALYST)
        for asked in ("医疗", "minimum allowance"):
            self.teller.typed(f'huitong dataset search "{asked}"')
            found = analyst.search(asked, limit=4)
            expect("find", found["total"] > 0, True)
            hits = found["datasets"]
            rows = [[hit["id"], text(hit["title"]), office_text(hit["provider"]), choice(hit["sharing"])] for hit in hits]
            show_table([words(f"title-{key}") for key in ("dataset", "title", "provider", "sharing")], rows)
            click.echo()
        self.teller.typed("huitong dataset show ...")
        rows = []
        for dataset in ("geo.division", "civil.minimum_allowance", "medical.settlement", "health.inpatient"):
            rows.append([dataset, analyst.dataset(dataset)["availability"]["text"]])
        for dataset, sentence in rows:
            click.secho(f"  {dataset}", bold=True)
            for one in wrap(printable(sentence), LINE - 6):
                click.echo(f"      {one}")

    def ask(self) -> None:
        """Unconditional: at once. Conditional: to a reviewer. Not shared: refused with its basis."""
        self.teller.chapter(words("demo-ask"), words("demo-ask-text"))
        analyst = self._acting(ANALYST)
        until = (self._today() + timedelta(days=180)).isoformat()
        wishes = (
            ("geo.division", ("code", "name", "level"), None, "granted"),
            ("civil.minimum_allowance", CIVIL_ITEMS, ZUNYI, "under-review"),
            ("medical.settlement", MEDICAL_ITEMS, ZUNYI, "under-review"),
            ("health.inpatient", ("resident_id", "division_code"), ZUNYI, "refused"),
        )
        for dataset, items, division, wanted in wishes:
            cut = f" --division {division}" if division else ""
            call = f'huitong request submit {dataset} --purpose {PURPOSE} --legal-basis "..." \\\n  --item "{" ".join(items)}"'
            self.teller.typed(f"{call}{cut} --until {until}")
            try:
                made = analyst.request(
                    dataset, purpose=PURPOSE, legal_basis=LEGAL_BASIS, items=items, until=until, division=division
                )
            except Refused as error:
                expect(f"ask {dataset}", "refused", wanted)
                self.teller.refused(error)
                continue
            expect(f"ask {dataset}", made["state"], wanted)
            self._show_state(made)
            self.grants[dataset] = made["grant"] or made["id"]

    def _show_state(self, made: dict[str, Any]) -> None:
        office = office_text(made["provider"])
        if made["state"] == "granted":
            self.teller.held(True, words("request-granted", request=made["id"], grant=str(made["grant"])))
        elif made["state"] == "under-review":
            due = str(made["answer_due"] or "")
            self.teller.held(True, words("request-waits", request=made["id"], office=office, due=due))
        else:
            event = made["events"][-1]
            from huitong.errors import Reason

            reason = words.reason(Reason(str(event["reason"]), {"dataset": made["dataset"], "basis": event["words"] or ""}))
            self.teller.held(False, f"{choice(made['state'])}: {reason} {event['words'] or ''}".strip())

    def approve(self) -> None:
        """Reviewers of the providing offices answer; one of them narrows."""
        self.teller.chapter(words("demo-approve"), words("demo-approve-text"))
        until = (self._today() + timedelta(days=90)).isoformat()
        for account, dataset, narrowed in (
            (CIVIL_REVIEWER, "civil.minimum_allowance", None),
            (MEDICAL_REVIEWER, "medical.settlement", until),
        ):
            reviewer = self._acting(account)
            number = self.grants[dataset]
            self.teller.typed(f"huitong request approve {number}" + (f" --until {narrowed}" if narrowed else ""))
            made = reviewer.approve(number, until=narrowed, words=None)
            expect(f"approve {dataset}", made["state"], "granted")
            self.grants[dataset] = made["grant"]
            grant = reviewer.grant(made["grant"])
            expect(f"grant {dataset}", grant["state"], "active")
            items = ", ".join(item_text(one["item"], one["mask"]) for one in grant["items"])
            self.teller.held(True, words("demo-granted", grant=grant["id"], until=str(grant["valid_until"])[:10]))
            for one in wrap(items, LINE - 6):
                click.echo(f"      {one}")

    def use(self) -> None:
        """The governed query, joined over two offices by pseudonyms."""
        self.teller.chapter(words("demo-use"), words("demo-use-text"))
        analyst = self._acting(ANALYST)
        self.teller.typed(f'huitong query "{STATEMENT}" \\\n--purpose {PURPOSE} --output result.arrow --receipt receipt.json')
        result = analyst.query(STATEMENT, purpose=PURPOSE)
        table = result.arrow()
        expect("use", table.num_rows > 0, True)
        columns = [column.to_pylist() for column in table.columns]
        click.echo()
        show_table(table.column_names, [list(row) for row in zip(*columns, strict=True)])
        click.echo()
        self.result = result
        result.save(self.settings.home / "result.arrow")
        self.teller.held(True, words("demo-used", query=result.query, rows=table.num_rows))

    def refuse(self) -> None:
        """A statement that asks for more: all reasons at once, and nothing ran."""
        self.teller.chapter(words("demo-refuse"), words("demo-refuse-text"))
        analyst = self._acting(ANALYST)
        self.teller.typed(f'huitong query "{FORBIDDEN}" \\\n--purpose {PURPOSE}')
        error = self._refusal(analyst, FORBIDDEN)
        expect("refuse", len(error.reasons) > 1, True)
        self.teller.refused(error)

    def _refusal(self, client: Client, statement: str) -> Refused:
        try:
            client.query(statement, purpose=PURPOSE)
        except Refused as error:
            return error
        raise LedgerBroken.because("cli-demo-differs", step="refuse", found="an answer")

    def revoke(self) -> None:
        """It bites at the next request."""
        self.teller.chapter(words("demo-revoke"), words("demo-revoke-text"))
        reviewer = self._acting(MEDICAL_REVIEWER)
        number = self.grants["medical.settlement"]
        said = words("demo-revoke-words")
        self.teller.typed(f'huitong grant revoke {number} --words "{said}"')
        expect("revoke", reviewer.revoke(number, words=said)["state"], "revoked")
        self.teller.held(True, words("revoked", grant=number))
        analyst = self._acting(ANALYST)
        self.teller.typed("huitong query ...")
        self.teller.refused(self._refusal(analyst, STATEMENT))

    def prove(self) -> None:
        """The receipt stands alone; a changed one does not; the ledger is whole."""
        from huitong.cli.proving import step_text, verify

        self.teller.chapter(words("demo-prove"), words("demo-prove-text"))
        home = self.settings.home
        receipt = self.client(ANALYST).receipt(self.result.query, wait_seconds=5)
        file = home / "receipt.json"
        file.write_text(json.dumps(receipt, ensure_ascii=False, indent=2) + "\n", "utf-8")
        key = (home / "ledger.vkey").read_text("utf-8")
        self.teller.typed("huitong receipt verify receipt.json --log-key ledger.vkey --result result.arrow")
        finding = verify(json.loads(file.read_text("utf-8")), key, (home / "result.arrow").read_bytes(), require_inclusion=True)
        for step in finding.steps:
            self.teller.held(step.ok, f"{step.name}: {step_text(step)}")
        expect("prove", (finding.ok, finding.included), (True, True))
        self.teller.line(words("demo-proved"), bold=True)
        click.echo()
        self.teller.line(words("demo-tamper"))
        tampered = tampered_with(receipt)
        (home / "receipt-tampered.json").write_text(json.dumps(tampered, ensure_ascii=False, indent=2) + "\n", "utf-8")
        self.teller.typed("huitong receipt verify receipt-tampered.json --log-key ledger.vkey")
        finding = verify(tampered, key, None)
        for step in finding.steps:
            if not step.ok:
                self.teller.held(False, f"{step.name}: {step_text(step)}")
        expect("tampered", finding.ok, False)
        self.teller.line(words("demo-tampered"), bold=True)
        click.echo()
        self._audit()

    def _audit(self) -> None:
        from huitong.cli.inside import record

        self.teller.typed("huitong ledger audit")
        record(self.inside, "operator", "ledger-audit")
        self.inside.fold_all()
        report = self.inside.audit(self.inside.ledger.vkeys(), lambda *_: None)
        expect("audit", report.ok, True)
        root = hashlib.sha256(self.inside.stores.ledger.latest_checkpoint().note.encode()).hexdigest()[:12]
        self.teller.held(report.ok, words("demo-audited", size=report.size, checkpoints=report.checkpoints, root=root))

    def _today(self) -> Any:
        from datetime import datetime
        from zoneinfo import ZoneInfo

        return datetime.now(ZoneInfo(self.settings.time_zone)).date()


def tampered_with(receipt: dict[str, Any]) -> dict[str, Any]:
    """The receipt with one digit of its number of rows changed, as somebody might who wants to have read less."""
    changed = copy.deepcopy(receipt)
    for entry in changed["entries"]:
        payload = json.loads(entry["payload"])
        if payload["kind"] == "use-outcome":
            payload["body"]["rows"] = int(payload["body"]["rows"]) + 1
            entry["payload"] = json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return changed


__all__: Sequence[str] = ("Story", "Teller", "tampered_with", "tell")
