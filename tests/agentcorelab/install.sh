#!/usr/bin/env bash
# Puts AWS's own clients and what the stub is made of into a folder outside the checkout: install.sh FOLDER. Does nothing when
# they are there. Ends with 4 where no package registry is reached.
set -euo pipefail

npm_packages=(@smithy/signature-v4@5.7.5 @smithy/eventstream-codec@4.5.2 @aws-crypto/sha256-js@5.2.0
              @aws-sdk/client-bedrock-agentcore@3.1141.0)
pip_packages=(botocore==1.44.8 jmespath==1.1.0 python-dateutil==2.9.0.post0 six==1.17.0 urllib3==2.8.0)

folder=${1:?usage: install.sh FOLDER}
wanted="${npm_packages[*]} ${pip_packages[*]}"
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
[ "$(cat "$folder/versions" 2>/dev/null || true)" != "$wanted" ] || exit 0

fresh=$folder.new
rm -rf "$fresh"
mkdir "$fresh"
# quietly COMMAND…: tells what it said when it fails, and whether that was the network's fault.
quietly() {
  "$@" >"$fresh/log" 2>&1 </dev/null && return
  tail -n 5 "$fresh/log" >&2
  ! grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|Failed to establish a new connection|ConnectTimeout' \
    "$fresh/log" || exit 4
  exit 1
}
quietly npm install --prefix "$fresh" --cache "$fresh/npm" --ignore-scripts --no-audit --no-fund --fetch-retries=1 \
  --fetch-retry-mintimeout=1000 "${npm_packages[@]}"
quietly /usr/bin/python3 -m pip install --target "$fresh/python" --no-deps --no-cache-dir --retries 1 "${pip_packages[@]}"
rm -rf "$fresh/npm" "$fresh/log"
echo "$wanted" >"$fresh/versions"
rm -rf "$folder"
mv "$fresh" "$folder"
