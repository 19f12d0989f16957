#!/usr/bin/env python3
"""Writes data/credentials.json: environments and files, and the credentials botocore finds with them, without any service to
ask. Not run by the tests, for it needs botocore:

    make_credentials.py > data/credentials.json
"""
import json
import os
import tempfile

import botocore
import botocore.session

KEYS = {"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "SECENV"}
CREDENTIALS = """
[default]
aws_access_key_id = AKDEF
aws_secret_access_key = SECDEF
[x]
aws_access_key_id = AKX
aws_secret_access_key = SEC/X+=
aws_session_token = TOKX
[half]
aws_access_key_id = AKHALF
[with process]
aws_access_key_id = AKWP
aws_secret_access_key = SECWP
"""
CONFIG = r"""
[default]
region = r
[profile x]
region = r
aws_access_key_id = AKCONFIG
[profile config]
aws_access_key_id = AKC
aws_secret_access_key = SECC
aws_session_token = TOKC
[profile regiononly]
region = r
[profile process]
credential_process = /bin/sh -c 'echo "{\"Version\": 1, \"AccessKeyId\": \"AKP\", \"SecretAccessKey\": \"SECP\", \"SessionToken\": \"TOKP\"}"'
[profile "with process"]
credential_process = /bin/false
[profile processandkeys]
credential_process = printf '{"Version": 1, "AccessKeyId": "AKPK", "SecretAccessKey": "SECPK"}'
aws_access_key_id = AKNOT
aws_secret_access_key = SECNOT
[profile words]
credential_process = printf %s%s%s%s '{"Version": 1, ' '"AccessKeyId": "'"AKW"'", ' "\"SecretAccessKey\": \"a'b\", " '"Expiration": "2199-01-01T00:00:00Z"}'
[profile version]
credential_process = printf '{"Version": 2, "AccessKeyId": "AKP", "SecretAccessKey": "SECP"}'
[profile nokeys]
credential_process = printf '{"Version": 1}'
[profile nojson]
credential_process = echo hello
[profile fails]
credential_process = sh -c 'echo broken >&2; exit 3'
[profile noprogram]
credential_process = /nonexistent/program
[profile openquote]
credential_process = printf 'x
[profile circle]
role_arn = arn:aws:iam::1:role/r
source_profile = circle2
[profile circle2]
role_arn = arn:aws:iam::1:role/r
source_profile = circle
[profile itself]
role_arn = arn:aws:iam::1:role/r
source_profile = itself
[profile nosource]
role_arn = arn:aws:iam::1:role/r
[profile twosources]
role_arn = arn:aws:iam::1:role/r
source_profile = x
credential_source = Environment
[profile missingsource]
role_arn = arn:aws:iam::1:role/r
source_profile = nobody
[profile emptysource]
role_arn = arn:aws:iam::1:role/r
source_profile = regiononly
[profile oddsource]
role_arn = arn:aws:iam::1:role/r
credential_source = Somewhere
[profile envsource]
role_arn = arn:aws:iam::1:role/r
credential_source = Environment
[profile webnotoken]
role_arn = arn:aws:iam::1:role/r
web_identity_token_file = /nonexistent/token
"""

CASES = [
    {},
    {"env": KEYS},
    {"env": KEYS | {"AWS_SESSION_TOKEN": "TOKENV"}},
    {"env": KEYS | {"AWS_SESSION_TOKEN": ""}},
    {"env": KEYS | {"AWS_PROFILE": "x"}},
    {"env": KEYS | {"AWS_CREDENTIAL_EXPIRATION": "2199-01-01T00:00:00Z"}},
    {"env": KEYS, "profile": "x"},
    {"env": {"AWS_PROFILE": "config"}, "profile": "x"},
    {"env": {"AWS_ACCESS_KEY_ID": "AKENV"}},
    {"env": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}},
    *({"env": {"AWS_PROFILE": name}} for name in ("default", "x", "config", "with process", "process", "processandkeys",
                                                  "words", "nobody", "half", "regiononly", "version",
                                                  "nokeys", "nojson", "fails", "noprogram", "openquote", "circle", "itself",
                                                  "nosource", "twosources", "missingsource", "emptysource", "oddsource",
                                                  "envsource", "webnotoken")),
    {"env": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}},
    {"env": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token"}},
    {"env": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token"}, "profile": "x"},
    {"config": "", "credentials": ""},
    {"config": "[default\n", "credentials": ""},
    {"config": "", "credentials": "[default]\nnonsense\n"},
    {"config": "[profile default]\naws_access_key_id = A\naws_secret_access_key = B\n", "credentials": ""},
    {"config": "[default]\naws_access_key_id = A\naws_secret_access_key = B\n", "credentials": "[default]\naws_access_key_id = C\n"},
    {"config": "[default]\naws_access_key_id = A\n", "credentials": "[default]\naws_secret_access_key = B\n"},
]


def find(case):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(case.get("env", {}), AWS_EC2_METADATA_DISABLED="true")
    with tempfile.TemporaryDirectory() as folder:
        for name, variable, text in (("config", "AWS_CONFIG_FILE", CONFIG),
                                     ("credentials", "AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS)):
            with open(f"{folder}/{name}", "w") as file:
                file.write(case.get(name, text))
            os.environ[variable] = f"{folder}/{name}"
        try:
            credentials = botocore.session.Session(profile=case.get("profile")).get_credentials()
            frozen = credentials and credentials.get_frozen_credentials()
        except Exception as error:
            return {"fails": type(error).__name__}
    return {"id": frozen.access_key, "secret": frozen.secret_key, "token": frozen.token} if frozen else None


lines = ",\n".join(json.dumps({"given": case, "wanted": find(case)}) for case in CASES)
print(json.dumps({"made_with": f"botocore {botocore.__version__}", "config": CONFIG, "credentials": CREDENTIALS})[:-1] +
      f', "cases": [\n{lines}\n]}}')
