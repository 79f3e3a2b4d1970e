"""Django's settings, built from Huitong's own: the one module that reads settings when it is imported, as Django asks for."""

from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from huitong.portal.api.limits import LIMITS
from huitong.portal.databases import database_settings
from huitong.portal.keys import session_key
from huitong.portal.pages.packages import package_folders
from huitong.settings import Settings, read_settings

HUITONG: Settings = read_settings()
"""The settings of the instance that this process serves."""

FOLDER = Path(__file__).parent


SECRET_KEY = session_key(HUITONG)
DEBUG = False
PUBLIC = urlsplit(HUITONG.public_address)
"""Where others reach the pages: a proxy in front ends TLS there, and hands calls on with the same `Host`."""
ALLOWED_HOSTS = sorted({HUITONG.host, "127.0.0.1", "localhost", "[::1]", "testserver"} | ({PUBLIC.hostname} if PUBLIC.hostname else set()))
CSRF_TRUSTED_ORIGINS = [f"{PUBLIC.scheme}://{PUBLIC.netloc}"] if PUBLIC.hostname else []

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "huitong.portal.accounts",
    "huitong.portal.catalog",
    "huitong.portal.sharing",
    "huitong.portal.audit",
    "huitong.portal.notices",
    "huitong.portal.delivery",
    "huitong.portal.pages",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "huitong.portal.urls"
WSGI_APPLICATION = "huitong.portal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
            ],
        },
    },
]

DATABASES = {"default": database_settings(HUITONG.database)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.Account"
AUTHENTICATION_BACKENDS = ["huitong.portal.accounts.backends.PersonBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["username", "name"]},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

# Of allauth the tables of second factors, the ceremony of passkeys and the way to a sign-on service are used. None of its own pages has an
# address here, it makes no account and sends no mail.
ACCOUNT_USER_MODEL_EMAIL_FIELD = None
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ADAPTER = "huitong.portal.accounts.passkeys.PasskeyAdapter"
SOCIALACCOUNT_ADAPTER = "huitong.portal.accounts.sign_on.SignOnAdapter"

SESSION_COOKIE_NAME = "huitong_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC.scheme == "https"
SESSION_COOKIE_AGE = 8 * 60 * 60
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_COOKIE_NAME = "huitong_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    },
}

USE_I18N = True
LANGUAGE_CODE = "zh-hans" if HUITONG.language.lower().startswith("zh") else "en"
LANGUAGES = [("zh-hans", "简体中文"), ("en", "English")]
LANGUAGE_COOKIE_NAME = "huitong_language"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LOCALE_PATHS = [FOLDER / "locale"]
USE_TZ = True
TIME_ZONE = HUITONG.time_zone

STATIC_URL = "/static/"
STATICFILES_DIRS = package_folders()
WHITENOISE_USE_FINDERS = True
"""Static files are served from the package itself: nothing to collect before the first start."""
DATA_UPLOAD_MAX_MEMORY_SIZE = LIMITS.body_bytes

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"()": "huitong.portal.logs.Redacting", "fmt": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
