"""The WSGI entry: `huitong.portal.wsgi:application` for any WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huitong.portal.django_settings")

application = get_wsgi_application()

from huitong.portal.kept_connections import keep_connections_to_their_file  # noqa: E402 - when Django is set up

keep_connections_to_their_file()
