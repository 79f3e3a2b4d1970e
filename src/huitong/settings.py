"""The settings of an instance: read once from the environment and `huitong.toml`, then passed as an argument.

An instance is a folder. Nothing here opens a connection; nothing elsewhere reads the environment.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from huitong.errors import InputInvalid


@dataclass(frozen=True)
class Settings:
    """Where an instance lives and what it may use. `origins` keeps where each value came from, for `huitong settings`."""

    home: Path
    """The instance's folder: keys/, lake/, run/, control.sqlite3, huitong.toml."""
    database_url: str = ""
    """`postgresql://user@host:port/name`; empty means SQLite in `home`."""
    name: str = "huitong.local/demo"
    """Origin of the ledger: a name without scheme, as in C2SP tlog-checkpoint."""
    host: str = "127.0.0.1"
    """Address that the server listens on; anything but loopback belongs behind a proxy with TLS."""
    port: int = 8000
    """Port of the pages and the API."""
    public_address: str = ""
    """Address at which others reach the pages, through a proxy that ends TLS and keeps `Host`, e.g. `https://data.example.gov.cn`; exchange
    forms name things by it, and with https cookies go over TLS alone. Empty: that of the call."""
    trusted_proxies: str = ""
    """Addresses of the proxies in front, with commas between, whose `X-Forwarded-For` is believed when wrong passwords are counted for an
    address; empty: none."""
    sign_on_issuer: str = ""
    """Issuer of the sign-on service (OpenID Connect), as its discovery document names it, e.g. `https://sso.example.gov.cn`; empty: none.
    The client secret is not a setting: `huitong account sign-on-secret` puts it with the keys."""
    sign_on_client: str = ""
    """Client id of this instance at the sign-on service."""
    sign_on_title: str = ""
    """What the button on the sign-in page calls the sign-on service; empty: the host of the issuer."""
    sign_on_algorithms: str = "RS256,PS256,ES256"
    """Signature algorithms that are taken in id tokens, with commas between."""
    publisher: str = ""
    """Id of the office that runs the platform and publishes the catalogue; empty: the first office of the highest level."""
    language: str = "en"
    """Language of pages for a visitor who asks for none: `en` or `zh-Hans`."""
    time_zone: str = "Asia/Shanghai"
    """Deadlines and the last day of a grant end at 24:00 here."""
    engine_processes: int = 2
    """Queries that run at once."""
    engine_memory_megabytes: int = 2048
    """Memory of one running query."""
    engine_threads: int = 2
    """Threads of one running query."""
    engine_socket_name: str = "engine.sock"
    """Name of the engine broker's socket in `run/`: a command without a server uses one of its own."""
    engine: str = ""
    """Where governed queries run: empty for the processes of this machine (DuckDB), `sc://host:port` for a Spark Connect server, Apache
    Spark or Sail. Takes the extra `spark`; how the cluster is protected is for the operator to see to."""
    engine_lake: str = ""
    """Where that server finds the lake, a folder or an address it can read; empty: where it lies here."""
    engine_level: int = 0
    """The sandbox level that the operator answers for on that server. A dataset whose grade needs more is refused."""
    query_seconds: float = 30.0
    """A query is interrupted after this long and killed a second later."""
    query_maximum_rows: int = 100_000
    """Rows that one answer may hold; a notice says when it was cut."""
    grading_scheme: str = "gb-t-43697"
    """Grading scheme in force: one that ships with Huitong, or `own` for the file `grading.toml` in the instance's folder."""
    source_hosts: str = ""
    """Database servers that loads may read from: `host:port` with commas between, each with `tls=verify` (the rule), `tls=encrypt` or
    `tls=off` after a blank; empty means none."""
    source_certificates: str = ""
    """PEM file of the authorities by which database servers prove their names; empty: those of the machine."""
    webhook_hosts: str = ""
    """Hosts that webhooks of offices may go to: `host:port` with commas between, each with `tls=verify` (the rule), `tls=encrypt` or
    `tls=off` after a blank; empty means none."""
    smtp_host: str = ""
    """Mail server that notices are given to; empty: no e-mail leaves, notices stay in the in-boxes."""
    smtp_port: int = 587
    """Port of the mail server."""
    smtp_tls: str = "starttls"
    """How the way to the mail server is protected: `starttls`, `tls` (from the first byte) or `off`."""
    smtp_user: str = ""
    """Name to sign in with at the mail server; its password is kept by `huitong notice smtp-password`. Empty: none is asked for."""
    smtp_from: str = ""
    """Address that notices come from, e.g. `huitong@data.example.gov.cn`."""
    mail_domains: str = ""
    """Domains that notices may be mailed to, with commas between; empty: that of `smtp_from` alone."""
    notice_certificates: str = ""
    """PEM file of the authorities by which receivers of webhooks and the mail server prove their names; empty: those of the machine."""
    ledger_alarm_seconds: int = 10
    """An entry that waits longer to be folded raises an alarm."""
    ledger_stop_seconds: int = 300
    """While an entry waits longer than this, no new use begins."""
    ledger_witnesses: str = ""
    """Verifier keys of the witnesses whose signatures of checkpoints are taken in and handed out, with commas between; empty: none.
    `huitong ledger witness-key` makes one."""
    ledger_witness_alarm_seconds: int = 86_400
    """A witness that has signed nothing for longer is called silent by `huitong ledger status` and `huitong doctor`."""
    ledger_stamp_services: str = ""
    """Time-stamping services (RFC 3161) that stamp checkpoints: `name=URL` with commas between, over http or https; empty: none. Needs the
    optional part: `pip install huitong[stamps]`."""
    ledger_stamp_certificates: str = ""
    """Folder with the certificates by which each service is trusted: `<name>.pem`, its root and what lies between."""
    ledger_stamp_every_seconds: int = 3_600
    """A service is asked again after so long, if the ledger has grown."""
    ledger_stamp_seconds: float = 10.0
    """A service that has not answered by then is asked again later."""
    ledger_stamp_alarm_seconds: int = 86_400
    """A last stamp older than this is a warning of `huitong ledger status` and `huitong doctor`."""
    ledger_key_overlap_seconds: int = 300
    """After a change of the ledger's key the old one counts so much longer, for what was being signed at that moment."""
    backup_alarm_seconds: int = 604_800
    """A last backup older than this is a warning of `huitong doctor`."""
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> Path:
        """Folder of the file key store, mode 0700."""
        return self.home / "keys"

    @property
    def lake(self) -> Path:
        """Folder of the snapshots."""
        return self.home / "lake"

    @property
    def inbox(self) -> Path:
        """Folder of files and SQLite databases that planned loads may read."""
        return self.home / "inbox"

    @property
    def extracts(self) -> Path:
        """Folder of the files of extracts, mode 0700."""
        return self.home / "extracts"

    @property
    def records(self) -> Path:
        """Folder of the copies that records are read from by key, mode 0700; with PostgreSQL they are tables, and it holds marks alone."""
        return self.home / "records"

    @property
    def run(self) -> Path:
        """Folder of sockets and pid files."""
        return self.home / "run"

    @property
    def uploads(self) -> Path:
        """Folder of files that are being taken; emptied when the server starts."""
        return self.run / "uploads"

    @property
    def engine_socket(self) -> Path:
        """Unix socket of the engine broker."""
        return self.run / self.engine_socket_name

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'control.sqlite3'}"


def read_settings(environment: Mapping[str, str] | None = None, *, home: Path | None = None) -> Settings:
    """Settings by precedence: argument, `HUITONG_*` of the environment, `huitong.toml` in the instance's folder, default.

    Raises InputInvalid `setting-invalid` naming the setting, its value and where it came from."""
    environment = os.environ if environment is None else environment
    place = home or Path(environment.get("HUITONG_HOME", "huitong-instance"))
    origins = {"home": "argument" if home else "HUITONG_HOME" if "HUITONG_HOME" in environment else "default"}
    values: dict[str, object] = {}
    file = place / "huitong.toml"
    written = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
    known = {entry.name: entry for entry in fields(Settings) if entry.name not in ("home", "origins")}
    for name in written:
        if name not in known:
            raise InputInvalid.because("setting-unknown", setting=name, origin="huitong.toml")
    for name, entry in known.items():
        variable = f"HUITONG_{name.upper()}"
        if variable in environment:
            raw, origin = environment[variable], variable
        elif name in written:
            raw, origin = str(written[name]), "huitong.toml"
        else:
            origins[name] = "default"
            continue
        try:
            values[name] = {str: str, int: int, float: float}[entry.type](raw)  # type: ignore[index]
        except ValueError:
            raise InputInvalid.because("setting-invalid", setting=name, value=raw, origin=origin) from None
        origins[name] = origin
    return Settings(home=place.absolute(), origins=origins, **values)  # type: ignore[arg-type]
