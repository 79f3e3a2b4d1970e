"""Says which system package a full test run lacks, and exits 2: a test is never skipped in silence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def postgresql_programs() -> Path | None:
    """The folder of PostgreSQL's server programs (initdb, pg_ctl), which Debian keeps off the PATH."""
    configured = os.environ.get("HUITONG_TEST_POSTGRESQL_BIN")
    candidates = [Path(configured)] if configured else []
    if shutil.which("pg_config"):
        found = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(found.stdout.strip() or "/nonexistent"))
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).parent)
    return next((folder for folder in candidates if (folder / "initdb").is_file()), None)


def mariadb_server() -> Path | None:
    """MariaDB's server program, which Debian keeps off the PATH of users."""
    found = shutil.which("mariadbd") or shutil.which("mysqld")
    candidates = [Path(found)] if found else [Path("/usr/sbin/mariadbd"), Path("/usr/sbin/mysqld")]
    return next((program for program in candidates if program.is_file()), None)


def chromium() -> str | None:
    """Debian's Chromium."""
    return os.environ.get("HUITONG_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def chinese_font() -> bool:
    """Whether any font can show Chinese: without one, screenshots show boxes."""
    if not shutil.which("fc-list"):
        return False
    return bool(subprocess.run(["fc-list", ":lang=zh"], capture_output=True, text=True, check=False).stdout.strip())


def main() -> int:
    """Names every missing Debian package at once."""
    missing = []
    if postgresql_programs() is None:
        missing.append("postgresql")
    if mariadb_server() is None:
        missing.append("mariadb-server")
    if chromium() is None:
        missing.append("chromium")
    if not chinese_font():
        missing.append("fonts-noto-cjk")
    if missing:
        sys.stderr.write(f"make test needs these Debian packages: {' '.join(missing)}\nInstall them: apt-get install {' '.join(missing)}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
