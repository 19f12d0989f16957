/* Opening below a folder in which somebody hostile plants and swaps what he likes. */
#include "census.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "os/resolve.h"

/* base/outside/secret, and base/root with traps in it. */
struct place {
    char base[64];
    int base_fd;
    int root_fd;
    struct stat secret;
};

static void write_file(int dir_fd, const char *path, const char *text) {
    int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(cii_fd_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static int set_up(void **state) {
    static struct place place;
    strcpy(place.base, "/tmp/ci-test-XXXXXX");
    assert_non_null(mkdtemp(place.base));
    place.base_fd = open(place.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fchmodat(place.base_fd, ".", 0755, 0), 0);
    mkdirat(place.base_fd, "outside", 0755);
    mkdirat(place.base_fd, "root", 0755);
    write_file(place.base_fd, "outside/secret", "secret");
    assert_int_equal(fstatat(place.base_fd, "outside/secret", &place.secret, 0), 0);
    place.root_fd = openat(place.base_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int root = place.root_fd;
    mkdirat(root, "dir", 0755);
    mkdirat(root, "dir/sub", 0755);
    mkdirat(root, "etc", 0755);
    write_file(root, "file", "own");
    write_file(root, "dir/file", "own");
    write_file(root, "etc/passwd", "own");
    assert_int_equal(symlinkat("file", root, "link"), 0);
    assert_int_equal(symlinkat("dir", root, "dirlink"), 0);
    assert_int_equal(symlinkat("/etc/passwd", root, "absolute"), 0);
    assert_int_equal(symlinkat("../outside/secret", root, "up"), 0);
    assert_int_equal(symlinkat("../../../../../../../../etc/passwd", root, "far_up"), 0);
    assert_int_equal(symlinkat("../outside", root, "updir"), 0);
    assert_int_equal(symlinkat("/proc/self/root", root, "magic_root"), 0);
    assert_int_equal(symlinkat("/proc/self/fd/0", root, "magic_fd"), 0);
    assert_int_equal(symlinkat("nowhere", root, "dangling"), 0);
    assert_int_equal(symlinkat("loop", root, "loop"), 0);
    assert_int_equal(mkfifoat(root, "fifo", 0644), 0);
    *state = &place;
    return 0;
}

static int tear_down(void **state) {
    struct place *place = *state;
    char command[96];
    close(place->root_fd);
    close(place->base_fd);
    snprintf(command, sizeof(command), "rm -rf '%s'", place->base);
    return system(command);
}

/* 0 and what is in it is "own", or errno; -1: something else was opened. */
static int outcome(int root_fd, const char *path, int how) {
    _cleanup_close_ int fd = cii_resolve_open(root_fd, path, O_RDONLY | O_NONBLOCK, 0, how);
    if (fd < 0)
        return errno;
    char text[16] = "";
    struct stat info;
    if (fstat(fd, &info) < 0 || S_ISDIR(info.st_mode))
        return -1;
    return cii_fd_read_all(fd, text, sizeof(text) - 1) == 3 && strcmp(text, "own") == 0 ? 0 : -1;
}

static void no_path_and_no_link_leads_out(void **state) {
    const struct place *place = *state;
    static const struct {
        const char *path;
        int in_root;
        int beneath;
        int no_links;
    } cases[] = {
        {"file", 0, 0, 0},
        {"./dir/../file", 0, 0, 0},
        {"dir/sub/../file", 0, 0, 0},
        {"link", 0, 0, ELOOP},
        {"dirlink/file", 0, 0, ELOOP},
        {"/file", 0, EXDEV, EXDEV},
        {"../file", 0, EXDEV, EXDEV},
        {"../../../../file", 0, EXDEV, EXDEV},
        {"/etc/passwd", 0, EXDEV, EXDEV},
        {"absolute", 0, EXDEV, ELOOP},
        {"far_up", 0, EXDEV, ELOOP},
        {"up", ENOENT, EXDEV, ELOOP},
        {"updir/secret", ENOENT, EXDEV, ELOOP},
        {"../outside/secret", ENOENT, EXDEV, EXDEV},
        {"magic_root/etc/passwd", ENOENT, EXDEV, ELOOP},
        {"magic_fd", ENOENT, EXDEV, ELOOP},
        {"dangling", ENOENT, ENOENT, ELOOP},
        {"loop", ELOOP, ELOOP, ELOOP},
        {"absent", ENOENT, ENOENT, ENOENT},
        {"file/", ENOTDIR, ENOTDIR, ENOTDIR},
        {"", ENOENT, ENOENT, ENOENT},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        int got[] = {outcome(place->root_fd, cases[i].path, CII_RESOLVE_IN_ROOT),
                     outcome(place->root_fd, cases[i].path, CII_RESOLVE_BENEATH),
                     outcome(place->root_fd, cases[i].path, CII_RESOLVE_NO_LINKS)};
        if (got[0] != cases[i].in_root || got[1] != cases[i].beneath || got[2] != cases[i].no_links)
            fail_msg("%s: %d %d %d", cases[i].path, got[0], got[1], got[2]);
    }
}

static void magic_links_are_refused_in_a_proc_of_its_own(void **state) {
    (void)state;
    _cleanup_close_ int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int how = CII_RESOLVE_IN_ROOT; how <= CII_RESOLVE_NO_LINKS; how++) {
        assert_int_equal(cii_resolve_open(proc_fd, "self/root/etc/passwd", O_PATH, 0, how), -1);
        assert_true(errno == ELOOP || errno == EXDEV);
        assert_int_equal(cii_resolve_open(proc_fd, "self/fd/1", O_PATH, 0, how), -1);
        assert_true(errno == ELOOP || errno == EXDEV);
    }
}

static void files_are_made_with_the_mode_asked_for(void **state) {
    const struct place *place = *state;
    struct stat info;
    mode_t before = umask(0);
    int fd = cii_resolve_open(place->root_fd, "dir/new", O_WRONLY | O_CREAT | O_EXCL, 0640, CII_RESOLVE_IN_ROOT);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    close(fd);
    fd = cii_resolve_open(place->root_fd, ".", O_WRONLY | O_TMPFILE, 0600, CII_RESOLVE_BENEATH);
    assert_true(fd >= 0 || errno == EOPNOTSUPP);
    cii_close(fd);
    umask(before);
    assert_int_equal(
        cii_resolve_open(place->root_fd, "dir/new", O_WRONLY | O_CREAT | O_EXCL, 0640, CII_RESOLVE_IN_ROOT), -1);
    assert_int_equal(errno, EEXIST);
}

static void parent_and_last_name_come_apart(void **state) {
    const struct place *place = *state;
    const char *name = NULL;
    static const struct {
        const char *path;
        const char *name;
        const char *parent;
    } good[] = {{"file", "file", "."}, {"dir/sub", "sub", "dir"}, {"dirlink/new", "new", "dir"}, {"/dir/x", "x", "dir"},
                {"/x", "x", "."},      {"../../x", "x", "."},     {"dir/sub/../x", "x", "dir"}};
    for (size_t i = 0; i < CII_ELEMENTS(good); i++) {
        struct stat wanted, got;
        _cleanup_close_ int fd = cii_resolve_parent(place->root_fd, good[i].path, CII_RESOLVE_IN_ROOT, &name);
        assert_true(fd >= 0);
        assert_string_equal(name, good[i].name);
        assert_ptr_equal(name, good[i].path + strlen(good[i].path) - strlen(good[i].name));
        fstat(fd, &got);
        fstatat(place->root_fd, good[i].parent, &wanted, 0);
        assert_int_equal(got.st_ino, wanted.st_ino);
    }
    static const char *const nameless[] = {"", "/", ".", "..", "dir/", "dir/.", "dir/.."};
    for (size_t i = 0; i < CII_ELEMENTS(nameless); i++) {
        assert_int_equal(cii_resolve_parent(place->root_fd, nameless[i], CII_RESOLVE_IN_ROOT, &name), -1);
        assert_int_equal(errno, EINVAL);
    }
    assert_int_equal(cii_resolve_parent(place->root_fd, "updir/x", CII_RESOLVE_IN_ROOT, &name), -1);
    assert_int_equal(cii_resolve_parent(place->root_fd, "updir/x", CII_RESOLVE_BENEATH, &name), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(cii_resolve_parent(place->root_fd, "file/x", CII_RESOLVE_IN_ROOT, &name), -1);
    assert_int_equal(errno, ENOTDIR);
    char long_path[PATH_MAX + 10];
    memset(long_path, '/', sizeof(long_path));
    strcpy(long_path + PATH_MAX + 5, "x");
    assert_int_equal(cii_resolve_parent(place->root_fd, long_path, CII_RESOLVE_IN_ROOT, &name), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

static void path_descriptors_reopen(void **state) {
    const struct place *place = *state;
    char text[8] = "";
    _cleanup_close_ int path_fd = cii_resolve_open(place->root_fd, "file", O_PATH, 0, CII_RESOLVE_IN_ROOT);
    _cleanup_close_ int fd = cii_resolve_reopen(path_fd, O_RDONLY);
    assert_int_equal(cii_fd_read_all(fd, text, sizeof(text)), 3);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(cii_resolve_reopen(999999, O_RDONLY), -1);
}

static void mounts_are_told_apart(void **state) {
    const struct place *place = *state;
    _cleanup_close_ int proc_fd = open("/proc/self", O_PATH | O_CLOEXEC);
    _cleanup_close_ int file_fd = cii_resolve_open(place->root_fd, "file", O_PATH, 0, CII_RESOLVE_IN_ROOT);
    uint64_t own = cii_resolve_mount_id(place->root_fd);
    assert_int_not_equal(own, 0);
    assert_int_equal(cii_resolve_mount_id(file_fd), own);
    assert_int_not_equal(cii_resolve_mount_id(proc_fd), own);
    assert_int_equal(cii_resolve_mount_id(-1), 0);
}

static bool is_folder(int root_fd, const char *path) {
    struct stat info;
    return fstatat(root_fd, path, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

static void missing_folders_are_made_inside_only(void **state) {
    const struct place *place = *state;
    int root = place->root_fd;
    static const struct {
        const char *path;
        const char *made;
    } good[] = {{"a/b/c", "a/b/c"},
                {"a/b/c", "a/b/c"},
                {"//x//y/", "x/y"},
                {"../up/z", "up/z"},
                {"", "."},
                {"/", "."},
                {"dirlink/new/n", "dir/new/n"},
                {"a/./d/../e", "a/e"}};
    unlinkat(root, "dir/new", 0);
    for (size_t i = 0; i < CII_ELEMENTS(good); i++) {
        unlinkat(root, "up", 0); /* the planted link */
        assert_int_equal(cii_resolve_mkdirs(root, good[i].path, 0755, CII_RESOLVE_IN_ROOT), 0);
        assert_true(is_folder(root, good[i].made));
    }
    assert_true(is_folder(root, "a/d"));
    static const struct {
        const char *path;
        int how;
        int error_number;
    } bad[] = {
        {"updir/x", CII_RESOLVE_BENEATH, EXDEV},   {"../x", CII_RESOLVE_BENEATH, EXDEV},
        {"/x/y", CII_RESOLVE_BENEATH, EXDEV},      {"dirlink/q", CII_RESOLVE_NO_LINKS, ELOOP},
        {"file/x", CII_RESOLVE_IN_ROOT, ENOTDIR},  {"file", CII_RESOLVE_IN_ROOT, ENOTDIR},
        {"dangling", CII_RESOLVE_IN_ROOT, ENOENT}, {"dangling/x", CII_RESOLVE_IN_ROOT, ENOENT},
        {"updir/x", CII_RESOLVE_IN_ROOT, ENOENT},  {"loop/x", CII_RESOLVE_IN_ROOT, ELOOP},
    };
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        int got = cii_resolve_mkdirs(root, bad[i].path, 0755, bad[i].how) < 0 ? errno : 0;
        if (got != bad[i].error_number)
            fail_msg("%s: %s", bad[i].path, strerror(got));
    }
    assert_false(is_folder(place->base_fd, "x"));
    assert_false(is_folder(place->base_fd, "outside/x"));
    assert_false(is_folder(root, "dir/q"));
}

/* --- a race ------------------------------------------------------------------------------------------------------- */

static _Atomic bool stop;

static void *swap_all_the_time(void *user) {
    const struct place *place = user;
    while (!stop) /* a folder, a link out of the root, a folder, … */
        syscall(SYS_renameat2, place->root_fd, "swap", place->root_fd, "updir", 2 /* RENAME_EXCHANGE */);
    return NULL;
}

static void swapping_a_folder_for_a_link_wins_nothing(void **state) {
    const struct place *place = *state;
    pthread_t thread;
    mkdirat(place->root_fd, "swap", 0755);
    write_file(place->root_fd, "swap/secret", "own");
    stop = false;
    pthread_create(&thread, NULL, swap_all_the_time, (void *)place);
    int opened = 0, refused = 0, wrong = 0;
    for (int i = 0; i < 20000 || opened == 0 || refused == 0; i++) { /* until the other thread had its turn */
        struct stat info;
        int fd = cii_resolve_open(place->root_fd, i % 2 ? "swap/secret" : "dir/../swap/secret", O_RDONLY, 0,
                                  i % 4 < 2 ? CII_RESOLVE_IN_ROOT : CII_RESOLVE_BENEATH);
        refused += fd < 0;
        if (fd < 0)
            continue;
        fstat(fd, &info);
        wrong += info.st_ino == place->secret.st_ino;
        opened++;
        close(fd);
    }
    stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
}

/* --- file system identity ----------------------------------------------------------------------------------------- */

static void identity_makes_and_may_only_what_it_should(void **state) {
    const struct place *place = *state;
    if (geteuid() != 0)
        skip(); /* only root can take on another */
    struct stat info;
    assert_int_equal(fchmodat(place->root_fd, "dir", 0777, 0), 0);
    write_file(place->base_fd, "outside/private", "x");
    assert_int_equal(fchmodat(place->base_fd, "outside/private", 0600, 0), 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    int dumpable = prctl(PR_GET_DUMPABLE);
    assert_int_equal(dumpable, 1);

    cii_fsid before = cii_fsid_enter(12345, 12346);
    int fd = cii_resolve_open(place->root_fd, "dir/theirs", O_WRONLY | O_CREAT, 0600, CII_RESOLVE_IN_ROOT);
    int forbidden = openat(place->base_fd, "outside/private", O_RDONLY | O_CLOEXEC), why = errno;
    cii_fsid_leave(before);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &info), 0);
    close(fd);
    assert_int_equal(info.st_uid, 12345);
    assert_int_equal(info.st_gid, 12346);
    assert_int_equal(forbidden, -1);
    assert_int_equal(why, EACCES);

    fd = openat(place->base_fd, "outside/private", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    int death_signal = 0;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    assert_int_equal(death_signal, SIGUSR1);
    prctl(PR_SET_PDEATHSIG, 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), dumpable);
}

static void *change_all_the_time(void *user) {
    (void)user;
    for (int i = 0; i < 3000; i++)
        cii_fsid_leave(cii_fsid_enter(12345, 12346));
    return NULL;
}

static void process_stays_dumpable_whoever_changes_at_the_same_time(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can take on another */
    pthread_t threads[8];
    for (int wanted = 1; wanted >= 0; wanted--) {
        prctl(PR_SET_DUMPABLE, wanted);
        for (int round = 0; round < 5; round++) {
            for (size_t i = 0; i < CII_ELEMENTS(threads); i++)
                pthread_create(&threads[i], NULL, change_all_the_time, NULL);
            for (size_t i = 0; i < CII_ELEMENTS(threads); i++)
                pthread_join(threads[i], NULL);
            assert_int_equal(prctl(PR_GET_DUMPABLE), wanted);
        }
    }
    prctl(PR_SET_DUMPABLE, 1);
}

static void taking_ones_own_identity_changes_nothing(void **state) {
    (void)state;
    cii_fsid before = cii_fsid_enter(geteuid(), getegid());
    assert_false(before.changed);
    assert_int_equal(before.uid, geteuid());
    cii_fsid_leave(before);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_path_and_no_link_leads_out, set_up, tear_down),
        cmocka_unit_test(magic_links_are_refused_in_a_proc_of_its_own),
        cmocka_unit_test_setup_teardown(files_are_made_with_the_mode_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parent_and_last_name_come_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(path_descriptors_reopen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mounts_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_folders_are_made_inside_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(swapping_a_folder_for_a_link_wins_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(identity_makes_and_may_only_what_it_should, set_up, tear_down),
        cmocka_unit_test(process_stays_dumpable_whoever_changes_at_the_same_time),
        cmocka_unit_test(taking_ones_own_identity_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
