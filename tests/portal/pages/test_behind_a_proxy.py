"""Behind a proxy that ends TLS people sign in at the public address, and their cookies go over TLS alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIGN_IN = """
import re, sys
from pathlib import Path
from huitong.portal.wiring import start_django
from huitong.keystore import FileKeyStore
from huitong.settings import read_settings
FileKeyStore(read_settings().keys).create()
start_django(read_settings())
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
host, origin = sys.argv[1:]
browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
page = browser.get("/sign-in", headers={"host": host})
found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())
form = {"username": "nobody", "password": "none of all", "csrfmiddlewaretoken": found.group(1) if found else ""}
answer = browser.post("/sign-in", form, headers={"host": host, "origin": origin})
secure = {bool(cookie["secure"]) for cookie in browser.cookies.values()}
print("said", page.status_code, answer.status_code, *sorted(secure))
"""


def said(home: Path, public: str, host: str, origin: str) -> list[str]:
    """Status of the page and of a sign-in with a wrong password, and whether cookies are marked secure."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "DJANGO_"))}
    environment |= {"HUITONG_HOME": str(home), "HUITONG_PUBLIC_ADDRESS": public}
    home.mkdir()
    done = subprocess.run([sys.executable, "-c", SIGN_IN, host, origin], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("said ")[1].split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("public", "host", "origin", "expected"),
    [
        ("https://data.example.gov.cn", "data.example.gov.cn", "https://data.example.gov.cn", ["200", "422", "True"]),
        ("https://data.example.gov.cn", "data.example.gov.cn", "https://elsewhere.example", ["200", "403", "True"]),
        ("https://data.example.gov.cn", "elsewhere.example", "https://elsewhere.example", ["400", "400"]),
        ("", "127.0.0.1", "http://127.0.0.1", ["200", "422", "False"]),
    ],
)
def test_sign_in_works_at_the_public_address_alone(tmp_path: Path, public: str, host: str, origin: str, expected: list[str]) -> None:
    assert said(tmp_path / "home", public, host, origin) == expected
