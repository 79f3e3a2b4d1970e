"""Signing in and out, and the post in which one acts."""

import pytest
from django.test import Client
from tests.portal.pages.conftest import PASSWORD, Portal


def text(response) -> str:
    return response.content.decode()


def test_who_has_one_post_acts_in_it_at_once(portal: Portal) -> None:
    response = portal.sign_in("wen", go_to="/datasets/civil.shelter")
    assert response.status_code == 302
    assert response["Location"] == "/datasets/civil.shelter"
    assert "Education Department of Guizhou" in text(portal.get("/"))


@pytest.mark.parametrize(("username", "password"), [("wen", "Tr0ub4dor"), ("nobody", PASSWORD), ("", ""), ("WEN", PASSWORD)])
def test_a_wrong_name_or_password_look_the_same(portal: Portal, username: str, password: str) -> None:
    response = portal.sign_in(username, password=password)
    assert response.status_code == 422
    assert "There is a problem" in text(response)
    assert password == "" or password not in text(response)
    assert "Sign out" not in text(portal.get("/"))


def test_who_has_several_posts_chooses(portal: Portal) -> None:
    response = portal.sign_in("shuang", go_to="/datasets/civil.shelter")
    assert response["Location"] == "/post?next=%2Fdatasets%2Fcivil.shelter"
    assert "Sign in to see" not in text(portal.get("/datasets/civil.shelter"))
    choice = portal.get("/post?next=/datasets/civil.shelter")
    assert "shuang@gz-medical-security" in text(choice)
    assert portal.client.post("/post", {"post": "min@gz-civil-affairs"}).status_code == 422
    chosen = portal.client.post("/post", {"post": "shuang@gz-medical-security", "next": "/datasets/civil.shelter"})
    assert chosen["Location"] == "/datasets/civil.shelter"
    assert "Medical Security Bureau of Guizhou" in text(portal.get("/"))


def test_a_post_that_ended_is_gone_at_the_next_page(portal: Portal) -> None:
    from huitong.portal.accounts.actions import instance_operator

    portal.sign_in("wen")
    portal.accounts.end_post("wen@gz-education", by=instance_operator("operator"))
    assert "Education Department of Guizhou" not in text(portal.get("/datasets/civil.shelter"))
    assert "You have no post" in text(portal.get("/post"))


def test_a_closed_account_is_signed_out(portal: Portal) -> None:
    from huitong.portal.accounts.actions import instance_operator

    portal.sign_in("wen")
    portal.accounts.close_account("wen", by=instance_operator("operator"))
    assert "Sign out" not in text(portal.get("/"))


def test_the_session_gets_a_new_key_at_signing_in(portal: Portal) -> None:
    portal.client.cookies["huitong_session"] = "planted"
    portal.sign_in("wen")
    assert portal.client.cookies["huitong_session"].value != "planted"
    cookie = portal.client.cookies["huitong_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_signing_out_is_a_post_and_ends_the_session(portal: Portal) -> None:
    portal.sign_in("wen")
    assert portal.get("/sign-out").status_code == 405
    assert portal.client.post("/sign-out").status_code == 302
    assert "Sign out" not in text(portal.get("/"))


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(portal: Portal, target: str) -> None:
    assert portal.sign_in("wen", go_to=target)["Location"] == "/"
    portal.client.post("/sign-out")
    portal.sign_in("shuang")
    sent = portal.client.post("/post", {"post": "shuang@gz-education", "next": target})
    assert sent["Location"] == "/"


def test_a_form_from_elsewhere_is_not_taken(portal: Portal) -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post("/sign-in", {"username": "wen", "password": PASSWORD}, headers={"Accept-Language": "en"})
    assert response.status_code == 403
    assert "This form cannot be accepted" in text(response)


def test_the_language_is_chosen_and_kept(portal: Portal) -> None:
    response = portal.client.post("/language", {"language": "zh-hans", "next": "/datasets/civil.shelter"})
    assert response["Location"] == "/datasets/civil.shelter"
    assert "避难场所" in text(portal.get("/datasets/civil.shelter", language="en"))
    portal.client.post("/language", {"language": "en", "next": "/"})
    assert "Shelters" in text(portal.get("/datasets/civil.shelter", language="zh-CN"))
