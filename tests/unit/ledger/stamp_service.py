"""A time-stamping service on this machine: answers by `openssl ts -reply` with a certificate made for the test."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SETTINGS = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[extensions]
extendedKeyUsage = critical,timeStamping
basicConstraints = critical,CA:FALSE
"""


def openssl(*arguments: str | Path) -> str:
    """Run openssl; what it printed."""
    done = subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def make_authority(folder: Path) -> Path:
    """A root and a certificate of a time-stamping service; the file of the root."""
    folder.mkdir(parents=True)
    (folder / "tsa.cnf").write_text(SETTINGS.format(folder=folder))
    (folder / "serial").write_text("01\n")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *new, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", "30", "-subj", "/CN=Test root")
    openssl("req", *new, "-keyout", folder / "tsa.key", "-out", folder / "tsa.csr", "-subj", "/CN=Test time stamps")
    issued = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", folder / "tsa.cnf")
    openssl("x509", "-req", "-in", folder / "tsa.csr", "-out", folder / "tsa.pem", *issued, "-extensions", "extensions", "-days", "20")
    return folder / "ca.pem"


class Service:
    """How it answers: `mood` is `well`, `redirect`, `slow`, `long`, `nonsense`, `refused`, `page`, or `again` (the last answer)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mood = "well"
        self.asked = 0
        self.last = b""

    def answer(self, query: bytes) -> bytes:
        """A signed answer to a query."""
        self.asked += 1
        if self.mood == "again" and self.last:
            return self.last
        given, made = self.folder / f"{self.asked}.tsq", self.folder / f"{self.asked}.tsr"
        given.write_bytes(query)
        openssl("ts", "-reply", "-config", self.folder / "tsa.cnf", "-queryfile", given, "-out", made)
        self.last = made.read_bytes()
        return self.last


@contextmanager
def served(service: Service) -> Iterator[str]:
    """Its address while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            mood = service.mood
            if mood == "redirect":
                self.send_response(302)
                self.send_header("Location", self.path)
                self.end_headers()
                return
            self.send_response(503 if mood == "refused" else 200)
            self.send_header("Content-Type", "text/html" if mood == "page" else "application/timestamp-reply")
            self.end_headers()
            try:
                if mood == "slow":
                    for _ in range(40):
                        self.wfile.write(b"0")
                        self.wfile.flush()
                        time.sleep(0.05)
                elif mood == "long":
                    self.wfile.write(b"0" * 200_000)
                else:
                    self.wfile.write(b"not an answer" if mood == "nonsense" else service.answer(query))
            except (BrokenPipeError, ConnectionResetError):
                pass

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsr"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
