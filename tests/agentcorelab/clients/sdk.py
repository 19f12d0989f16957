"""botocore: steps in, answers out, as JSON.

Input: {"endpoint": URL, "steps": [[OPERATION, INPUT], …]}. In an input "$name" is that member of earlier answers (of their last
result's structuredContent too), and {"base64": TEXT} bytes. Output: the answers, with "results" in place of a stream, or
{"error": NAME, "message": …, "reason": …}. sdk.js does the same.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError


def filled(value: Any, known: dict[str, Any]) -> Any:
    if isinstance(value, str):
        return known[value[1:]] if value.startswith("$") else value
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    if isinstance(value, dict):
        if "base64" in value:
            return base64.b64decode(value["base64"])
        return {name: filled(one, known) for name, one in value.items()}
    return value


def plain(value: Any) -> str:
    """Bytes, or a time."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value.isoformat()


def run(client: Any, operation: str, given: dict[str, Any]) -> dict[str, Any]:
    answer = getattr(client, re.sub("(?<!^)(?=[A-Z])", "_", operation).lower())(**given)
    answer.pop("ResponseMetadata")
    stream = answer.pop("stream", None)
    return answer if stream is None else {**answer, "results": [event["result"] for event in stream if "result" in event]}


def main() -> None:
    task = json.load(sys.stdin)
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    client = botocore.session.get_session().create_client(
        "bedrock-agentcore", region_name=os.environ["AWS_REGION"], endpoint_url=task["endpoint"], config=config
    )
    known: dict[str, Any] = {}
    answers: list[dict[str, Any]] = []
    for operation, given in task["steps"]:
        try:
            answer = run(client, operation, filled(given, known))
            results = answer.get("results")
            known.update(answer, **(results[-1].get("structuredContent", {}) if results else {}))
        except (ClientError, EventStreamError) as error:
            told = error.response
            answer = {"error": told["Error"]["Code"], "message": told["Error"]["Message"], "reason": told.get("reason")}
        answers.append(answer)
    print(json.dumps(answers, default=plain))


main()
