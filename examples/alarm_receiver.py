"""Receives the alarms of a pipeline and prints them: the other end of `python -m flows.alarms http://127.0.0.1:9000/hook`.

python examples/alarm_receiver.py [PORT]
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

MOST = 1 << 20  # bytes of an alarm


class Receiver(BaseHTTPRequestHandler):
    """Prints what is posted."""

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", 0)), MOST)
        try:
            alarm = json.loads(self.rfile.read(length))
            print(f"{alarm['subject']}\n  " + "\n  ".join(str(alarm["body"]).splitlines()), flush=True)
        except (ValueError, KeyError, TypeError):
            self.send_error(400, "not an alarm")
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing besides the alarms."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Receiver)
    print(f"waiting for alarms on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
