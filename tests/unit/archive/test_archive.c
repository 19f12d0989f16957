/* Unpacking: what is sound comes out, everything else is refused by name, and nothing is ever written elsewhere.
 *
 * Each case is a row: an archive (make_archives.py), the tree it must give and what must be refused, both as text. */
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "archive/archive.h"
#include "tree.h"

typedef struct row {
    const char *archive;
    const char *tree;    /* NULL: not compared */
    const char *refused; /* "name: reason; " for each */
    const char *reason;  /* begin of why it is not complete; NULL: it is */
    ci_status status;    /* that ends it; CI_OK: none */
    bool modes;          /* the tree shows permission bits */
} row;

#define N8 "nnnnnnnn"
#define N255 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 N8 "nnnnnnn"
#define M8 "mmmmmmmm"
#define D8 "dddddddd"
#define W16 "wwwwwwwwwwwwwwww"
#define ONES16 "1111111111111111"
#define E10 "éééééééééé"
#define PLAIN "a.txt:644=hello d:700/ d/run.sh:755=go "
#define PLAIN_7Z "d/ d/x.txt=deep plain.txt=hello "
#define PLAIN_ZIP "d/ d/a.txt=hello ü.txt=umlaut "
#define TAKEN ": its name is taken by an earlier entry; "
#define OUTSIDE ": it is a link that leads out of the folder; "
#define LEAVES ": its name leaves the folder; "
#define ABSOLUTE ": its name is absolute; "
#define KIND ": it is neither a file nor a folder nor a link; "
#define TARGET ": hard link: its target is no file unpacked before; "
#define ENCRYPTED ": it is encrypted; "

static const row rows[] = {
    {.archive = "plain.tar", .tree = PLAIN, .modes = true},
    {.archive = "plain.tar.gz", .tree = PLAIN, .modes = true},
    {.archive = "plain.tar.bz2", .tree = PLAIN, .modes = true},
    {.archive = "plain.tar.xz", .tree = PLAIN, .modes = true},
    {.archive = "gnu.tar", .tree = PLAIN, .modes = true},
    {.archive = "plain.tar.zst", .tree = PLAIN_7Z},
    {.archive = "plain.7z", .tree = PLAIN_7Z},
    {.archive = "stored.zip", .tree = PLAIN_ZIP},
    {.archive = "deflated.zip", .tree = PLAIN_ZIP},
    {.archive = "bzip2.zip", .tree = PLAIN_ZIP},
    {.archive = "lzma.zip", .tree = PLAIN_ZIP},
    {.archive = "prefixed.zip", .tree = PLAIN_ZIP},
    {.archive = "empty.tar", .tree = ""},
    {.archive = "empty.zip", .tree = ""},
    {.archive = "modes.tar", .tree = "all:777=x closed:700/ closed/in:644=x sealed:600=x setid:755=x ", .modes = true},
    {.archive = "modes.zip", .tree = "dos:664=x run.sh:755=go setid:755=x ", .modes = true},
    {.archive = "names.tar",
     .tree = "C:/ C:/x=6 back\\slash=5 bad\377=7 dot/ dot/a=1 grüß中.txt=3 new\nline=4 two/ two/slashes=2 "},
    {.archive = "unicode-pax.tar", .tree = "中文/ 中文/" E10 E10 E10 E10 E10 E10 "=x "},
    {.archive = "names.zip",
     .tree = "good=9 mix/ mix/ed/ mix/ed/x=0 win/ win/dows/ win/dows/x=3 über.txt=1 über2=2 ",
     .refused = "../up" LEAVES "C:/evil" ABSOLUTE "/root" ABSOLUTE "/abs" ABSOLUTE "a/../../b" LEAVES},
    {.archive = "leaving.tar",
     .tree = "good=x ",
     .refused = "/etc/passwd" ABSOLUTE "../up" LEAVES "a/../../up" LEAVES "a/.." LEAVES},
    {.archive = "empty-name.tar", .tree = "good=x ", .refused = ": its name is empty; "},
    {.archive = "self.tar", .tree = "good=x ", .refused = ".: its name is the folder's own; "},
    {.archive = "long.tar",
     .tree = "good=x " N255 "=x ",
     .refused = N8 N8 N8 N8 N8 ": its name is too long; " M8 M8 M8 M8 M8 ": its name is too long; " D8 D8 D8 D8 D8
                               ": its name is too long; "},
    {.archive = "taken.tar",
     .tree = "a:644=first d:700/ ",
     .refused = "a" TAKEN "a/b: a part of its path is a file; a" TAKEN "d" TAKEN,
     .modes = true},
    {.archive = "taken.zip", .tree = "a=first ", .refused = "a" TAKEN "a/b: a part of its path is a file; "},
    {.archive = "links.tar",
     .tree = "d/ d/e/ d/e/up->../../d/x d/up->../to d/x=x here->. loop->loop nothing->missing to->d/x ",
     .refused = "abs" OUTSIDE "out" OUTSIDE "d/out" OUTSIDE "d/deep" OUTSIDE "back" OUTSIDE},
    {.archive = "links.zip", .tree = "good=x l->good ", .refused = "evil" OUTSIDE},
    {.archive = "links.7z", .tree = "d/ d/x.txt=deep l->d/x.txt "},
    {.archive = "link-through.tar", .tree = "d/ d/p->.. l/ l/x=x ", .refused = "e/f/q" OUTSIDE "l" TAKEN},
    {.archive = "link-swap.tar", .tree = "x=data ", .refused = "x" OUTSIDE},
    {.archive = "hard.tar",
     .tree = "a=text d/ d/b=text s->a ",
     .refused = "abs: hard link: its name is absolute; up: hard link: its name leaves the folder; "
                "sh" TARGET "dir" TARGET "none" TARGET "a" TAKEN},
    {.archive = "devices.tar", .tree = "good=x ", .refused = "null" KIND "fifo" KIND "disk" KIND},
    {.archive = "fifo.zip", .tree = "good=x pipe= "},
    {.archive = "quine.tar", .tree = NULL},
    {.archive = "encrypted.zip", .tree = "good=x ", .refused = "secret" ENCRYPTED},
    {.archive = "locked.zip", .tree = PLAIN_7Z, .refused = "locked.txt" ENCRYPTED},
    {.archive = "aes.zip", .tree = "plain.txt=hello ", .refused = "locked.txt" ENCRYPTED},
    {.archive = "locked.7z", .tree = "", .refused = "locked.txt" ENCRYPTED},
    {.archive = "mixed.7z",
     .tree = PLAIN_7Z,
     .refused = "locked.txt" ENCRYPTED,
     .reason = "The file content is encrypted"},
    {.archive = "header.7z", .tree = "", .reason = "The archive header is encrypted"},
    {.archive = "crc.zip", .tree = "good=x ", .refused = "bad: damaged: ZIP bad CRC: 0xadf3f363 should be 0x1; "},
    {.archive = "inflated.zip", .tree = "good=x ", .refused = "bad: damaged: ZIP decompression failed (-5); "},
    {.archive = "method.zip",
     .tree = "good=x ",
     .refused = "odd: damaged: Unsupported ZIP compression method (97: wav-pack); "},
    {.archive = "liar.zip",
     .tree = "good=x ",
     .refused = "liar: damaged: ZIP uncompressed data is wrong size (read 8388608, expected 10); "},
    {.archive = "overlap.zip", .tree = NULL},
    {.archive = "cut.tar",
     .tree = "whole=" W16 W16 W16 W16 "…1000 ",
     .refused = "cut: damaged: Truncated tar archive; ",
     .reason = "Truncated tar archive"},
    {.archive = "cut.tar.gz",
     .tree = "whole=w ",
     .refused = "cut: damaged: truncated gzip input; ",
     .reason = "truncated gzip input"},
    {.archive = "cut.zip",
     .tree = "one=" ONES16 ONES16 ONES16 ONES16 "…100 ",
     .refused = "two: damaged: ZIP decompression failed (-5); ",
     .reason = "Truncated input file"},
    {.archive = "cut.7z", .tree = "", .reason = "Malformed 7-Zip archive"},
    {.archive = "damaged.7z",
     .tree = "d/ plain.txt=hello ",
     .refused = "d/x.txt: damaged: 7-Zip bad CRC: 0x2d0b6cb0 should be 0x9393585d; "},
    {.archive = "damaged-header.tar", .tree = "after=z good=x ", .reason = "Damaged tar archive"},
    {.archive = "bomb.tar.gz", .status = CI_ERR_LIMIT, .refused = ""},
    {.archive = "bomb.zip", .status = CI_ERR_LIMIT, .refused = ""},
    {.archive = "bomb-refused.tar.gz", .status = CI_ERR_LIMIT, .refused = "../zeros" LEAVES},
    {.archive = "hole.tar", .status = CI_ERR_LIMIT},
    {.archive = "nested.tar.gz.gz", .status = CI_ERR_INVALID},
    {.archive = "nothing.zip", .status = CI_ERR_INVALID},
    {.archive = "text.zip", .status = CI_ERR_INVALID},
    {.archive = "gzip.tar.gz", .status = CI_ERR_INVALID},
    {.archive = "mtree.tar", .status = CI_ERR_INVALID},
    {.archive = "cpio.tar", .status = CI_ERR_INVALID},
};

typedef struct world {
    char *path; /* holds "in", into which is unpacked, and "canary" */
    int fd;
    int in_fd;
} world;

static void world_begin(world *w) {
    w->path = tree_temporary();
    assert_non_null(w->path);
    w->fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(w->fd, "in", 0755), 0);
    assert_int_equal(mkdirat(w->fd, "canary", 0755), 0);
    w->in_fd = openat(w->fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(w->in_fd >= 0);
}

static void world_end(world *w) {
    cii_buf text = {0};
    assert_int_equal(cii_tree_remove(w->fd, "in"), 0);
    tree_text(w->fd, false, &text);
    assert_string_equal(text.data, "canary/ ");
    cii_buf_free(&text);
    close(w->in_fd);
    assert_int_equal(unlinkat(w->fd, "canary", AT_REMOVEDIR), 0);
    close(w->fd);
    assert_int_equal(rmdir(w->path), 0);
    free(w->path);
}

static void put_refused(void *user, const char *name, const char *reason) {
    cii_buf_printf(user, "%.40s: %s; ", name, reason);
}

static const cii_archive_limits usual = {
    .entry_count = 200000, .bytes = 32 << 20, .ratio = 200, .ratio_free_bytes = 16 << 20};

static int open_archive(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", TEST_ARCHIVES, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return fd;
}

/* Unpacks to the end; CI_OK, or what ended it. */
static ci_status unpack(const char *name, int dir_fd, const cii_archive_limits *limits, cii_archive_report *ret_report,
                        cii_buf *ret_refused) {
    int fd = open_archive(name);
    cii_archive *archive = NULL;
    ci_error *error = NULL;
    cii_buf_clear(ret_refused);
    cii_buf_append_str(ret_refused, "");
    int result = cii_archive_new(fd, dir_fd, limits, put_refused, ret_refused, &archive, &error);
    while (result == 0)
        result = cii_archive_step(archive, 1000, ret_report, &error);
    if (result < 0)
        assert_int_equal(ci_error_status(error), result);
    ci_error_free(error);
    cii_archive_free(archive);
    close(fd);
    return result < 0 ? result : CI_OK;
}

static void row_is_unpacked_as_it_says(void **state) {
    const row *r = *state;
    world w;
    cii_archive_report report = {0};
    cii_buf refused = {0}, tree = {0};
    world_begin(&w);
    assert_int_equal(unpack(r->archive, w.in_fd, &usual, &report, &refused), r->status);
    if (r->refused || r->status == CI_OK)
        assert_string_equal(refused.data, r->refused ? r->refused : "");
    if (r->status == CI_OK) {
        tree_text(w.in_fd, r->modes, &tree);
        if (r->tree)
            assert_string_equal(tree.data, r->tree);
        assert_int_equal(report.complete, r->reason == NULL);
        if (r->reason)
            assert_memory_equal(report.reason, r->reason, strlen(r->reason));
        else
            assert_string_equal(report.reason, "");
    }
    world_end(&w);
    cii_buf_free(&refused);
    cii_buf_free(&tree);
}

/* --- limits and steps --------------------------------------------------------------------------------------------- */

static ci_status unpack_within(const char *name, cii_archive_limits limits) {
    world w;
    cii_archive_report report;
    cii_buf refused = {0};
    world_begin(&w);
    ci_status status = unpack(name, w.in_fd, &limits, &report, &refused);
    world_end(&w);
    cii_buf_free(&refused);
    return status;
}

static void entries_are_limited(void **state _unused_) {
    cii_archive_limits limits = usual;
    limits.entry_count = 2020; /* files and the folders they lie in */
    assert_int_equal(unpack_within("many.tar.gz", limits), CI_OK);
    limits.entry_count = 2019;
    assert_int_equal(unpack_within("many.tar.gz", limits), CI_ERR_LIMIT);
    limits.entry_count = 3;
    assert_int_equal(unpack_within("plain.tar", limits), CI_OK);
    assert_int_equal(unpack_within("devices.tar", limits), CI_ERR_LIMIT);
}

static void folders_made_for_entries_are_limited(void **state _unused_) {
    cii_archive_limits limits = usual;
    limits.entry_count = 5050;
    assert_int_equal(unpack_within("folders.tar.gz", limits), CI_OK);
    limits.entry_count = 5049;
    assert_int_equal(unpack_within("folders.tar.gz", limits), CI_ERR_LIMIT);
}

static void bytes_are_limited(void **state _unused_) {
    cii_archive_limits limits = usual;
    limits.bytes = 7;
    assert_int_equal(unpack_within("plain.tar", limits), CI_OK);
    limits.bytes = 6;
    assert_int_equal(unpack_within("plain.tar", limits), CI_ERR_LIMIT);
    limits.bytes = 8; /* a hard link counts as the file it is */
    assert_int_equal(unpack_within("hard.tar", limits), CI_OK);
    limits.bytes = 7;
    assert_int_equal(unpack_within("hard.tar", limits), CI_ERR_LIMIT);
    limits.bytes = (1 << 20) - 1; /* holes count */
    assert_int_equal(unpack_within("sparse-gnu.tar", limits), CI_ERR_LIMIT);
}

static void ratio_holds_beyond_what_is_free(void **state _unused_) {
    cii_archive_limits limits = {.entry_count = 10, .bytes = 100 << 20, .ratio = 200, .ratio_free_bytes = 32 << 20};
    assert_int_equal(unpack_within("bomb.tar.gz", limits), CI_OK);
    limits.ratio_free_bytes = 16 << 20;
    assert_int_equal(unpack_within("bomb.tar.gz", limits), CI_ERR_LIMIT);
    limits.ratio = 2000;
    assert_int_equal(unpack_within("bomb.tar.gz", limits), CI_OK);
}

/* What this thread has used of a processor, which others that use it do not lengthen. */
static int64_t worked_ms(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void steps_end_within_their_budget_inside_one_file(void **state _unused_) {
    world w;
    cii_archive *archive;
    cii_archive_report report;
    int steps = 0, result = 0;
    int64_t longest = 0;
    cii_archive_limits limits = {.entry_count = 10, .bytes = 100 << 20, .ratio = 2000, .ratio_free_bytes = 0};
    world_begin(&w);
    int fd = open_archive("bomb.tar.gz");
    assert_int_equal(cii_archive_new(fd, w.in_fd, &limits, NULL, NULL, &archive, NULL), CI_OK);
    while (result == 0) {
        int64_t begin = worked_ms();
        result = cii_archive_step(archive, 1, &report, NULL);
        longest = CII_MAX(longest, worked_ms() - begin);
        steps++;
    }
    assert_int_equal(result, 1);
    assert_int_equal(report.bytes, 32 << 20);
    assert_true(steps > 5);
    assert_true(longest < 1000);
    assert_int_equal(cii_archive_step(archive, 1, &report, NULL), 1);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    cii_archive_free(archive);
    close(fd);
    world_end(&w);
}

static void full_disk_is_a_limit(void **state _unused_) {
    struct rlimit before, small;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){1 << 20, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    ci_status status = unpack_within("bomb.tar.gz", usual);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, CI_ERR_LIMIT);
}

/* --- details of what is unpacked ---------------------------------------------------------------------------------- */

static void times_are_kept_and_wild_ones_do_no_harm(void **state _unused_) {
    world w;
    cii_archive_report report;
    cii_buf refused = {0};
    struct stat st;
    world_begin(&w);
    assert_int_equal(unpack("times.tar", w.in_fd, &usual, &report, &refused), CI_OK);
    assert_int_equal(report.entry_count, 3);
    assert_int_equal(fstatat(w.in_fd, "then", &st, 0), 0);
    assert_int_equal(st.st_mtim.tv_sec, 1234567890);
    assert_int_equal(st.st_mtim.tv_nsec, 500000000);
    world_end(&w);
    cii_buf_free(&refused);
}

static void sparse_files_have_their_size_and_content(void **state _unused_) {
    static const char *const names[] = {"sparse.tar", "sparse-gnu.tar"};
    for (size_t i = 0; i < CII_ELEMENTS(names); i++) {
        world w;
        cii_archive_report report;
        cii_buf refused = {0};
        struct stat st;
        char text[4] = "";
        world_begin(&w);
        assert_int_equal(unpack(names[i], w.in_fd, &usual, &report, &refused), CI_OK);
        int fd = openat(w.in_fd, "sparse", O_RDONLY | O_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 1 << 20);
        assert_int_equal(pread(fd, text, 3, 500000), 3);
        assert_string_equal(text, "end");
        close(fd);
        world_end(&w);
        cii_buf_free(&refused);
    }
}

static void umask_and_locale_are_neither_used_nor_changed(void **state _unused_) {
    world w;
    cii_archive_report report;
    cii_buf refused = {0}, tree = {0};
    world_begin(&w);
    mode_t before = umask(0777);
    locale_t locale = uselocale((locale_t)0);
    ci_status status = unpack("plain.tar", w.in_fd, &usual, &report, &refused);
    assert_ptr_equal(uselocale((locale_t)0), locale);
    assert_int_equal(umask(before), 0777);
    assert_int_equal(status, CI_OK);
    tree_text(w.in_fd, true, &tree);
    assert_string_equal(tree.data, PLAIN);
    world_end(&w);
    cii_buf_free(&refused);
    cii_buf_free(&tree);
}

static void archive_must_be_a_regular_file(void **state _unused_) {
    cii_archive *archive = NULL;
    ci_error *error = NULL;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(cii_archive_new(fds[0], fds[0], &usual, NULL, NULL, &archive, &error), CI_ERR_INVALID);
    assert_null(archive);
    ci_error_free(error);
    close(fds[0]);
    close(fds[1]);
}

/* Whatever a damaged archive does, it ends, and only below its folder. */
static void unpack_bytes(const unsigned char *data, size_t size) {
    world w;
    cii_archive *archive = NULL;
    cii_archive_report report;
    world_begin(&w);
    int fd = memfd_create("archive", MFD_CLOEXEC);
    assert_int_equal(write(fd, data, size), size);
    int result = cii_archive_new(fd, w.in_fd, &usual, NULL, NULL, &archive, NULL);
    while (result == 0)
        result = cii_archive_step(archive, 1000, &report, NULL);
    cii_archive_free(archive);
    close(fd);
    world_end(&w);
}

static void damage_anywhere_is_survived(void **state _unused_) {
    static const char *const names[] = {"plain.7z", "locked.zip", "deflated.zip", "plain.tar.gz", "plain.tar.zst"};
    for (size_t i = 0; i < CII_ELEMENTS(names); i++) {
        unsigned char data[2048];
        int fd = open_archive(names[i]);
        ssize_t size = read(fd, data, sizeof data);
        close(fd);
        assert_in_range(size, 1, sizeof data - 1);
        for (ssize_t at = 0; at < size; at += 1 + size / 60) {
            unpack_bytes(data, (size_t)at);
            data[at] ^= 0xff;
            unpack_bytes(data, (size_t)size);
            data[at] ^= 0xff;
        }
    }
}

static void archives_are_known_by_suffix(void **state _unused_) {
    static const struct {
        const char *name;
        size_t stem_size; /* 0: none */
    } names[] = {{"a.zip", 1},      {"a.tar.gz", 1}, {"x/b.TGZ", 3}, {"a.b.tar.zst", 3}, {"A.7Z", 1},  {"a.tar.xz", 1},
                 {"a.tbz2", 1},     {"a.gz", 0},     {".zip", 0},    {"x/.tar.gz", 0},   {"azip", 0},  {"", 0},
                 {"a.zip.part", 0}, {"a.rar", 0},    {"a.tar", 1},   {"a.tar.bz2", 1},   {"a.txz", 1}, {"a.tzst", 1}};
    for (size_t i = 0; i < CII_ELEMENTS(names); i++) {
        size_t stem_size = 0;
        assert_int_equal(cii_archive_is_name(names[i].name, &stem_size), names[i].stem_size > 0);
        assert_int_equal(stem_size, names[i].stem_size);
    }
}

/* --- removing a tree ---------------------------------------------------------------------------------------------- */

static void deep_trees_are_removed(void **state _unused_) {
    world w;
    world_begin(&w);
    int fd = dup(w.in_fd);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int inner = openat(fd, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = inner;
    }
    close(fd);
    world_end(&w);
}

static void permissions_and_links_do_not_keep_a_tree(void **state _unused_) {
    world w;
    world_begin(&w);
    assert_int_equal(symlinkat("../canary", w.in_fd, "l"), 0);
    assert_int_equal(mkdirat(w.in_fd, "a", 0755), 0);
    assert_int_equal(mkdirat(w.in_fd, "a/b", 0755), 0);
    assert_int_equal(mkdirat(w.in_fd, "a/b/c", 0), 0);
    assert_int_equal(mknodat(w.in_fd, "a/b/pipe", S_IFIFO | 0600, 0), 0);
    assert_int_equal(fchmodat(w.in_fd, "a/b", 0, 0), 0);
    assert_int_equal(fchmodat(w.in_fd, "a", 0500, 0), 0);
    assert_int_equal(symlinkat("canary", w.fd, "top"), 0);
    assert_int_equal(cii_tree_remove(w.fd, "top"), 0);
    assert_int_equal(cii_tree_remove(w.fd, "missing"), 0);
    world_end(&w);
}

static void write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(77);
    close(fd);
}

/* For the rest of a child: a place where it may mount. */
static void enter_namespace(void) {
    char map[64];
    int uid = (int)getuid(), gid = (int)getgid();
    if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0)
        _exit(77);
    if (uid != 0) {
        snprintf(map, sizeof map, "%d %d 1", uid, uid);
        write_text("/proc/self/uid_map", map);
        write_text("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "%d %d 1", gid, gid);
        write_text("/proc/self/gid_map", map);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(77);
}

static void other_mounts_are_not_entered(void **state _unused_) {
    world w;
    world_begin(&w);
    char path[512];
    snprintf(path, sizeof path, "%s/in/m", w.path);
    assert_int_equal(mkdirat(w.in_fd, "m", 0755), 0);
    assert_int_equal(mkdirat(w.in_fd, "other", 0755), 0);
    assert_int_equal(mkdirat(w.in_fd, "other/x", 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        enter_namespace();
        if (mount("tmpfs", path, "tmpfs", 0, NULL) < 0 || mkdirat(AT_FDCWD, strcat(path, "/kept"), 0755) < 0)
            _exit(77);
        int removed = cii_tree_remove(w.fd, "in");
        _exit(removed == -1 && access(path, F_OK) == 0 && faccessat(w.in_fd, "other", F_OK, 0) < 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    world_end(&w);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

typedef struct mover {
    int fd;
    atomic_bool stop;
} mover;

static void *move_about(void *user) {
    mover *m = user;
    while (!atomic_load(&m->stop)) {
        renameat(m->fd, "in/a/b", m->fd, "canary/b");
        renameat(m->fd, "canary/b", m->fd, "in/a/b");
    }
    return NULL;
}

static void who_moves_folders_about_loses_nothing_else(void **state _unused_) {
    world w;
    world_begin(&w);
    mover m = {.fd = w.fd};
    pthread_t thread;
    assert_int_equal(mkdirat(w.fd, "canary/precious", 0755), 0);
    assert_int_equal(pthread_create(&thread, NULL, move_about, &m), 0);
    for (int round = 0; round < 200; round++) {
        mkdirat(w.fd, "in", 0755);
        mkdirat(w.fd, "in/a", 0755);
        mkdirat(w.fd, "in/a/b", 0755);
        for (int i = 0; i < 20; i++) {
            char name[32];
            snprintf(name, sizeof name, "in/a/b/%d", i);
            mkdirat(w.fd, name, 0755);
        }
        cii_tree_remove(w.fd, "in");
        assert_int_equal(faccessat(w.fd, "canary/precious", F_OK, 0), 0);
    }
    atomic_store(&m.stop, true);
    pthread_join(thread, NULL);
    cii_tree_remove(w.fd, "canary/b");
    assert_int_equal(unlinkat(w.fd, "canary/precious", AT_REMOVEDIR), 0);
    world_end(&w);
}

int main(void) {
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(entries_are_limited),
        cmocka_unit_test(folders_made_for_entries_are_limited),
        cmocka_unit_test(bytes_are_limited),
        cmocka_unit_test(ratio_holds_beyond_what_is_free),
        cmocka_unit_test(steps_end_within_their_budget_inside_one_file),
        cmocka_unit_test(full_disk_is_a_limit),
        cmocka_unit_test(times_are_kept_and_wild_ones_do_no_harm),
        cmocka_unit_test(sparse_files_have_their_size_and_content),
        cmocka_unit_test(umask_and_locale_are_neither_used_nor_changed),
        cmocka_unit_test(archive_must_be_a_regular_file),
        cmocka_unit_test(damage_anywhere_is_survived),
        cmocka_unit_test(archives_are_known_by_suffix),
        cmocka_unit_test(deep_trees_are_removed),
        cmocka_unit_test(permissions_and_links_do_not_keep_a_tree),
        cmocka_unit_test(other_mounts_are_not_entered),
        cmocka_unit_test(who_moves_folders_about_loses_nothing_else),
    };
    struct CMUnitTest tests[CII_ELEMENTS(rows) + CII_ELEMENTS(others)];
    for (size_t i = 0; i < CII_ELEMENTS(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].archive, row_is_unpacked_as_it_says, NULL, NULL, (void *)&rows[i]};
    memcpy(tests + CII_ELEMENTS(rows), others, sizeof others);
    return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
