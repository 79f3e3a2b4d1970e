"""The way to a database server: encrypted, and the server proves its name, or nothing is read and no password sent."""

import datetime as times
import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.mariadb import mariadb_server
from tests.postgresql import postgresql_server

from huitong.errors import Unavailable
from huitong.intake.addresses import AllowedHosts
from huitong.intake.credentials import Credentials
from huitong.intake.databases import open_database
from huitong.intake.plans import LoadSource, SourceKind
from huitong.keystore import FileKeyStore

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]


@dataclass(frozen=True)
class Authority:
    folder: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def issue(self, name: str, *alternatives: x509.GeneralName) -> tuple[Path, Path]:
        """Certificate and key of a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        built = _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), self.name, key)
        signed = built.add_extension(x509.SubjectAlternativeName(alternatives), critical=False).sign(self.key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        private.chmod(0o600)
        return certificate, private


def _builder(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = times.datetime.now(times.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - times.timedelta(hours=1))
        .not_valid_after(now + times.timedelta(hours=1))
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    certificate = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    (folder / "authority.pem").write_bytes(certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return Authority(folder, key, name)


@dataclass(frozen=True)
class Place:
    scheme: str
    port: int
    user: str
    password: str


@pytest.fixture(scope="module")
def mysql_place(authority: Authority) -> Iterator[Place]:
    issued = authority.issue("mariadb", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with mariadb_server(certificate=issued) as server:
        server.run("CREATE DATABASE d", "CREATE TABLE d.t (a INT)", "INSERT INTO d.t VALUES (1)")
        server.run(f"ALTER USER '{server.user}'@'127.0.0.1' REQUIRE NONE")
        yield Place("mysql", server.port, server.user, server.password)


@pytest.fixture(scope="module")
def postgresql_place(authority: Authority) -> Iterator[Place]:
    issued = authority.issue("postgresql", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with postgresql_server() as server:
        owner = server.socket_folder.stat()
        for source, name in zip(issued, ("server.pem", "server.key"), strict=True):
            copied = server.socket_folder / name
            copied.write_bytes(source.read_bytes())
            copied.chmod(0o600)
            os.chown(copied, owner.st_uid, owner.st_gid)
        for statement in (
            f"ALTER SYSTEM SET ssl_cert_file = '{server.socket_folder}/server.pem'",
            f"ALTER SYSTEM SET ssl_key_file = '{server.socket_folder}/server.key'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
            "CREATE DATABASE d",
        ):
            server.run(statement)
        with psycopg.connect(server.url("d"), autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        yield Place("postgresql", server.port, server.user, "any")


def read(place: Place, tmp_path: Path, *, tls: str, certificates: Path | None, host: str = "127.0.0.1", leads_to: str = "127.0.0.1") -> int:
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    server = f"{host}:{place.port}"
    credentials = Credentials(keys)
    credentials.keep("c", office="civil", server=server, user=place.user, password=place.password)
    source = LoadSource(SourceKind.DATABASE, f"{place.scheme}://{server}/d", "t", "c")
    listed = AllowedHosts(AllowedHosts.read(f"{server} tls={tls}, 127.0.0.1:{place.port} tls=off").servers, lambda _host, _port: [leads_to])
    if host == "127.0.0.1":
        listed = AllowedHosts.read(f"{server} tls={tls}")
    with open_database(
        source,
        office="civil",
        credentials=credentials,
        allowed_hosts=listed,
        inbox=tmp_path,
        time_zone="UTC",
        certificates=certificates,
    ) as table:
        return sum(len(batch.lines) for batch in table.batches())


@pytest.fixture(params=["mysql_place", "postgresql_place"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def test_a_server_that_proves_its_name_is_read(place: Place, authority: Authority, tmp_path: Path) -> None:
    assert read(place, tmp_path, tls="verify", certificates=authority.file) == 1


def test_encryption_alone_asks_for_no_proof(place: Place, tmp_path: Path) -> None:
    assert read(place, tmp_path, tls="encrypt", certificates=None) == 1


def test_a_certificate_of_an_unknown_authority_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refusal:
        read(place, tmp_path, tls="verify", certificates=None)
    assert refusal.value.reasons[0].code == "source-tls-failed"


def test_a_certificate_for_another_name_is_refused(place: Place, authority: Authority, tmp_path: Path) -> None:
    """The listed name leads to a server that holds a good certificate, but not for that name."""
    with pytest.raises(Unavailable) as refusal:
        read(place, tmp_path, tls="verify", certificates=authority.file, host="db.civil")
    assert refusal.value.reasons[0].code == "source-tls-failed"
