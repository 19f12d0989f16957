#!/usr/bin/env python3
"""Writes data/ini.json: settings files, and what botocore reads in them. Not run by the tests, for it needs botocore:

    make_ini.py > data/ini.json
"""
import json
import tempfile

import botocore
import botocore.configloader
import botocore.exceptions

FILES = {
    "profiles": "[default]\nregion = us-east-1\n[profile x]\nregion=eu-west-1\n\n[profile y]\n  region : ap-south-1\n",
    "quoted profile": "[profile \"two words\"]\na = 1\n[profile 'b']\na = 2\n[profile   c  ]\na = 3\n",
    "comments": "# first\n[default]\n; second\nregion = a ; no comment\n  # indented\noutput = b # none either\n#[profile z]\n",
    "CRLF": "[default]\r\nregion = us-east-1\r\ns3 =\r\n  addressing_style = path\r\n\r\n[profile x]\r\na = b\r\n",
    "nested": "[profile x]\nservices = one\ns3 =\n  addressing_style = path\n  endpoint_url = http://127.0.0.1:9/\nregion = r\n",
    "nested, comments and empty lines": "[default]\ns3 =\n\n  # of mine\n  a = 1\n\n  ; too\n\tb=2 = 3\nc = 4\n",
    "nested, deeper": "[default]\n  s3 =\n      a = 1\n    b = 2\n  c = 3\n",
    "continued": "[default]\ncredential_process = tool\n  --flag\n\n    value\nregion = r\n",
    "empty values": "[default]\na =\nb=\nc = \n",
    "keys in capitals": "[default]\nAWS_Access_Key_ID = AKID\nRegion = r\n",
    "equals signs": "[default]\naws_secret_access_key = a/b+c==\nurl = http://h:1/?a=b\nx : y = z\n",
    "white space": "  [default]  \n\tregion\t=\tr \t\nname with spaces =  v  v \n",
    "brackets": "[default] behind\na = [b]\n[profile a]b]\nc = d\n",
    "sections": "[sso-session s]\nsso_region = r\nsso_start_url = https://h/#/\n[services v]\ns3 =\n  endpoint_url = u\n[preview]\na = 1\n",
    "section of nothing": "[default]\n[profile x]\n",
    "long value": "[default]\naws_session_token = " + "t" * 5000 + "\n",
    "no last new line": "[default]\nregion = r",
    "UTF-8": "[profile é]\nname = naïve 日本\n",
    "empty": "",
    "comments alone": "# nothing\n",
    "key before a section": "a = b\n[default]\n",
    "line of nothing": "[default]\nnonsense\n",
    "no key": "[default]\n= v\n",
    "nested line of nothing": "[default]\ns3 =\n  nonsense\n",
    "section that does not end": "[default\na = b\n",
}


def read(text):
    with tempfile.NamedTemporaryFile("w", newline="") as file:
        file.write(text)
        file.flush()
        try:
            return botocore.configloader.load_config(file.name)
        except botocore.exceptions.ConfigParseError:
            return None


def plain(name, sections):
    """The sections of a kind, by the names that cii_ini_get() knows them by."""
    return {(f"{name} {key}" if name != "profile" or key != "default" else key): value for key, value in sections.items()}


cases = []
for name, text in FILES.items():
    found = read(text)
    wanted = None
    if found is not None:
        wanted = plain("profile", found.pop("profiles"))
        wanted |= plain("sso-session", found.pop("sso_sessions", {})) | plain("services", found.pop("services", {}))
        wanted |= {key: value for key, value in found.items() if isinstance(value, dict) and not key.startswith("_")}
    cases.append({"name": name, "text": text, "sections": wanted})
lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases)
print(f'{{"made_with": "botocore {botocore.__version__}", "cases": [\n{lines}\n]}}')
