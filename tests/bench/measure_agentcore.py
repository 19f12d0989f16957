"""Measures what a call costs beside the service's own time: libci's, botocore's, and the floor, which is a bare libcurl handle
that says again what libci has said (bench_agentcore_floor.c). The service is the stub (tests/agentcorelab) on loopback; its log
tells how long each request took it, from the last byte of the request to the last of the answer. Prints a table as measure.py
does, and writes its JSON."""

from __future__ import annotations

import argparse
import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import PYTHON, Coprocess, Row, measure, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import agentcorelab  # noqa: E402

AT_ONCE = 50
MOST_US = 1000.0

BOTO = (
    "import botocore.session, os, sys, time\n"
    "client = botocore.session.get_session().create_client('bedrock-agentcore')\n"
    "interpreter = 'aws.codeinterpreter.v1'\n"
    "session = client.start_code_interpreter_session(codeInterpreterIdentifier=interpreter)['sessionId']\n"
    "code = {'code': 'print(1)', 'language': 'python'}\n"
    "def run():\n"
    "    start = time.perf_counter()\n"
    "    answer = client.invoke_code_interpreter(\n"
    "        codeInterpreterIdentifier=interpreter, sessionId=session, name='executeCode', arguments=code)\n"
    "    results = list(answer['stream'])\n"
    "    taken = (time.perf_counter() - start) * 1e6\n"
    "    assert results[0]['result']['structuredContent']['stdout'] == '1\\n', results\n"
    "    return taken\n"
    "for line in sys.stdin:\n"
    "    print(*[run() for _ in range(int(line))], flush=True)\n"
)


class Lab:
    def __init__(self, service: agentcorelab.Service, build: Path, work: Path) -> None:
        self.service = service
        self.work = work
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        os.environ.clear()
        os.environ.update(clean, AWS_DEFAULT_REGION=agentcorelab.REGION, **service.environment())
        self.libci = Coprocess(str(build / "tests/bench_agentcore"))
        self.boto = Coprocess("env", f"PYTHONPATH={agentcorelab.packages() / 'python'}", PYTHON, "-c", BOTO)
        for client in (self.libci, self.boto):
            client.ask("1")  # its session is there
        url = service.endpoint + self.requests(self.libci)[0]["target"]
        self.floor = Coprocess(str(build / "tests/bench_agentcore_floor"), url, str(work))

    def requests(self, client: Coprocess, count: int = 1) -> list[dict[str, Any]]:
        """That a client sends when it is asked for so many calls; `taken` is how long each took it."""
        self.service.control("DELETE", "log")
        taken = client.ask(str(count))
        log = [{}]
        while not all("ms" in entry for entry in log):  # the last is over for the client before it is for the service
            log = self.service.control("GET", "log")
        calls = [entry for entry in log if entry["operation"] == "Invoke"]
        assert len(calls) == len(taken) == count
        return [{**entry, "taken": us} for entry, us in zip(calls, taken)]

    def overheads(self, client: Coprocess) -> list[float]:
        return [entry["taken"] - entry["ms"] * 1000 for entry in self.requests(client, AT_ONCE)]

    def floor_overheads(self) -> list[float]:
        """With a signature of libci's that is fresh."""
        [said] = self.requests(self.libci)
        sent = [f"{name}: {value}\n" for name, value in said["headers"] if name.lower() not in ("host", "content-length")]
        (self.work / "headers").write_text("".join(sent))
        (self.work / "body").write_bytes(base64.b64decode(said["body"]))
        return self.overheads(self.floor)

    def rows(self) -> list[Row]:
        group = "a call of executeCode, less the service's own time"
        return [
            Row(group, "libci", None, lambda: self.overheads(self.libci), us_max=MOST_US),
            Row("", "botocore", None, lambda: self.overheads(self.boto)),
            Row("", "floor: bare libcurl, the same bytes", None, self.floor_overheads),
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["CI_TEST_BUILD"] = str(options.build)
    with tempfile.TemporaryDirectory() as work, agentcorelab.start() as service:
        lab = Lab(service, options.build, Path(work))
        rows = lab.rows()
        samples = measure(rows, options.rounds)
        for client in (lab.floor, lab.boto, lab.libci):
            client.end()
    if options.json:
        options.json.unlink(missing_ok=True)
    return report(rows, samples, options.json)


if __name__ == "__main__":
    sys.exit(main())
