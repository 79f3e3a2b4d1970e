"""Django's own commands for this portal: `python -m huitong.portal migrate`."""

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command named by the arguments."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huitong.portal.django_settings")
    execute_from_command_line(["python -m huitong.portal", *sys.argv[1:]])


if __name__ == "__main__":
    main()
