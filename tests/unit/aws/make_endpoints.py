#!/usr/bin/env python3
"""Writes data/endpoints.json: settings, and which region and URL botocore makes of them. Not run by the tests, for it needs
botocore:

    make_endpoints.py > data/endpoints.json
"""
import json
import os
import tempfile

import botocore
import botocore.exceptions
import botocore.session

CONFIG = """
[default]
region = eu-central-1
[profile url]
region = ap-south-1
endpoint_url = http://profile:1
[profile services]
region = ap-south-1
endpoint_url = http://profile:1
services = mine
[services mine]
s3 =
  endpoint_url = http://services:2/prefix
bedrock_agentcore =
  endpoint_url = http://agent:3
[profile ignoring]
region = ap-south-1
endpoint_url = http://profile:1
ignore_configured_endpoint_urls = true
[profile dual]
region = eu-west-1
use_dualstack_endpoint = true
[profile s3dual]
region = eu-west-1
s3 =
  use_dualstack_endpoint = true
[profile fips]
region = us-east-2
use_fips_endpoint = true
[profile both]
region = us-east-2
use_fips_endpoint = true
use_dualstack_endpoint = true
[profile path]
region = eu-west-1
s3 =
  addressing_style = path
[profile virtual]
region = eu-west-1
endpoint_url = http://localhost:8000
s3 =
  addressing_style = virtual
[profile none]
output = json
"""

CASES = [
    {},
    {"env": {"AWS_DEFAULT_REGION": "us-west-2"}},
    {"env": {"AWS_DEFAULT_REGION": "us-west-2"}, "region": "sa-east-1"},
    {"profile": "url"},
    {"profile": "services"},
    {"profile": "services", "service": "bedrock-agentcore"},
    {"profile": "services", "service": "sts"},
    {"profile": "services", "env": {"AWS_ENDPOINT_URL": "https://env:4/"}},
    {"profile": "services", "env": {"AWS_ENDPOINT_URL": "https://env:4", "AWS_ENDPOINT_URL_S3": "https://s3env:5/x/"}},
    {"profile": "services", "env": {"AWS_ENDPOINT_URL_STS": "https://stsenv"}, "service": "sts"},
    {"service": "bedrock-agentcore", "env": {"AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": "http://127.0.0.1:6"}},
    {"profile": "services", "url": "http://option:7", "env": {"AWS_ENDPOINT_URL_S3": "https://s3env"}},
    {"profile": "services", "env": {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL_S3": "https://s3env"}},
    {"profile": "ignoring", "env": {"AWS_ENDPOINT_URL_S3": "https://s3env"}},
    {"profile": "ignoring", "url": "http://option:7"},
    *({"profile": profile, "service": service} for profile in ("dual", "fips", "both")
      for service in ("s3", "sts", "bedrock-agentcore")),
    {"profile": "s3dual"},
    {"profile": "s3dual", "service": "sts"},
    {"profile": "dual", "env": {"AWS_USE_DUALSTACK_ENDPOINT": "false"}},
    {"env": {"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"}, "region": "us-gov-west-1"},
    *({"region": region, "service": service} for service in ("s3", "sts", "bedrock-agentcore")
      for region in ("us-east-1", "eu-west-3", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1",
                     "us-isof-south-1", "eu-isoe-west-1", "eusc-de-east-1", "xx-new-1")),
    *({"region": region, "env": {"AWS_USE_DUALSTACK_ENDPOINT": "true"}} for region in ("cn-north-1", "us-gov-east-1")),
    {"profile": "url", "service": "bedrock-agentcore"},
    {"profile": "services", "service": "bedrock-agentcore", "url": "http://option:7"},
    {"profile": "services", "service": "bedrock-agentcore", "env": {"AWS_ENDPOINT_URL": "https://env:4/"}},
    {"profile": "services", "service": "bedrock-agentcore",
     "env": {"AWS_ENDPOINT_URL": "https://env:4", "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": "https://agentenv:5/x/"}},
    {"profile": "services", "service": "bedrock-agentcore", "env": {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}},
    *({"service": "bedrock-agentcore", "region": region, "env": {name: "true" for name in names}}
      for region in ("us-east-1", "ap-southeast-5", "us-gov-west-1", "cn-north-1")
      for names in (("AWS_USE_DUALSTACK_ENDPOINT",), ("AWS_USE_FIPS_ENDPOINT",),
                    ("AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"))),
    *({"bucket": bucket, "profile": profile} for profile in (None, "path", "virtual", "url", "dual")
      for bucket in ("bucket", "my-bucket-1", "my.bucket", "abc")),
    {"bucket": "bucket", "url": "http://127.0.0.1:9000"},
    {"bucket": "bucket", "url": "http://[::1]:9000/x"},
    {"bucket": "bucket", "url": "http://minio:9000"},
    {"bucket": "bucket", "region": "cn-north-1"},
]


class Caught(Exception):
    pass


def catch(request, **_):
    raise Caught(request.url)


def resolve(case):
    service = case.get("service", "s3")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(case.get("env", {}), AWS_S3_US_EAST_1_REGIONAL_ENDPOINT="regional")
    session = botocore.session.Session(profile=case.get("profile"))
    session.set_config_variable("config_file", config.name)
    session.set_config_variable("credentials_file", "/dev/null")
    client = session.create_client(service, region_name=case.get("region"), endpoint_url=case.get("url"),
                                   aws_access_key_id="id", aws_secret_access_key="secret")
    wanted = {"region": client.meta.region_name}
    if "bucket" in case:
        client.meta.events.register("before-send.s3.HeadObject", catch)
        try:
            client.head_object(Bucket=case["bucket"], Key="KEY")
        except Caught as caught:
            wanted["url"] = caught.args[0].removesuffix("/KEY")
    else:
        wanted["url"] = client.meta.endpoint_url
    return wanted


with tempfile.NamedTemporaryFile("w") as config:
    config.write(CONFIG)
    config.flush()
    lines = ",\n".join(json.dumps({"given": case, "wanted": resolve(case)}) for case in
                       [{key: value for key, value in case.items() if value is not None} for case in CASES])
print(f'{{"made_with": "botocore {botocore.__version__}", "config": {json.dumps(CONFIG)}, "cases": [\n{lines}\n]}}')
