"""A client of S3 with the tests' own signer, for what tests ask of a server behind libci's back: objects and uploads as they
are. Small answers alone: one page of a list."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

import sigv4


class Client:
    def __init__(self, environment: Mapping[str, str]) -> None:
        """By what AWS's clients read."""
        self.endpoint = environment["AWS_ENDPOINT_URL_S3"]
        self.region = environment.get("AWS_REGION", "us-east-1")
        self.key_id = environment["AWS_ACCESS_KEY_ID"]
        self.secret = environment["AWS_SECRET_ACCESS_KEY"]

    def ask(self, method: str, path: str, body: bytes = b"", **query: str) -> bytes:
        """Path: "/BUCKET/KEY". Raises HTTPError."""
        host = urllib.parse.urlsplit(self.endpoint).netloc
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = urllib.parse.quote(path, safe="/-_.~")
        parameters = "&".join(
            f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}"
            for name, value in sorted(query.items())
        )
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        target = path + (f"?{parameters}" if parameters else "")
        key = {"key_id": self.key_id, "secret": self.secret, "region": self.region, "service": "s3"}
        headers["authorization"] = sigv4.authorization(method, target, headers, digest, **key)
        request = urllib.request.Request(self.endpoint + target, body or None, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.read()

    def make_bucket(self, bucket: str) -> None:
        try:
            self.ask("PUT", f"/{bucket}")
        except urllib.error.HTTPError as error:
            if error.code != 409:  # it is there
                raise

    def get(self, bucket: str, key: str) -> bytes:
        return self.ask("GET", f"/{bucket}/{key}")

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.ask("PUT", f"/{bucket}/{key}", body)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        return self._found("Contents", self.ask("GET", f"/{bucket}", **{"list-type": "2", "prefix": prefix}))

    def versions(self, bucket: str, prefix: str = "") -> dict[str, tuple[str, str]]:
        """Of each key when it was written, and its ETag."""
        answer = self.ask("GET", f"/{bucket}", **{"list-type": "2", "prefix": prefix})
        of = [self._found("Contents", answer, what) for what in ("Key", "LastModified", "ETag")]
        return {key: (modified, etag) for key, modified, etag in zip(*of)}

    def uploads(self, bucket: str) -> list[str]:
        """Keys of multipart uploads that were begun and neither completed nor aborted."""
        return self._found("Upload", self.ask("GET", f"/{bucket}", uploads=""))

    @staticmethod
    def _found(element: str, text: bytes, what: str = "Key") -> list[str]:
        root = ElementTree.fromstring(text)
        return [found.text or "" for found in root.iterfind(f"{{*}}{element}/{{*}}{what}")]
