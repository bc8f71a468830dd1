"""``/metrics``: what Prometheus reads."""

from __future__ import annotations

import re

from starlette.testclient import TestClient

from toolkit.serve.metrics import Metrics


def value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"{name} is not in\n{text}"
    return float(found[1])


def test_requests_batches_and_sessions_are_counted(client: TestClient) -> None:
    for name in ("00.png", "01.png", "none.png"):
        client.post("/api/predict", json={"model": "bright", "name": name})
    client.post("/api/sessions", json={"model": "sam2", "name": "00.png"})
    client.get("/api/image", params={"name": "../../etc/passwd"})
    client.get("/some/made-up/address")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    assert value(text, 'toolkit_requests_total{method="POST",route="/api/predict",status="200"}') == 2
    assert value(text, 'toolkit_requests_total{method="POST",route="/api/predict",status="404"}') == 1
    assert value(text, 'toolkit_request_seconds_count{route="/api/predict"}') == 3
    assert value(text, 'toolkit_batch_size_sum{model="bright"}') == 2
    assert value(text, 'toolkit_queue{model="bright"}') == 0
    assert value(text, "toolkit_sessions") == 1
    assert value(text, "toolkit_session_bytes") > 1000
    assert "passwd" not in text
    assert "made-up" not in text, "addresses that clients make up would fill the memory"


def test_two_servers_in_a_process_count_for_themselves() -> None:
    first, second = Metrics(), Metrics()
    first.sessions.set(3)
    assert "toolkit_sessions 3.0" in first.text().decode()
    assert "toolkit_sessions 0.0" in second.text().decode()
