"""A browser for the pages of `sweep ui` without a browser: Flask's client and Dash's protocol."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from sweeps.ui.app import build_app
from sweeps.ui.protection import Guard

PORT = 8050
HOST = f"127.0.0.1:{PORT}"
TOKEN = "the-token"
CALLBACKS = "/_dash-update-component"
Property = dict[str, Any]


class UiBrowser:
    """Opens pages and calls callbacks as Dash's script does.

    Args:
        roots: The directories whose sweeps the pages show.
        read_only: As `sweep ui --read-only`.
        host: As `sweep ui --host`.
        token: Whether it has opened the address with the token.
    """

    def __init__(
        self,
        *roots: Path,
        read_only: bool = False,
        host: str = "127.0.0.1",
        token: bool = True,
    ) -> None:
        self.guard = Guard(host, PORT, TOKEN)
        self.app = build_app(roots, self.guard, read_only=read_only)
        self.client = self.app.server.test_client()
        self.headers = {"Host": HOST}
        if token:
            assert self.get(f"/?token={TOKEN}").status_code == 200
            cookie = self.client.get_cookie(self.guard.csrf_cookie, domain="127.0.0.1")
            assert cookie is not None
            self.headers[self.guard.csrf_header] = cookie.value

    def get(self, path: str, **headers: str) -> TestResponse:
        """Requests an address."""
        return self.client.get(path, base_url=f"http://{HOST}", headers=self.headers | headers)

    def post(self, body: Mapping[str, Any], **headers: str) -> TestResponse:
        """Calls a callback with a body as Dash's script sends it."""
        return self.client.post(
            CALLBACKS, base_url=f"http://{HOST}", headers=self.headers | headers, json=body
        )

    def page(self, path: str, query: str = "") -> str:
        """Returns the layout of a page as JSON."""
        response = self.call({"url.pathname": path, "url.search": query})
        return json.dumps(response["page"]["children"])

    def call(self, inputs: Mapping[str, Any], **states: Any) -> dict[str, Any]:
        """Calls the callback of these inputs; returns the values of its outputs; see `body`."""
        response = self.post(self.body(inputs, **states))
        assert response.status_code in {200, 204}, response.text
        return dict(response.get_json()["response"]) if response.status_code == 200 else {}

    def click(self, id_: Mapping[str, str], **states: Any) -> TestResponse:
        """Clicks a button of an id with several parts."""
        return self.post(self.body({}, dict(id_), **states))

    def body(
        self, inputs: Mapping[str, Any], clicked: Mapping[str, str] | None = None, **states: Any
    ) -> dict[str, Any]:
        """Returns the body of a call.

        Args:
            inputs: `id.property` -> value; the first has changed. For an id with several parts
                the value is pairs of an id and a value, as in `states`.
            clicked: The id, if it has several parts, of a button that was clicked instead.
            states: Id with `_` for `-` -> value of its state. For an id with several parts it is
                its `type` -> pairs of an id and a value; outputs of that type have these ids, too.
        """
        key, callback = self._find(inputs, clicked)
        changed = next(iter(inputs), "")
        values = []
        for spec in callback["inputs"]:
            name = f"{spec['id']}.{spec['property']}"
            if clicked is None and spec["id"].startswith("{"):
                pairs = inputs.get(name, [])
                values.append(
                    [{"id": id_, "property": spec["property"], "value": v} for id_, v in pairs]
                )
                changed = f"{_compact(pairs[0][0])}.{spec['property']}" if pairs else changed
            elif clicked is None:
                values.append({**spec, "value": inputs.get(name)})
            elif json.loads(spec["id"])["type"] == clicked["type"]:
                values.append([{"id": clicked, "property": spec["property"], "value": 1}])
                changed = f"{_compact(clicked)}.{spec['property']}"
            else:
                values.append([])
        return {
            "output": key,
            "outputs": _outputs(key, states),
            "inputs": values,
            "state": [_state(spec, states) for spec in callback["state"]],
            "changedPropIds": [changed],
        }

    def _find(
        self, inputs: Mapping[str, Any], clicked: Mapping[str, str] | None
    ) -> tuple[str, dict[str, Any]]:
        for key, callback in self.app.callback_map.items():
            ids = [f"{spec['id']}.{spec['property']}" for spec in callback["inputs"]]
            types = [json.loads(s["id"])["type"] for s in callback["inputs"] if s["id"][0] == "{"]
            if clicked["type"] in types if clicked else set(inputs) <= set(ids):
                return key, callback
        raise KeyError(f"no callback has the inputs {list(inputs) or clicked}")


def _compact(id_: Mapping[str, Any]) -> str:
    return json.dumps(id_, sort_keys=True, separators=(",", ":"))


def _outputs(key: str, states: Mapping[str, Any]) -> Any:
    parts = key[2:-2].split("...") if key.startswith("..") else [key]
    outputs: list[Any] = []
    for part in parts:
        id_, name = part.rsplit(".", 1)
        if '["ALL"]' in id_:
            pairs = states.get(json.loads(id_)["type"].replace("-", "_"), [])
            outputs.append([{"id": own, "property": name} for own, _ in pairs])
        else:
            outputs.append({"id": id_, "property": name})
    return outputs if key.startswith("..") else outputs[0]


def _state(spec: Property, states: Mapping[str, Any]) -> Property | list[Property]:
    if not spec["id"].startswith("{"):
        return {**spec, "value": states.get(spec["id"].replace("-", "_"))}
    name = json.loads(spec["id"])["type"].replace("-", "_")
    pairs: Sequence[tuple[Property, Any]] = states.get(name, [])
    return [{"id": id_, "property": spec["property"], "value": value} for id_, value in pairs]


def texts_of(layout: Any) -> list[str]:
    """Returns every text in a layout, in order."""
    if isinstance(layout, dict):
        return texts_of(layout.get("props", {}).get("children"))
    if isinstance(layout, list):
        return [text for part in layout for text in texts_of(part)]
    return [] if layout is None else [str(layout)]
