# SPDX-License-Identifier: Apache-2.0
"""Runs one command line of the real clan after the other, as `clan` runs each, in one process because it takes long to
start. Reads a list of {words, stdin, key} in JSON, with stdin in Base64, and prints a list of {code, out, err}, out in
Base64.
"""
import base64
import contextlib
import io
import json
import logging
import os
import sys
import traceback

from clan_cli import cli


def text(stream):
    return io.TextIOWrapper(stream, encoding="utf-8", write_through=True)


def run(command):
    """One command with its own arguments, standard input, outputs and identity."""
    sys.argv = ["clan", *command["words"]]
    sys.stdin = text(io.BufferedReader(io.BytesIO(base64.b64decode(command["stdin"]))))
    # The second one is that of the store age.
    os.environ["SOPS_AGE_KEY_FILE"] = os.environ["AGE_KEYFILE"] = command["key"]
    out, err, code = io.BytesIO(), io.StringIO(), 0
    logging.getLogger().handlers.clear()
    with contextlib.redirect_stdout(text(out)), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:  # pylint: disable=broad-except
            code = 1
            traceback.print_exc()
        sys.stdout.flush()
        return {"code": code, "out": base64.b64encode(out.getvalue()).decode(), "err": err.getvalue()}


json.dump([run(command) for command in json.load(sys.stdin)], sys.stdout)
