#!/usr/bin/env python3
"""Writes data/sigv4.json: requests, and what another signer makes of them. Not run by the tests, for it needs botocore:

    make_sigv4.py > data/sigv4.json
"""
import datetime
import json
import string

import botocore.auth
import botocore.credentials
from botocore.awsrequest import AWSRequest
from botocore.utils import percent_encode

NOW = datetime.datetime(2013, 5, 24, 0, 0, 0, tzinfo=datetime.timezone.utc)
botocore.auth.get_current_datetime = lambda remove_tzinfo=True: NOW
# botocore has begun to leave this one out, which AWS's JavaScript client signs, as we do: a service takes both.
botocore.auth.SIGNED_HEADERS_BLACKLIST.remove("traceparent")

ID, SECRET, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzE+/=tokenEXAMPLE=="
HOST = "127.0.0.1:8000"
DEFAULTS = {"service": "s3", "region": "us-east-1", "method": "GET", "host": HOST, "id": ID, "query": [], "headers": [],
            "body": "", "unsigned": False, "token": "", "expires": 0}  # left out of the file, as test_sigv4.c knows them


def case(name, path=b"/bucket/key", *, method="GET", query=(), headers=(), body="", unsigned=False, token=False,
         service="s3", region="us-east-1", host=HOST, key=ID, expires=0):
    path = path.encode() if isinstance(path, str) else path
    credentials = botocore.credentials.Credentials(key, SECRET, TOKEN if token else None)
    s3 = service == "s3"
    sent = percent_encode(path or b"/", safe="/~") if s3 else path.decode()
    request = AWSRequest(method=method, url=f"http://{host}{sent}", data=body.encode(), params=list(query))
    for header, value in headers:
        request.headers[header] = value
    if unsigned:
        request.context["client_config"] = type("Config", (), {"s3": {"payload_signing_enabled": False}})
    kind = {(True, False): "S3SigV4Auth", (True, True): "S3SigV4QueryAuth", (False, False): "SigV4Auth",
            (False, True): "SigV4QueryAuth"}[s3, expires > 0]
    signer = getattr(botocore.auth, kind)(credentials, service, region, *([expires] if expires else []))
    wanted = {}
    inject = signer._inject_signature_to_request

    def catch(prepared, signature, *rest):
        wanted["signature"] = signature
        wanted["signed_headers"] = signer.signed_headers(signer.headers_to_sign(prepared))
        return inject(prepared, signature, *rest)

    signer._inject_signature_to_request = catch
    canonical_query = signer.canonical_query_string(request)
    if expires:
        request.data, request.params = "", dict(query)
    signer.add_auth(request)
    if not expires:
        wanted["target"] = (sent or "/") + (f"?{canonical_query}" if canonical_query else "")
    given = {"name": name, "service": service, "region": region, "method": method, "host": host, "id": key,
             "query": [list(pair) for pair in query], "headers": [list(pair) for pair in headers], "body": body,
             "unsigned": unsigned, "token": TOKEN if token else "", "expires": expires}
    try:
        given["path"] = path.decode()
    except UnicodeDecodeError:
        given["path_hex"] = path.hex()
    return {key: value for key, value in (given | wanted).items() if value != DEFAULTS.get(key)}


def name_of(character):
    return f"0x{ord(character):02x}" + (f" {character}" if character.isprintable() else "")


def s3_cases():
    odd = [chr(c) for c in range(1, 128) if chr(c) not in string.ascii_letters + string.digits]
    for c in odd:
        yield case(f"key with {name_of(c)}", f"/bucket/a{c}b{c}{c}")
        yield case(f"parameter with {name_of(c)}", "/bucket", query=[("list-type", "2"), ("prefix", f"a{c}b{c}{c}")])
    for key in ("", "/", "bucket/", "bucket//key", "bucket//", "bucket/a//b///c", "bucket/./key", "bucket/../other/key",
                "bucket/a/..", "bucket/.", "bucket/..", "bucket/...", "bucket/.hidden", "bucket/a%2Fb", "bucket/%2e%2e/a",
                "bucket/é", "bucket/e\u0301", "bucket/日本語/ファイル.txt", "bucket/😀", "bucket/a b+c%20d", "bucket/" + "k" * 1024,
                "bucket/" + "é" * 512, "bucket/~user", "bucket/a=b&c=d", "bucket/?", "bucket/#frag"):
        yield case(f"path /{key[:40]}", "/" + key if key else "")
    yield case("every byte there is", b"/bucket/" + bytes(range(1, 256)))
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        yield case(f"method {method}", method=method)
        yield case(f"method {method}, token", method=method, token=True)
    for name in ("uploads", "location", "delete", "lifecycle", "versioning", "acl", "tagging"):
        yield case(f"sub-resource {name}", query=[(name, "")], method="POST" if name in ("uploads", "delete") else "GET")
    yield case("parameters out of order", query=[("prefix", "p"), ("list-type", "2"), ("delimiter", "/")])
    yield case("parameters by bytes, not by letters", query=[("b", "1"), ("B", "2"), ("a", "3"), ("_", "4"), ("~", "5")])
    yield case("parameters, one name begins another", query=[("a-b", "1"), ("a", "2"), ("a.b", "3"), ("a1", "4")])
    yield case("a parameter repeated", query=[("a", "2"), ("a", "10"), ("a", ""), ("a", "1")])
    yield case("parameters sorted encoded", query=[("é", "1"), ("z", "2"), ("%", "3"), ("0", "4")])
    yield case("names of parameters need escaping", query=[("a b", "c d"), ("a/b", "c/d"), ("a=b", "c=d"), ("ü", "ü")])
    yield case("a listing", "/bucket", query=[("list-type", "2"), ("prefix", "uploads/é & + %/"), ("delimiter", "/"),
               ("encoding-type", "url"), ("continuation-token", "1/abc+def=="), ("max-keys", "1000")])
    yield case("a part", method="PUT", body="part", query=[("uploadId", "2~abc/+="), ("partNumber", "10")])
    yield case("a body", method="PUT", body="Welcome to Amazon S3.")
    yield case("an empty body", method="PUT")
    yield case("a body in UTF-8", method="PUT", body="naïve 😀\n")
    yield case("a body that is not signed", method="PUT", body="x", unsigned=True)
    yield case("a body that is not signed, token", method="PUT", body="x", unsigned=True, token=True)
    yield case("headers", headers=[("Range", "bytes=0-9"), ("If-None-Match", "*"), ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")])
    yield case("white space in headers", headers=[("x-amz-meta-a", "  a   b \t c  "), ("x-amz-meta-b", ""), ("X-Amz-Meta-C", " ")])
    yield case("names of headers, one begins another", headers=[("x-amz-meta-a-b", "1"), ("x-amz-meta-a", "2"),
               ("x-amz-meta", "3")])
    yield case("mixed case in headers", headers=[("X-AMZ-Meta-Zeta", "Z"), ("x-amz-META-alpha", "a")])
    yield case("a header repeated", headers=[("x-amz-meta-a", "2"), ("x-amz-meta-a", "1"), ("X-Amz-Meta-A", "3")])
    yield case("a header in UTF-8", headers=[("x-amz-meta-a", "é")])
    yield case("headers that are not signed", headers=[("User-Agent", "x"), ("Expect", "100-continue"), ("Range", "bytes=1-")])
    yield case("key id with a colon", key="ci:tester")
    yield case("another region", region="eu-central-1", host="bucket.s3.eu-central-1.amazonaws.com", path="/key")
    yield case("host with dots and dashes", host="my.bucket-1.s3.us-east-1.amazonaws.com", path="/a/b")
    yield case("IPv6 host", host="[::1]:9000")
    for expires in (1, 3600, 604800):
        yield case(f"presigned for {expires} s", expires=expires)
    yield case("presigned, token", expires=600, token=True)
    yield case("presigned PUT with parameters", method="PUT", expires=600, query=[("uploadId", "a/b+c"), ("partNumber", "1")])
    yield case("presigned, odd key", "/bucket/é a+b&c/../d", expires=600)
    yield case("presigned, headers", method="PUT", expires=600, headers=[("Content-MD5", "abc=="), ("x-amz-meta-a", "b  c")])
    yield case("presigned, key id with a colon", key="ci:tester", expires=60)


def other_cases():
    def other(name, path, **more):
        return case(name, path, service="service", host="example.amazonaws.com", **more)

    for path in ("", "/", "//", "/./", "/../", "/a/..", "/a/../", "/a/../..", "/a/../../b", "/a/./b", "/a//b/", "//a//", "/a/.",
                 "/...", "/.a/", "/a..b", "/%20/", "/a%2Fb/c", "/example%20space/", "/%E1%88%B4", "/-._~0123AZaz",
                 "/a:b", "/a=b&c", "/a+b", "/(a)*!'", "/a@b,c;d$e"):
        yield other(f"path {path}", path)
    yield other("order of keys and case", "/", query=[("Param2", "value2"), ("Param1", "value1"), ("param1", "value0")])
    yield other("order of values", "/", query=[("Param1", "value2"), ("Param1", "Value1"), ("Param1", "value1")])
    yield other("parameter in UTF-8", "/", query=[("ሴ", "bar")])
    yield other("unreserved parameters", "/", query=[("-._~0123456789ABCxyz", "-._~0123456789ABCxyz")])
    yield other("trimmed headers", "/", headers=[("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')])
    yield other("headers repeated", "/", headers=[("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")])
    yield other("form", "/", method="POST", headers=[("Content-Type", "application/x-www-form-urlencoded")], body="Param1=value1")
    yield other("session token", "/", token=True)
    yield other("presigned", "/a/../b", expires=60)
    agentcore, json_type = "/code-interpreters/aws.codeinterpreter.v1", ("Content-Type", "application/json")
    session = ("x-amzn-code-interpreter-session-id", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
    arn = "/code-interpreters/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Acode-interpreter-custom%2Fmine-a1b2c3d4e5"
    traces = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
              ("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1")]

    def invoke(name, path, **more):
        return case(name, path, service="bedrock-agentcore", host="bedrock-agentcore.us-east-1.amazonaws.com", **more)

    yield invoke("Start", agentcore + "/sessions/start", method="PUT", headers=[json_type], body='{"name": "é"}', token=True)
    yield invoke("Invoke", agentcore + "/tools/invoke", method="POST", headers=[json_type, session], body='{"name": "getTask"}')
    yield invoke("Invoke, traced", agentcore + "/tools/invoke", method="POST", headers=[json_type, session, *traces], body="{}")
    yield invoke("Invoke by ARN", arn + "/tools/invoke", method="POST", headers=[json_type, session], body="{}", token=True)
    yield invoke("Get by ARN", arn + "/sessions/get", query=[("sessionId", "01ARZ3NDEKTSV4RRFFQ69G5FAV")])
    yield case("AssumeRole", "/", service="sts", region="eu-west-1", host="sts.eu-west-1.amazonaws.com", method="POST",
               headers=[("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")], token=True,
               body="Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx")


head = {"made_with": f"botocore {botocore.__version__}", "time": int(NOW.timestamp()), "secret": SECRET}
lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in [*s3_cases(), *other_cases()])
print(json.dumps(head)[:-1] + f', "cases": [\n{lines}\n]}}')
