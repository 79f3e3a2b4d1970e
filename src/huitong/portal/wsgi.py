"""The WSGI entry: `huitong.portal.wsgi:application` for any WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huitong.portal.django_settings")

application = get_wsgi_application()
