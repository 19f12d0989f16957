"""What kind of thing a file is, by its content where that says so, else by its suffix."""

import json
import re

_STARTS = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
]
_SUFFIXES = {
    b"svg": "image/svg+xml",
    b"html": "text/html",
    b"htm": "text/html",
    b"md": "text/markdown",
    b"tex": "text/latex",
    b"json": "application/json",
}
_SVG = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]", re.DOTALL)
_HTML = re.compile(rb"\s*(<!doctype html|<html[\s>])", re.IGNORECASE)
_SCHEMA = re.compile(r"vega\.github\.io/schema/(vega|vega-lite)/v(\d)")


def mime_of(path, data):
    """A MIME type, or None when it is nothing to be shown."""
    for start, mime in _STARTS:
        if data.startswith(start):
            return mime
    if _SVG.match(data[:4096]):
        return "image/svg+xml"
    if _HTML.match(data[:4096]):
        return "text/html"
    mime = _SUFFIXES.get(path.rpartition(b".")[2].lower())
    return _json_mime(data) if mime == "application/json" else mime


def _json_mime(data):
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    schema = _SCHEMA.search(str(value.get("$schema", ""))) if isinstance(value, dict) else None
    if schema is None:
        return "application/json"
    return "application/vnd.%s.v%s+json" % (schema[1].replace("-", ""), schema[2])
