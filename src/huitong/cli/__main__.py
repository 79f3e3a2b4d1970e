"""`python -m huitong.cli` is `huitong`."""

from huitong.cli import main

main()
