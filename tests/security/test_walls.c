/* What code in a sandbox cannot do: system calls, privileges, the host's files, the network, more than its limits. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static int make_session(void **state) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.memory_bytes = 256u << 20;
    options.workspace_bytes = 64u << 20;
    options.workspace_inodes = 2000;
    options.process_count = 40;
    options.timeout_ms = 300000; /* emulated machines are slow */
    *state = open_session(&options);
    return 0;
}

static int close_session(void **state) {
    ci_session_close(*state);
    return 0;
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 20);
    assert_non_null(file);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static void refused_system_calls_fail_with_EPERM(void **state) {
    char *code = read_file(GUEST_DIR "/guest_syscalls.py");
    ci_result *result = run_code(*state, code);
    char *text = strdup(ci_result_stdout(result, NULL)), *rest = NULL;
    size_t refused = 0, allowed = 0;
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char kind[16], name[64], got[32];
        assert_int_equal(sscanf(line, "%15s %63s %31s", kind, name, got), 3);
        const char *wanted = strcmp(kind, "allowed") == 0   ? "worked"
                             : strcmp(kind, "unknown") == 0 ? "ENOSYS"
                                                            : "EPERM";
        if (strcmp(got, wanted) != 0)
            fail_msg("%s %s: %s, not %s", kind, name, got, wanted);
        *(strcmp(kind, "refused") == 0 ? &refused : &allowed) += 1;
    }
    assert_true(refused >= 1000);
    assert_true(allowed >= 8);
    free(text);
    free(code);
    ci_result_free(result);
}

static void commands_have_the_same_walls_as_kernels(void **state) {
    assert_prints(*state,
                  "unshare -U true 2>/dev/null; echo $?; mount -t tmpfs none /tmp 2>/dev/null && echo mounted; "
                  "chroot /tmp true 2>/dev/null && echo chrooted; true",
                  "1\n");
}

static void there_are_no_privileges(void **state) {
    assert_prints(*state,
                  "grep -E '^Cap' /proc/self/status | grep -v 0000000000000000; "
                  "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; id -u",
                  "NoNewPrivs:1\nSeccomp:2\n1000\n");
}

static void the_system_cannot_be_written(void **state) {
    static const char *const places[] = {
        "/",    "/usr", "/usr/bin", "/etc", "/opt/libci", "/opt/libci/guest", "/dev", "/proc/sys/kernel",
        "/sys", "/run", "/var",     "/mnt", "/home"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char command[256];
        snprintf(command, sizeof command, "touch %s/ci-test 2>/dev/null && echo %s can be written; true", places[i],
                 places[i]);
        assert_prints(*state, command, "");
    }
    assert_prints(*state, "echo x > /proc/sys/kernel/core_pattern && echo written; true", "");
}

static void the_interpreter_cannot_be_changed(void **state) {
    ci_result *result = run_code(*state, "import os\n"
                                         "def attempt(what):\n"
                                         "    try: what(); print('worked')\n"
                                         "    except OSError as e: print(e.errno in (1, 13, 26, 30))\n"
                                         "attempt(lambda: os.chmod('/proc/self/exe', 0o777))\n"
                                         "attempt(lambda: open('/proc/self/exe', 'r+b'))\n"
                                         "attempt(lambda: os.chmod(os.path.realpath('/usr/bin/python3'), 0o777))\n"
                                         "attempt(lambda: os.remove('/opt/libci/guest/libci_guest.so'))\n");
    assert_string_equal(ci_result_stdout(result, NULL), "True\nTrue\nTrue\nTrue\n");
    ci_result_free(result);
}

static void the_init_is_out_of_reach(void **state) {
    assert_prints(*state,
                  "for f in mem environ maps fd/0 root cwd exe; do cat /proc/1/$f > /dev/null 2>&1 && echo $f; "
                  "done; kill -9 1; kill -STOP 1; sleep 0.1; echo here",
                  "here\n");
}

static void the_hosts_files_are_not_there(void **state) {
    static const char *const places[] = {"/root/.",      "/etc/shadow", "/etc/machine-id", "/var/lib",
                                         "/boot",        "/srv",        "/etc/ssh",        "/var/run/docker.sock",
                                         "/run/systemd", "/dev/mem",    "/dev/kvm",        "/dev/fuse",
                                         "/dev/net",     "/dev/sda",    "/dev/vda",        "/sys/kernel"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char command[128];
        snprintf(command, sizeof command, "test -e %s && echo %s; true", places[i], places[i]);
        assert_prints(*state, command, "");
    }
}

static void the_hosts_environment_is_not_there(void **state) {
    setenv("CI_TEST_SECRET", "very-secret", 1);
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    ci_session *session = open_session(&options);
    assert_prints(session, "env | grep -c -i secret; cat /proc/*/environ 2>/dev/null | grep -c very-secret", "0\n0\n");
    ci_session_close(session);
    (void)state;
}

static void the_hosts_umask_does_not_matter(void **state) {
    mode_t before = umask(0777);
    ci_session *session = open_session(NULL);
    umask(before);
    assert_prints(session, "umask; echo x > new; mkdir folder; stat -c %a new folder", "0022\n644\n755\n");
    ci_result *result = run_code(session, "import os\nprint(oct(os.umask(0)), sorted(os.listdir('/opt/libci')))");
    assert_string_equal(ci_result_stdout(result, NULL), "0o22 ['bin', 'guest', 'network']\n");
    ci_result_free(result);
    ci_session_close(session);
    (void)state;
}

static void the_hosts_processes_are_not_there(void **state) {
    ci_result *result =
        run_code(*state, "import os\nprint(sorted(int(p) for p in os.listdir('/proc') if p.isdigit())[0], "
                         "os.getppid(), len([p for p in os.listdir('/proc') if p.isdigit()]) < 6)");
    assert_string_equal(ci_result_stdout(result, NULL), "1 1 True\n");
    ci_result_free(result);
}

static void kernels_hold_no_descriptors_but_their_own(void **state) {
    assert_prints(*state, "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "); /* 3: ls reads the folder */
    ci_session *fresh = open_session(NULL);
    ci_result *result = run_code(fresh, "import os\n"
                                        "for fd in os.listdir('/proc/self/fd'):\n"
                                        "    try: target = os.readlink('/proc/self/fd/' + fd)\n"
                                        "    except OSError: continue\n"
                                        "    if not target.startswith(('pipe:', 'socket:', '/dev/null', '/proc/')):\n"
                                        "        print(fd, target)\n");
    assert_string_equal(ci_result_stdout(result, NULL), "");
    ci_result_free(result);
    ci_session_close(fresh);
}

static void without_network_not_even_a_name_is_asked_for(void **state) {
    ci_result *result = run_code(
        *state, "import socket, os\n"
                "def attempt(what):\n"
                "    try: what(); print('worked')\n"
                "    except OSError as e: print(type(e).__name__ if isinstance(e, socket.gaierror) else e.errno)\n"
                "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                "attempt(lambda: udp.sendto(b'x' * 32, ('8.8.8.8', 53)))\n"
                "attempt(lambda: udp.sendto(b'x' * 32, ('169.254.169.254', 53)))\n"
                "attempt(lambda: socket.create_connection(('1.1.1.1', 443), 2))\n"
                "attempt(lambda: socket.getaddrinfo('example.com', 80))\n"
                "print(os.path.exists('/etc/resolv.conf'), [n for _, n in socket.if_nameindex()])\n");
    assert_string_equal(ci_result_stdout(result, NULL), "101\n101\n101\ngaierror\nFalse ['lo']\n");
    ci_result_free(result);
}

static void loopback_works_and_is_the_sessions_own(void **state) {
    ci_result *result = run_code(*state, "import socket\ns = socket.create_server(('127.0.0.1', 8123))\n"
                                         "c = socket.create_connection(('127.0.0.1', 8123)); print('connected')");
    assert_string_equal(ci_result_stdout(result, NULL), "connected\n");
    ci_result_free(result);
    ci_session *other = open_session(NULL);
    result = run_code(other, "import socket\ntry: socket.create_connection(('127.0.0.1', 8123), 2)\n"
                             "except OSError as e: print(e.errno)");
    assert_string_equal(ci_result_stdout(result, NULL), "111\n");
    ci_result_free(result);
    ci_session_close(other);
}

static void sessions_see_nothing_of_each_other(void **state) {
    ci_session *other = open_session(NULL);
    ci_result_free(run_code(*state,
                            "secret = 42; open('/workspace/mine', 'w').write('x'); open('/tmp/mine', 'w').write('x')"
                            "; open('/dev/shm/mine', 'w').write('x'); open('/home/user/mine', 'w').write('x')"));
    ci_result *result = run_code(other, "import os, glob\nprint('secret' in globals(), "
                                        "glob.glob('/*/mine') + glob.glob('/*/*/mine') + glob.glob('/workspace/*'))");
    assert_string_equal(ci_result_stdout(result, NULL), "False []\n");
    ci_result_free(result);
    ci_session_close(other);
}

static void forked_interpreters_do_not_share_randomness(void **state) {
    char *first = NULL;
    for (int i = 0; i < 3; i++) {
        ci_session *session = open_session(NULL);
        ci_result *result = run_code(session, "import random, uuid, ssl, os\nprint(random.random(), uuid.uuid4(), "
                                              "ssl.RAND_bytes(8), os.urandom(8))");
        if (first != NULL)
            assert_string_not_equal(first, ci_result_stdout(result, NULL));
        free(first);
        first = strdup(ci_result_stdout(result, NULL));
        ci_result_free(result);
        ci_session_close(session);
    }
    free(first);
    (void)state;
}

static void memory_is_limited_and_the_session_lives(void **state) {
    ci_result *result = run_code(*state, "blocks = []\nwhile True: blocks.append(bytearray(16 << 20))");
    int32_t outcome = ci_result_outcome(result);
    /* By cgroup the kernel is killed; by rlimit it gets a MemoryError. */
    if (outcome == CI_OUTCOME_MEMORY_LIMIT) {
        assert_non_null(strstr(ci_result_error_message(result), "256 MiB"));
        assert_int_equal(ci_result_exit_code(result), 137);
        assert_true(ci_result_state_lost(result));
    } else {
        assert_string_equal(ci_result_error_name(result), "MemoryError");
    }
    ci_result_free(result);
    result = run_code(*state, "blocks = None; print('alive')");
    assert_string_equal(ci_result_stdout(result, NULL), "alive\n");
    ci_result_free(result);
}

static void processes_are_limited_and_the_session_lives(void **state) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    ci_result *result = NULL;
    options.timeout_ms = 3000;
    assert_int_equal(ci_execute_command(*state, "bomb() { bomb | bomb & }; bomb; sleep 30", &options, &result, NULL),
                     CI_OK);
    ci_result_free(result);
    assert_prints(*state, "echo alive", "alive\n");
    assert_prints(*state, "until [ $(ls -d /proc/[0-9]* | wc -l) -lt 20 ]; do sleep 0.1; done; echo few", "few\n");
}

/* What init keeps for a slow host is memory outside the session's limit. */
static void a_kernel_that_floods_its_init_is_ended(void **state) {
    (void)state;
    const char *code = "import os, socket, stat, struct\n"
                       "open('new', 'w').write(str(os.getpid())); os.rename('new', 'pid')\n"
                       "def field(key, data): return struct.pack('<BI', key, len(data)) + data\n"
                       "item = field(20, b'text/x') + field(21, bytes(1 << 19))\n"
                       "item = struct.pack('<IBBH', len(item), 17, 0, 0) + item\n"
                       "for fd in map(int, os.listdir('/proc/self/fd')):\n"
                       "    try: channel = socket.socket(fileno=os.dup(fd))\n"
                       "    except OSError: continue\n"
                       "    for i in range(200): channel.sendall(item)\n"
                       "os.write(1, b'flooded')\n";
    char folder[] = "/tmp/ci-folder-XXXXXX", ended[64], command[64];
    assert_non_null(mkdtemp(folder));
    snprintf(ended, sizeof ended, "%s/ended", folder);
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.host_dir = folder;
    ci_session *session = open_session(&options); /* whose kernel has no sockets but its own */
    ci_call *call = NULL;
    ci_result *result = NULL;
    assert_prints(session,
                  "(until [ -s pid ]; do sleep 0.02; done; while [ -d /proc/$(cat pid) ]; do sleep 0.02; done;"
                  " : > ended) > /dev/null 2>&1 & echo watched",
                  "watched\n");
    assert_int_equal(ci_execute_code_start(session, code, SIZE_MAX, NULL, &call, NULL), CI_OK);
    ci_call_process(call);
    while (access(ended, F_OK) < 0) /* a host with other things to do */
        usleep(10000);
    assert_int_equal(ci_call_wait(call, 300000), CI_CALL_DONE);
    assert_int_equal(ci_call_take_result(call, &result, NULL), CI_OK);
    ci_call_free(call);
    if (ci_result_outcome(result) != CI_OUTCOME_SIGNAL && ci_result_outcome(result) != CI_OUTCOME_LOST)
        fail_msg("%s: %s", ci_outcome_name(ci_result_outcome(result)), ci_result_traceback(result));
    assert_string_equal(ci_result_stdout(result, NULL), "");
    ci_result_free(result);
    assert_prints(session, "echo alive", "alive\n");
    result = run_code(session, "print('alive')");
    assert_string_equal(ci_result_stdout(result, NULL), "alive\n");
    ci_result_free(result);
    ci_session_close(session);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* The limit is of each process that runs a user's code, not of init, which has pipes for all of them. */
static void few_descriptors_are_enough_for_kernels_and_many_tasks(void **state) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.open_file_count = 32;
    ci_session *session = open_session(&options);
    for (int i = 0; i < 40; i++)
        assert_prints(session, "sleep 100 & echo begun", "begun\n");
    assert_prints(session, "ulimit -Hn", "32\n");
    ci_result *result = run_code(session, "import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
                                          "files = []\n"
                                          "try:\n"
                                          "    while True: files.append(open('/dev/null'))\n"
                                          "except OSError as e: print(e.errno)\n");
    assert_string_equal(ci_result_stdout(result, NULL), "(32, 32)\n24\n");
    ci_result_free(result);
    ci_session_close(session);
    (void)state;
}

/* A program with a set-id bit would outlive the session, and run as the folder's owner. */
static void programs_left_in_a_host_folder_have_no_set_id_bits(void **state) {
    char folder[] = "/tmp/ci-folder-XXXXXX", path[64];
    static const char *const names[] = {"mode", "open", "at", "creat", "node"};
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    assert_non_null(mkdtemp(folder));
    options.host_dir = folder;
    ci_session *session = open_session(&options);
    ci_result *result =
        run_code(session, "import ctypes, os\n"
                          "libc = ctypes.CDLL(None)\n"
                          "def attempt(what):\n"
                          "    try: what()\n"
                          "    except OSError: pass\n"
                          "open('mode', 'w').close(); file = open('mode')\n"
                          "for bits in (0o4755, 0o2755, 0o6755):\n"
                          "    attempt(lambda: os.chmod('mode', bits))\n"
                          "    attempt(lambda: os.fchmod(file.fileno(), bits))\n"
                          "    libc.fchmodat(-100, b'mode', bits, 0)\n"
                          "    libc.syscall(ctypes.c_long(452), -100, b'mode', bits, 0)\n"
                          "    attempt(lambda: os.open('open', os.O_CREAT | os.O_WRONLY, bits))\n"
                          "    attempt(lambda: os.open('at', os.O_CREAT | os.O_WRONLY, bits, dir_fd=os.open('.', 0)))\n"
                          "    attempt(lambda: os.mknod('node', bits | 0o100000))\n"
                          "    libc.creat(b'creat', bits)\n"
                          "    attempt(lambda: os.link('/proc/self/fd/%d' % os.open('.', os.O_TMPFILE | os.O_RDWR, "
                          "bits), 'unnamed'))\n"
                          "open('plain', 'w').close(); os.chmod('plain', 0o751); os.mkdir('folder', 0o700)\n"
                          "print(oct(os.stat('plain').st_mode), [n for n in os.listdir() if "
                          "os.stat(n).st_mode & 0o6000])\n");
    assert_string_equal(ci_result_stdout(result, NULL), "0o100751 []\n");
    ci_result_free(result);
    ci_session_close(session);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_true(stat(path, &st) < 0 || (st.st_mode & 06000) == 0);
    }
    snprintf(path, sizeof path, "rm -rf %s", folder);
    assert_int_equal(system(path), 0);
    (void)state;
}

static void the_workspace_has_a_size(void **state) {
    char *text =
        output_of(*state, "head -c 100000000 /dev/zero > big 2>/dev/null; stat -c %s big; rm big; "
                          "i=0; while [ $i -lt 3000 ] && : 2>/dev/null > f$i; do i=$((i+1)); done; ls | wc -l; rm f*");
    long size = 0, count = 0;
    assert_int_equal(sscanf(text, "%ld %ld", &size, &count), 2);
    assert_true(size > 60 << 20 && size <= 64 << 20);
    assert_true(count > 1900 && count <= 2000);
    free(text);
}

static void what_is_seen_of_memory_is_the_sessions(void **state) {
    assert_prints(*state, "awk '/MemTotal/ {print $2}' /proc/meminfo", "262144\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_system_calls_fail_with_EPERM),
        cmocka_unit_test(commands_have_the_same_walls_as_kernels),
        cmocka_unit_test(there_are_no_privileges),
        cmocka_unit_test(the_system_cannot_be_written),
        cmocka_unit_test(the_interpreter_cannot_be_changed),
        cmocka_unit_test(the_init_is_out_of_reach),
        cmocka_unit_test(the_hosts_files_are_not_there),
        cmocka_unit_test(the_hosts_environment_is_not_there),
        cmocka_unit_test(the_hosts_umask_does_not_matter),
        cmocka_unit_test(the_hosts_processes_are_not_there),
        cmocka_unit_test(kernels_hold_no_descriptors_but_their_own),
        cmocka_unit_test(without_network_not_even_a_name_is_asked_for),
        cmocka_unit_test(loopback_works_and_is_the_sessions_own),
        cmocka_unit_test(sessions_see_nothing_of_each_other),
        cmocka_unit_test(forked_interpreters_do_not_share_randomness),
        cmocka_unit_test(what_is_seen_of_memory_is_the_sessions),
        cmocka_unit_test(the_workspace_has_a_size),
        cmocka_unit_test(memory_is_limited_and_the_session_lives),
        cmocka_unit_test(processes_are_limited_and_the_session_lives),
        cmocka_unit_test(a_kernel_that_floods_its_init_is_ended),
        cmocka_unit_test(few_descriptors_are_enough_for_kernels_and_many_tasks),
        cmocka_unit_test(programs_left_in_a_host_folder_have_no_set_id_bits),
    };
    return cmocka_run_group_tests(tests, make_session, close_session);
}
