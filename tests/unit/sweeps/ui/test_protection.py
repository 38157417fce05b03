"""Who may read the pages of `sweep ui`, and who may change a sweep through them."""

import json
from pathlib import Path

import pytest
from flask import Flask

from sweeps.sweep_dir.layout import SweepLayout
from sweeps.ui.protection import Guard
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import HOST, PORT, TOKEN, UiBrowser

CROSS_SITE = {"Sec-Fetch-Site": "cross-site"}
LINK = {**CROSS_SITE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def paused(tmp_path: Path) -> Path:
    return FakeSweep(tmp_path / "sweep", trials=3, state="paused", states={0: "paused"}).write()


def requests_of(sweep: Path) -> list[str]:
    """Lists everything that a request has left in a sweep."""
    layout = SweepLayout(sweep)
    folders = [layout.requests, layout.answers]
    return [path.name for folder in folders if folder.exists() for path in folder.iterdir()]


def stop_body(browser: UiBrowser) -> dict[str, object]:
    button = {"type": "request-sure", "verb": "stop", "sweep": "sweep", "trial": "0000aaaa"}
    return browser.body({}, button)


def test_the_page_stops_a_trial(paused: Path) -> None:
    browser = UiBrowser(paused)
    response = browser.post(stop_body(browser))
    assert "Trial 0000aaaa is stopped" in response.text
    record = SweepLayout(paused).read_trials()[0]
    assert (record.state, record.stopped_by) == ("stopped", "hand")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:8050"}, 400),  # DNS rebinding: their name, our address
        ({"Host": ""}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[bad"}, 403),
        (CROSS_SITE, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another port of this machine
        (LINK, 403),  # a form's POST is a navigation, too
    ],
)
def test_another_site_cannot_stop_a_trial(
    paused: Path, headers: dict[str, str], status: int
) -> None:
    browser = UiBrowser(paused)
    assert browser.post(stop_body(browser), **headers).status_code == status
    assert requests_of(paused) == []
    assert SweepLayout(paused).read_trials()[0].state == "paused"


def test_without_the_token_nothing_changes(paused: Path) -> None:
    browser, stranger = UiBrowser(paused), UiBrowser(paused, token=False)
    body = stop_body(browser)
    csrf = browser.headers[browser.guard.csrf_header]
    browser.headers.pop(browser.guard.csrf_header)
    for response in (
        stranger.post(body),
        stranger.post(body, **{browser.guard.csrf_header: csrf}),
        browser.post(body),  # the cookie alone
        browser.post(body, **{browser.guard.csrf_header: "wrong"}),
    ):
        assert "refused" in response.text
        assert "token" in response.text
    assert requests_of(paused) == []
    # Reading stays open on loopback, with buttons that cannot be clicked.
    assert '"disabled": true' in stranger.page("/sweep/sweep")


def test_a_read_only_server_has_no_callbacks_that_change(paused: Path) -> None:
    body = stop_body(UiBrowser(paused))
    browser = UiBrowser(paused, read_only=True)
    assert browser.post(body).status_code == 500
    assert requests_of(paused) == []
    assert not any("answers" in key for key in browser.app.callback_map)
    page = browser.page("/sweep/sweep")
    assert "Pause sweep" not in page
    assert "0000aaaa" in page


def test_the_address_with_the_token_sets_cookies_and_goes_on_without_it(paused: Path) -> None:
    browser = UiBrowser(paused, token=False)
    response = browser.get(f"/sweep/sweep?token={TOKEN}", **LINK)
    cookies = response.headers.getlist("Set-Cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == [
        f"sweep_ui_{PORT}",
        f"sweep_ui_csrf_{PORT}",
    ]
    assert all("SameSite=Strict" in cookie for cookie in cookies)
    assert ["HttpOnly" in cookie for cookie in cookies] == [True, False]
    assert 'content="0; url=/sweep/sweep"' in response.text
    assert TOKEN not in response.text
    assert UiBrowser(paused, token=False).get("/?token=wrong").status_code == 403
    elsewhere = {"PATH_INFO": "//evil.example", "QUERY_STRING": f"token={TOKEN}"}
    answer = browser.client.get("/", base_url=f"http://{HOST}", environ_overrides=elsewhere)
    assert 'url=/evil.example"' in answer.text
    answer = browser.get(f"/sweep/a%253Ab%22%3E%3Cb%3E%26?token={TOKEN}")
    assert 'url=/sweep/a%253Ab%22%3E%3Cb%3E%26"' in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8050", "localhost:9000", "LOCALHOST", "[::1]:8050", "127.0.0.1"]
)
def test_a_forwarded_port_is_the_same_server(paused: Path, host: str) -> None:
    browser = UiBrowser(paused)
    assert browser.get("/", Host=host, Origin=f"http://{host}").status_code == 200


@pytest.mark.parametrize("path", ["/", "/sweep/sweep", "/_dash-layout", "/assets/style.css"])
def test_other_hosts_than_loopback_demand_the_token_for_reading(paused: Path, path: str) -> None:
    stranger = UiBrowser(paused, host="0.0.0.0", token=False)
    assert stranger.get(path).status_code == 403
    assert UiBrowser(paused, host="0.0.0.0").get(path).status_code == 200


def test_every_address_of_the_machine_is_own_only_where_all_are_listened_on() -> None:
    for host, status in (("0.0.0.0", 200), ("127.0.0.1", 400), ("192.0.2.7", 200)):
        server = Flask("test")
        server.add_url_rule("/", view_func=lambda: "read")
        guard = Guard(host, PORT, TOKEN)
        guard.protect(server, [])
        client = server.test_client()
        assert client.get(f"/?token={TOKEN}", base_url="http://192.0.2.7").status_code == status
        assert client.get("/", base_url="http://evil.example").status_code == 400


def test_headers_keep_the_page_to_itself(paused: Path) -> None:
    for path in ("/", "/_dash-layout", "/assets/style.css", "/no/such/page"):
        headers = UiBrowser(paused).get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy.split("style-src")[0]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


def test_a_link_from_another_site_opens_a_page(paused: Path) -> None:
    browser = UiBrowser(paused)
    assert browser.get("/", **LINK).status_code == 200
    assert browser.get("/", **CROSS_SITE).status_code == 403
    assert browser.get("/", **LINK, Origin=f"http://{HOST}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/sweep/..%2F..%2Fsecret",
        "/sweep/%2Fetc",
        "/sweep/sweep/trial/..%2F..%2Fsecret",
        "/sweep/sweep/trial/%2Fetc%2Fpasswd",
        "/sweep/sweep/trial/../../../secret",
        "/assets/..%2f..%2fserver.py",
        "/assets/../server.py",
    ],
)
def test_no_path_leaves_the_directory(tmp_path: Path, paused: Path, path: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "trial.log").write_text("a secret text")
    browser = UiBrowser(paused)
    assert "a secret text" not in browser.page(path)
    answer = browser.get(path)
    assert "import" not in answer.text or answer.status_code == 404
    button = {"type": "request-sure", "verb": "stop", "sweep": "../secret", "trial": "../x"}
    assert "no such sweep" in browser.click(button).text


def test_a_body_has_a_limit(paused: Path) -> None:
    browser = UiBrowser(paused)
    body = stop_body(browser) | {"state": [{"id": "answers", "value": "x" * 2_000_000}]}
    assert browser.post(body).status_code == 413
    assert json.loads(browser.post(stop_body(browser)).text)
