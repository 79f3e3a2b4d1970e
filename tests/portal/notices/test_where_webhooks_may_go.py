"""Webhooks go to hosts that the operator listed, at the address that was checked, and prove whom they speak to."""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.portal.notices.receiver import Receiver, receiving

from huitong.errors import InputInvalid, Refused
from huitong.intake.addresses import AllowedHosts
from huitong.portal.notices.receivers import PinnedPost, WebhookHosts, read_url


def hosts(written: str, **names: Sequence[str]) -> WebhookHosts:
    """The list of a setting, with names that lead where the test says; any other name leads nowhere."""

    def resolve(host: str, port: int) -> Sequence[str]:
        if host.replace(".", "_") in names:
            return names[host.replace(".", "_")]
        return [host] if host.replace(".", "").isdigit() else []

    return WebhookHosts(AllowedHosts(AllowedHosts.read(written).servers, resolve))


def outcome(url: str, allowed: WebhookHosts, *, certificates: str = "") -> str:
    post = PinnedPost(hosts=allowed, request_seconds=5, connect_seconds=2, certificates=certificates)
    return post(read_url(url), headers={}, body=b"{}").outcome


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "//a.example/", "a.example/hook", "http://", "http://a.example:0/", "http://a.example:65536/",
        "http://a b/", "http://a.example/\n", "http://a.example/#x", "http://user@a.example/", "http://a.example@b.example/",
        "http://[fe80::1%25eth0]/", "http://a.example\\@b.example/", "http://例子.example/", "http://a.example/" + "x" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_webhook(url: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        read_url(url)
    assert caught.value.reasons[0].code == "webhook-url-invalid"


def test_ports_and_names_are_read_as_they_are_meant() -> None:
    assert str(read_url("https://A.Example/hook").server) == "a.example:443"
    assert str(read_url("http://a.example").server) == "a.example:80"
    assert str(read_url("https://[2001:DB8::1]:8443/x?y=1").server) == "[2001:db8::1]:8443"


def test_only_listed_hosts_and_ports() -> None:
    allowed = hosts("oa.example:443, 10.1.2.3:8080 tls=off")
    allowed.refuse_unless_listed(read_url("https://oa.example/hook"))
    allowed.refuse_unless_listed(read_url("http://10.1.2.3:8080/"))
    for url in ("https://oa.example:8443/", "https://other.example/", "http://169.254.169.254/", "https://oa.example.evil.example/"):
        with pytest.raises(Refused) as caught:
            allowed.refuse_unless_listed(read_url(url))
        assert caught.value.reasons[0].code == "webhook-host-not-allowed"


def test_an_open_line_only_where_the_operator_says_so() -> None:
    allowed = hosts("oa.example:443, oa.example:80, plain.example:80 tls=off")
    allowed.refuse_unless_listed(read_url("http://plain.example/"))
    with pytest.raises(Refused) as caught:
        allowed.refuse_unless_listed(read_url("http://oa.example/"))
    assert caught.value.reasons[0].code == "webhook-host-needs-tls"


def test_a_wrong_list_names_its_entry() -> None:
    with pytest.raises(InputInvalid) as caught:
        WebhookHosts.read("oa.example:443, nonsense")
    assert (caught.value.reasons[0].code, caught.value.reasons[0].parameters["number"]) == ("webhook-hosts-invalid", 2)


def test_a_listed_name_that_leads_within_is_not_followed() -> None:
    with receiving() as system:
        for inner in ("127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "::ffff:127.0.0.1"):
            allowed = hosts(f"oa.example:{system.port} tls=off", oa_example=[inner])
            assert outcome(f"http://oa.example:{system.port}/", allowed) == "delivery-host-within"
        assert system.received == []


def test_the_name_is_looked_up_once_and_the_connection_goes_where_it_led() -> None:
    looked_up = []

    with receiving() as system:

        def resolve(host: str, port: int) -> Sequence[str]:
            looked_up.append(host)
            return ["127.0.0.1"] if len(looked_up) == 1 else ["192.0.2.1"]

        listed = AllowedHosts.read(f"oa.example:{system.port} tls=off, 127.0.0.1:{system.port}").servers
        allowed = WebhookHosts(AllowedHosts(listed, resolve))
        assert outcome(f"http://oa.example:{system.port}/hook", allowed) == "delivery-taken"
        assert looked_up == ["oa.example"]
        assert system.received[0].headers["host"] == f"oa.example:{system.port}"


def test_a_name_that_leads_nowhere() -> None:
    assert outcome("http://gone.example/", hosts("gone.example:80 tls=off")) == "delivery-host-unresolved"


def test_the_second_address_of_a_name_is_tried() -> None:
    with receiving() as system:
        listed = f"oa.example:{system.port} tls=off, 127.0.0.1:{system.port}, 127.0.0.2:{system.port}"
        assert outcome(f"http://oa.example:{system.port}/", hosts(listed, oa_example=["127.0.0.2", "127.0.0.1"])) == "delivery-taken"


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as system:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert outcome(system.url(), hosts(f"127.0.0.1:{system.port}")) == "delivery-taken"
        assert (len(proxy.received), len(system.received)) == (0, 1)


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for oa.example, and its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "oa.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("oa.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "oa.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def test_the_receiver_must_prove_its_name(certificate: Path) -> None:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate)
    with receiving(Receiver(), tls=trust) as system:
        port = system.port
        own = f"127.0.0.1:{port} tls=off, "
        named = hosts(f"{own}oa.example:{port}, wrong.example:{port}", oa_example=["127.0.0.1"], wrong_example=["127.0.0.1"])
        assert outcome(f"https://oa.example:{port}/", named, certificates=str(certificate)) == "delivery-taken"
        assert outcome(f"https://wrong.example:{port}/", named, certificates=str(certificate)) == "delivery-tls-failed"
        assert outcome(f"https://oa.example:{port}/", named) == "delivery-tls-failed", "nobody we know speaks for it"
        any_ = hosts(f"{own}wrong.example:{port} tls=encrypt", wrong_example=["127.0.0.1"])
        assert outcome(f"https://wrong.example:{port}/", any_) == "delivery-taken"
        assert len(system.received) == 2
    with receiving() as plain:
        listed = hosts(f"oa.example:{plain.port}, 127.0.0.1:{plain.port}", oa_example=["127.0.0.1"])
        assert outcome(f"https://oa.example:{plain.port}/", listed) == "delivery-tls-failed"
