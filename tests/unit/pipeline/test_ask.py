from __future__ import annotations

import sys
from pathlib import Path

import pytest

from thinfer.core.clock import SystemClock
from thinfer.errors import EngineError
from thinfer.pipeline.ask import ask_service

# Says its address as the service does, answers one path, and notes that it was told to stop.
FAKE = """
import http.server, json, pathlib, signal, sys, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["content"][0]
        body = b"not JSON" if text == "broken" else json.dumps({"content": text}).encode()
        self.send_response(500 if text == "fail" else 200)
        self.send_header("x-thinfer-version", "0123456789ab")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
def stop(*words):
    pathlib.Path(sys.argv[1]).write_text("stopped")
    raise SystemExit(0)
signal.signal(signal.SIGTERM, stop)
assert sys.argv[2:] == ["--port", "0"]
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"serving 0123456789ab on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
"""


def _ask(tmp_path: Path, question: str, source: str = FAKE, ready_s: float = 30.0) -> object:
    command = [sys.executable, "-c", source, str(tmp_path / "note")]
    log = tmp_path / "service.log"
    return ask_service(command, question, log=log, clock=SystemClock(), ready_s=ready_s)


def test_the_answer_comes_with_the_version_and_the_service_is_stopped(tmp_path: Path) -> None:
    answer = _ask(tmp_path, "金币 & more?")
    assert answer == {"content": "金币 & more?", "version": "0123456789ab"}
    assert (tmp_path / "note").read_text() == "stopped"


@pytest.mark.parametrize("question", ["fail", "broken"])
def test_a_service_that_answers_badly_is_an_engine_error_and_is_stopped(
    tmp_path: Path, question: str
) -> None:
    with pytest.raises(EngineError, match="does not answer"):
        _ask(tmp_path, question)
    assert (tmp_path / "note").read_text() == "stopped"


def test_a_service_that_ends_at_once_is_told_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="got thinfer: no such bundle"):
        _ask(tmp_path, "x", "print('first'); raise SystemExit('thinfer: no such bundle')")


def test_a_service_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no word from it"):
        _ask(tmp_path, "x", "import time; time.sleep(60)", ready_s=0.3)
