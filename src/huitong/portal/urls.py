"""Which address is answered by what: the API under /api/v1/, the pages everywhere else."""

from django.urls import path
from django.views.i18n import set_language

from huitong.portal.api import app
from huitong.portal.pages import account, catalogue, look, own_account

urlpatterns = [
    path("", catalogue.front, name="front"),
    path("datasets/<str:dataset_id>", catalogue.dataset, name="dataset"),
    path("sign-in", account.SignIn.as_view(), name="sign-in"),
    path("sign-in/code", account.second_step, name="sign-in-code"),
    path("sign-in/service", account.sign_on_begin, name="sign-on"),
    path("sign-in/service/return", account.sign_on_return, name="sign-on-return"),
    path("account", own_account.own_account, name="account"),
    path("account/change", own_account.change, name="account-change"),
    path("account/app", own_account.set_up_app, name="set-up-app"),
    path("account/passkey", own_account.add_passkey, name="add-passkey"),
    path("account/service", own_account.link_sign_on, name="link-sign-on"),
    path("staff", own_account.staff, name="staff"),
    path("sign-out", account.SignOut.as_view(), name="sign-out"),
    path("post", account.choose_post, name="choose-post"),
    path("look.css", look.sheet, name="look"),
    path("language", set_language, name="language"),
    path("api/v1/", app.urls()),
]
handler400 = "huitong.portal.pages.failing.bad_request"
handler403 = "huitong.portal.pages.failing.forbidden"
handler404 = "huitong.portal.pages.failing.not_found"
handler500 = "huitong.portal.pages.failing.failure"
