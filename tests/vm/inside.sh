#!/usr/bin/env bash
# The first process of the machine that run.sh starts: makes a system of little more than a kernel, runs the tests as
# root and as an ordinary user with control groups of its own, and switches the machine off.
set -u
export PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 TERM=dumb CI_TEST_CGROUPS=1 CI_TEST_TIMEOUT_FACTOR=10
# Of the end-to-end tests those that depend on the kernel most, and on no clock.
export PYTEST_ADDOPTS="-k 'memory_limit or process_limit or environment_and_folder or given or stays_as'"
source=$1 build=$2 user=$3 only=$4

cd /
mkdir -p proc sys dev run tmp root home var/tmp
cp -a /etc.shared /etc 2>/dev/null
chmod 1777 tmp var/tmp
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sys sys
mount -t devtmpfs -o nosuid dev dev
mkdir -p dev/pts dev/shm
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 pts dev/pts
for name in shm:/dev/shm tmp:/tmp run:/run; do
  mount -t tmpfs -o nosuid,nodev,mode=1777 "${name%%:*}" "${name#*:}"
done
ln -s /proc/self/fd dev/fd
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup sys/fs/cgroup
ip link set lo up
exec </dev/null >/dev/ttyS0 2>&1
echo "vm: Linux $(uname -r), control groups: $(cat /sys/fs/cgroup/cgroup.controllers)"

# As systemd does it: each in a group of its own below one that holds no processes; the user owns the upper one of his.
cd /sys/fs/cgroup
echo "+memory +pids" >cgroup.subtree_control
mkdir -p system.slice/test.service user.slice/test.scope
echo "+memory +pids" >system.slice/cgroup.subtree_control
chown "$user:$user" user.slice user.slice/cgroup.{procs,threads,subtree_control} user.slice/test.scope \
  user.slice/test.scope/cgroup.{procs,threads,subtree_control}
cd /

# Where the tests work is a disk: a tmpfs shows itself under other owners (an idmapped mount) from Linux 6.3 on.
mkdir /run/tests
truncate -s 1G /tmp/disk
mkfs.ext4 -q /tmp/disk && mount -o loop,nosuid,nodev /tmp/disk /run/tests || echo "vm: no disk"

# tests WHO: CTest's own files, with time for an emulated machine.
tests() {
  mkdir -p "/run/tests/$1/home"
  find "$build/tests" -name CTestTestfile.cmake -exec grep -hE '^(add_test|set_tests_properties)\(' {} + |
    sed -E 's/TIMEOUT "[0-9]+"/TIMEOUT "600"/' >"/run/tests/$1/CTestTestfile.cmake"
}
tests root
tests user
chown -R "$user:$user" /run/tests/user

ctest=(ctest -V -R "$only" -LE "long|project" --test-dir)
(
  echo 0 >/sys/fs/cgroup/system.slice/test.service/cgroup.procs
  HOME=/run/tests/root/home TMPDIR=/run/tests/root/home exec "${ctest[@]}" /run/tests/root
) >/dev/ttyS1 2>&1 &
(
  echo 0 >/sys/fs/cgroup/user.slice/test.scope/cgroup.procs
  exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --bounding-set=-all -- \
    env HOME=/run/tests/user/home TMPDIR=/run/tests/user/home "${ctest[@]}" /run/tests/user
) >/dev/ttyS2 2>&1 &
wait
find /sys/fs/cgroup -name 'libci-*' -exec echo "vm: control group left behind: {}" ';'
sync
echo "vm: done"
echo o >/proc/sysrq-trigger
sleep 60
