"""In every Python of a disturbed run: it ends itself by SIGKILL at the moment that SODA_CHAOS_AT names.

SODA_CHAOS_AT is JSON: event (of sys.addaudithook), match (a regular expression on its paths), nth, after (the first thing that
happens after it, else just before it), fired (a file that says that it happened).
"""

import json
import os
import re
import signal
import sys

if "SODA_CHAOS_AT" in os.environ:
    _aim = json.loads(os.environ["SODA_CHAOS_AT"])
    _match, _state = re.compile(_aim["match"]), {"left": _aim["nth"], "armed": False, "over": False}

    def _end() -> None:
        _state["over"] = True
        with open(_aim["fired"], "w") as file:
            file.write(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)

    def _hook(event: str, arguments: tuple) -> None:
        if _state["over"]:
            return
        if _state["armed"]:
            _end()
        if event == _aim["event"] and any(isinstance(each, str) and _match.search(each) for each in map(_name, arguments[:2])):
            if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                return
            _state["left"] -= 1
            if _state["left"] == 0:
                _state["armed"] = _aim["after"]
                if not _aim["after"]:
                    _end()

    def _name(value: object) -> object:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    sys.addaudithook(_hook)
