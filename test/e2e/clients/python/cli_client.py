"""The AWS CLI as it comes, in one Python process: what its `aws` command does, without starting Python for each.
A line of standard input is a JSON list of arguments; the line that answers it has the exit code and what was
printed. Endpoint, region and credentials come from the usual AWS_ variables."""
import contextlib
import io
import json
import sys

import awscli
import awscli.clidriver


def run(arguments):
    """What `aws ARGUMENTS` would print, and its exit code."""
    out, errors = io.StringIO(), io.StringIO()
    out.buffer = io.BytesIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = awscli.clidriver.create_clidriver().main(arguments)
        except SystemExit as e:
            code = e.code
    return {"code": code, "out": out.getvalue() + out.buffer.getvalue().decode(), "errors": errors.getvalue()}


print(json.dumps({"ready": f"AWS CLI {awscli.__version__}"}), flush=True)
for text in sys.stdin:
    print(json.dumps(run(json.loads(text))), flush=True)
