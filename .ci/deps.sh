#!/usr/bin/env bash
# Installs what is missing, on Debian and Ubuntu: .ci/deps.sh GROUP…, of the groups below. Installs nothing, and needs
# no privilege, when all is there.
set -euo pipefail

declare -A groups=(
  [build]="gcc g++ cmake ninja-build pkg-config libyajl-dev libarchive-dev libcurl4-openssl-dev libexpat1-dev
          libseccomp-dev libcap-dev libssl-dev zlib1g-dev"
  [python]="python3 python3-venv python3-ipython python3-matplotlib python3-numpy python3-pandas"
  [node]="nodejs npm"
  [test]="libcmocka-dev python3-pytest python3-scipy python3-sklearn python3-openpyxl python3-pip
          python3-requests python3-httpx python3-aiohttp clang-format abigail-tools doxygen zip p7zip-full bubblewrap
          util-linux procps git iproute2 openssl curl wget"
  [bench]="python3-ipykernel python3-jupyter-client bubblewrap slirp4netns passt"
  [s3]="ceph-common ceph-mon ceph-osd radosgw swift-proxy swift-account swift-container swift-object memcached openssl"
  [bench_s3]="rclone s3cmd python3-boto3 curl time"
  [full]="valgrind clang libclang-rt-dev"
  [vm]="qemu-system-x86 busybox-static cpio iproute2"
)

missing=()
for group in "$@"; do
  [ -n "${groups[$group]:-}" ] || { echo "deps.sh: no group '$group'; there are: ${!groups[*]}" >&2; exit 2; }
  # Node is often there from elsewhere, with an npm of its own beside which the distribution's cannot be.
  if [ "$group" = node ] && command -v node >/dev/null && command -v npm >/dev/null; then continue; fi
  for package in ${groups[$group]}; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
  done
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "deps.sh: this system has no apt-get; install what these Debian packages hold, then try again: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "deps.sh: packages are missing and there is no sudo; as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
  [ -t 0 ] || as_root=(sudo -n)
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -q &&
       "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
     } >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  echo "deps.sh: apt-get could not install: ${missing[*]}" >&2
  exit 1
fi
