#!/usr/bin/env bash
# Runs suites that are built in a machine of its own: tests/vm/run.sh FOLDER BUILD COUNTS [REGEX]. The machine is
# emulated, has Debian's kernel, control groups of version 2 only, and of this system nothing but /usr, /etc, BUILD and
# the sources, which it can only read. FOLDER keeps kernel and logs; COUNTS gets the counts (report.py); REGEX chooses
# programs. 77: cannot be done here; the last line says why. CI_VM_ACCEL=tcg emulates even where KVM works.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: tests/vm/run.sh FOLDER BUILD COUNTS [REGEX]" >&2; exit 2; }
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
mkdir -p "$1"
folder=$(cd "$1" && pwd -P)
build=$(cd "$2" && pwd -P)
counts=$3
only=${4:-'^(security_(walls|limits|host_files)|test_os_.*|test_supervisor_.*|python_(python|shell|rootfs))$'}
minutes=15
user=61234
skip() { echo "skipped: $*"; exit 77; }

[ "$(uname -m)" = x86_64 ] || skip "the machine is emulated for x86-64 alone"
"$top/.ci/deps.sh" vm
package=${CI_VM_KERNEL:-$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9]\)/\1/p')}
[ -n "$package" ] || skip "this distribution has no package linux-image-amd64; CI_VM_KERNEL names another"
kernel=$folder/$package
if [ ! -d "$kernel" ]; then
  rm -rf "$folder/download"
  mkdir -p "$folder/download/files"
  (cd "$folder/download" && apt-get download -q "$package" >"$folder/download.log" 2>&1) ||
    { cat "$folder/download.log"; skip "the package $package cannot be had"; }
  dpkg-deb --fsys-tarfile "$folder/download/$package"_*.deb | tar -C "$folder/download/files" -x --wildcards \
    './boot/vmlinuz-*' '*/kernel/drivers/virtio/*.ko' '*/kernel/drivers/block/loop.ko' '*/kernel/fs/*.ko' \
    '*/kernel/net/9p/*.ko' '*/kernel/lib/*.ko' '*/kernel/crypto/crc*.ko'
  mv "$folder/download/files" "$kernel"
  rm -rf "$folder/download"
fi

# The first file system: busybox and the modules for the shared folders, for overlays, and for a disk.
modules="virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci netfs fscache 9pnet 9pnet_virtio 9p
  overlay loop crc16 crc32c_generic mbcache jbd2 ext4"
rm -rf "$folder/first"
mkdir -p "$folder/first/bin" "$folder/first/new" "$folder/first/modules"
for module in $modules; do # what is not there is built in
  find "$kernel" -name "$module.ko" -exec cp {} "$folder/first/modules" ';'
done
cp "$(command -v busybox)" "$folder/first/bin/busybox"
cat >"$folder/first/init" <<END
#!/bin/busybox sh
b=/bin/busybox
if [ "\$1" = probe ]; then \$b echo "vm: alive"; \$b reboot -f; fi
# Which needs which differs from one release of a kernel to the next: what cannot be loaded yet, can be a round later.
for round in 1 2 3 4 5; do
  for module in /modules/*; do
    if \$b insmod "\$module" 2>/dev/null; then \$b rm "\$module"; fi
  done
done
for module in /modules/*; do [ ! -e "\$module" ] || echo "\$module: cannot be loaded"; done
\$b mount -t tmpfs -o mode=755 root /new
for name in bin sbin lib lib64; do \$b ln -s "usr/\$name" "/new/\$name"; done
share() {
  \$b mkdir -p "/new\$2" && \$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose "\$1" "/new\$2"
}
share usr /usr && share etc /etc.shared && share source "$top" && share build "$build" &&
  exec \$b switch_root /new /usr/bin/bash "$top/tests/vm/inside.sh" "$top" "$build" "$user" "$only"
\$b echo "vm: the shared folders cannot be mounted"
\$b reboot -f
END
chmod +x "$folder/first/init"
(cd "$folder/first" && find . | cpio -o -H newc --quiet) | gzip -1 >"$folder/first.cpio.gz"

shares=()
share() {
  shares+=(-virtfs "local,path=$2,mount_tag=$1,security_model=none,readonly=on,multidevs=remap,id=$1")
}
share usr /usr
share etc /etc
share source "$top"
share build "$build"

# machine ACCELERATOR CPU SECONDS [ARGUMENT-OF-INIT] OPTION…
machine() {
  timeout -k 10 "$3" qemu-system-x86_64 -accel "$1" -cpu "$2" -smp 2 -m 4G -nodefaults -display none -no-reboot \
    -kernel "$kernel"/boot/vmlinuz-* -initrd "$folder/first.cpio.gz" \
    -append "console=ttyS0 panic=-1 loglevel=4 mitigations=off no_timer_check -- $4" "${@:5}" </dev/null
}

# KVM in a machine that is itself virtual may open and yet never come to anything: what counts is a kernel that boots.
# Emulated, a plain processor computes about twice as fast as one with everything.
rm -f "$folder"/probe.log
accelerator=${CI_VM_ACCEL:-}
cpu=Nehalem
if [ -z "$accelerator" ] && [ -w /dev/kvm ] &&
  machine kvm host 20 probe -serial "file:$folder/probe.log" >"$folder/probe-qemu.log" 2>&1 &&
  grep -q -a '^vm: alive' "$folder/probe.log"; then
  accelerator=kvm
fi
[ "$accelerator" != kvm ] || cpu=host
rm -f "$folder"/console.log "$folder"/vm.log "$folder"/vm-user.log
machine "${accelerator:-tcg}" "$cpu" $((minutes * 60)) "" -device virtio-rng-pci "${shares[@]}" \
  -serial "file:$folder/console.log" -serial "file:$folder/vm.log" -serial "file:$folder/vm-user.log" ||
  echo "The machine was stopped after $minutes minutes"
grep -a -E '^vm: |panic' "$folder/console.log" || true

failed=0
# report TITLE WHO
report() {
  echo "-- $1"
  /usr/bin/python3 "$top/tests/report.py" --who "$2" --log "$folder/report-$2.log" --counts "$counts" \
    --expected "$top/tests/expected-skips.txt" <"$folder/$2.log" || failed=1
}
report "as root" vm
report "as an ordinary user" vm-user
if grep -q -a 'left behind' "$folder/console.log" || ! grep -q -a '^vm: done' "$folder/console.log"; then
  echo "The machine did not come to a good end; all it said: $folder/console.log"
  echo 0 1 0 >>"$counts"
  failed=1
fi
exit "$failed"
