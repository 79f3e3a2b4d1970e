"""The entry for granian: `huitong.portal.rsgi:application`, the WSGI application behind the door that reads bodies."""

from huitong.portal.wsgi import application as wsgi_application  # isort: skip - Django is set up by this

from huitong.portal.api.front import Front

application = Front(wsgi_application)
