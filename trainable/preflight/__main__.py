"""Makes the slow checks in a process of their own; see `trainable.preflight.background`.

Reads a request as JSON from standard input and writes the problems of every config to the file
descriptor that was standard output. Whatever code of the user's prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys

from trainable.config import parse_config
from trainable.config.own_code import add_code_directories
from trainable.preflight.checks import Checker, to_plain


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    add_code_directories(request["directories"])
    sys.path += [path for path in request["path"] if path not in sys.path]
    checker = Checker(**request["options"])
    problems = [to_plain(checker.slow_problems(parse_config(c))) for c in request["configs"]]
    with result:
        json.dump({"problems": problems, "notices": checker.notices}, result)


if __name__ == "__main__":
    main()
