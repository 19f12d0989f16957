"""A signer of AWS's requests (SigV4) for tests, by the standard library alone: an oracle that is neither libci's nor AWS's."""

from __future__ import annotations

import hashlib
import hmac
import urllib.parse
from collections.abc import Mapping


def authorization(
    method: str,
    target: str,
    headers: Mapping[str, str],
    digest: str,
    *,
    key_id: str,
    secret: str,
    region: str,
    service: str,
) -> str:
    """The header of that name. Of a request whose target is encoded, all headers, x-amz-date among them, are signed."""
    path, _, query = target.partition("?")
    if service != "s3":  # alone in that its paths are not encoded twice
        path = urllib.parse.quote(path, safe="/-_.~")
    lines = sorted((name.lower(), value) for name, value in headers.items())
    names = ";".join(name for name, _ in lines)
    canonical = "\n".join([method, path, query, *(f"{name}:{value}" for name, value in lines), "", names, digest])
    stamp = dict(lines)["x-amz-date"]
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
