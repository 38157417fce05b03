"""A page of another site cannot steer a sweep, whatever it tries."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sweeps.sweep_dir.layout import SweepLayout
from tests.browser.conftest import Opener
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import UiBrowser

pytestmark = pytest.mark.browser

ATTACK = """
async ([target, body]) => {
  const results = [];
  const attempt = async (name, options) => {
    try {
      const answer = await fetch(target + "_dash-update-component", options);
      results.push(`${name}: ${answer.type} ${answer.status}`);
    } catch (error) {
      results.push(`${name}: ${error.name}`);
    }
  };
  const common = { method: "POST", credentials: "include", body };
  await attempt("text", { ...common, mode: "no-cors" });
  await attempt("json", { ...common, headers: { "Content-Type": "application/json" } });
  await attempt("header", { ...common, headers: { "X-Sweep-CSRF": "guess" } });
  const form = document.createElement("form");
  Object.assign(form, { method: "POST", action: target + "_dash-update-component" });
  form.target = "frame";
  document.body.append(form);
  form.submit();
  return results;
}
"""
PAGE = b"<!doctype html><title>evil</title><iframe name=frame></iframe>"


@pytest.fixture
def evil() -> Iterator[str]:
    """Serves a page of another origin: another port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_of_another_origin_cannot_stop_a_trial(
    tmp_path: Path, watch: Opener, evil: str
) -> None:
    sweep = FakeSweep(tmp_path / "sweep", trials=3, state="paused", states={0: "paused"}).write()
    watched = watch(sweep)
    page = watched.open("/sweep/sweep/trial/0000aaaa")
    button = {"type": "request-sure", "verb": "stop", "sweep": "sweep", "trial": "0000aaaa"}
    body = json.dumps(UiBrowser(sweep).body({}, button))

    page.goto(evil)  # in the same browser, which has the cookies
    results = page.evaluate(ATTACK, [watched.address, body])
    assert all("200" not in result for result in results), results
    page.wait_for_timeout(500)
    assert SweepLayout(sweep).read_trials()[0].state == "paused"
    assert not SweepLayout(sweep).requests.exists()

    # The page itself can, so the attack failed for its origin alone.
    page = watched.open("/sweep/sweep/trial/0000aaaa")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#answers .answer.accepted")).to_contain_text("0000aaaa")
    assert SweepLayout(sweep).read_trials()[0].state == "stopped"


def test_without_the_token_buttons_are_disabled_and_read_only_has_none(
    tmp_path: Path, watch: Opener
) -> None:
    sweep = FakeSweep(tmp_path / "sweep", trials=3, state="paused").write()
    watched = watch(sweep, token=False)
    page = watched.open("/sweep/sweep")
    expect(page.locator("#trials .ag-row").first).to_be_visible()
    expect(page.get_by_role("button", name="Add trial").first).to_be_disabled()
    page = watch(sweep, read_only=True).open("/sweep/sweep")
    expect(page.locator("#trials .ag-row").first).to_be_visible()
    expect(page.get_by_role("button", name="Add trial")).to_have_count(0)
    assert watched.errors == []
