/* What the folder storage does beyond the contract: hostile content of the folder, traces left behind, locks between
 * processes, full disks. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "archive/archive.h"
#include "base/str.h"
#include "drive.h"

typedef struct fixture {
    char *path; /* holds "work", the storage, and "outside" with "secret" in it */
    int fd;
    int work_fd;
    ci_storage *storage;
} fixture;

static void write_file(int dir_fd, const char *path, const char *text) {
    int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static ci_storage *open_storage(const fixture *f) {
    _cleanup_free_ char *path = cii_str_printf("%s/work", f->path);
    ci_storage *storage = NULL;
    assert_int_equal(ci_storage_dir_new(path, NULL, &storage, NULL), CI_OK);
    return storage;
}

static int set_up(void **state) {
    const char *where = getenv("TMPDIR");
    fixture *f = calloc(1, sizeof *f);
    f->path = mkdtemp(cii_str_printf("%s/ci-storage-XXXXXX", where ? where : "/tmp"));
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->storage = open_storage(f);
    f->work_fd = openat(f->fd, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->work_fd >= 0);
    assert_int_equal(mkdirat(f->fd, "outside", 0755), 0);
    write_file(f->fd, "outside/secret", "secret");
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    ci_storage_free(f->storage);
    assert_int_equal(faccessat(f->fd, "outside/secret", F_OK, 0), 0);
    assert_int_equal(cii_tree_remove(f->fd, "outside"), 0);
    assert_int_equal(cii_tree_remove(f->fd, "work"), 0);
    close(f->work_fd);
    close(f->fd);
    assert_int_equal(rmdir(f->path), 0);
    free(f->path);
    free(f);
    return 0;
}

static void assert_listed(ci_storage *s, const char *keys) {
    _cleanup_buf_ cii_buf got = {0};
    assert_int_equal(list(s, "", NULL, 100000, &got, NULL), CI_OK);
    assert_string_equal(got.data, keys);
}

static int32_t add_key(void *user, const ci_object *object) {
    return cii_buf_printf(user, "%s ", object->key);
}

/* As assert_listed(), where something is left out: the end says what and why. */
static void assert_listed_but(ci_storage *s, const char *prefix, const char *keys, const char *left_out) {
    _cleanup_buf_ cii_buf got = {0};
    _cleanup_error_ ci_error *error = NULL;
    ci_op *op = NULL;
    assert_int_equal(cii_storage_ops(s)->list(cii_storage_impl(s), prefix, NULL, 100000, add_key, &got, &op, &error),
                     CI_OK);
    int32_t result = 0;
    while (result == 0)
        result = op->ops->process(op, &error);
    op->ops->free(op);
    assert_int_equal(result, CI_ERR_NOTSUP);
    assert_non_null(strstr(ci_error_message(error), left_out));
    assert_string_equal(got.size ? got.data : "", keys);
}

/* Whether there is something by that name below the storage's folder. */
static bool is_there(const fixture *f, const char *path) {
    struct stat st;
    return fstatat(f->work_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int32_t take_bytes(void *user, const void *data, size_t size) {
    return cii_buf_append(user, data, size);
}

/* --- hostile content ---------------------------------------------------------------------------------------------- */

static void planted_links_are_never_followed(void **state) {
    fixture *f = *state;
    ci_storage *s = f->storage;
    _cleanup_buf_ cii_buf data = {0};
    assert_int_equal(symlinkat("../outside/secret", f->work_fd, "file"), 0);
    assert_int_equal(symlinkat("../outside", f->work_fd, "folder"), 0);
    assert_int_equal(put_text(s, "inside/real", "x"), CI_OK);
    assert_int_equal(symlinkat("inside", f->work_fd, "alias"), 0);
    assert_listed_but(s, "", "inside/real ", "2 more are left out");
    static const char *const keys[] = {"file", "folder/secret", "alias/real"};
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++) {
        assert_int_equal(get(s, keys[i], &data), CI_ERR_NOTFOUND);
        assert_int_equal(stat_object(s, keys[i], NULL), CI_ERR_NOTFOUND);
        assert_int_equal(remove_object(s, keys[i]), CI_ERR_NOTFOUND);
    }
    assert_int_equal(put_text(s, "folder/secret", "changed"), CI_ERR_PERMISSION);
    assert_int_equal(put_text(s, "folder/new/file", "changed"), CI_ERR_PERMISSION);
    assert_listed_but(s, "folder/", "", "\"folder/\": a link, and links are not followed");
    assert_listed_but(s, "fi", "", "\"file\": a link, and links are not followed");
}

static void a_put_replaces_a_link_and_not_its_target(void **state) {
    fixture *f = *state;
    char text[16] = "";
    assert_int_equal(symlinkat("../outside/secret", f->work_fd, "file"), 0);
    assert_int_equal(put_text(f->storage, "file", "mine"), CI_OK);
    int fd = openat(f->fd, "outside/secret", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text), 6);
    close(fd);
    assert_string_equal(text, "secret");
    assert_listed(f->storage, "file ");
}

static void pipes_and_odd_names_are_no_objects(void **state) {
    fixture *f = *state;
    _cleanup_buf_ cii_buf data = {0};
    assert_int_equal(mkfifoat(f->work_fd, "pipe", 0666), 0);
    write_file(f->work_fd, "bad\xff", "x");
    write_file(f->work_fd, "new\nline", "x");
    write_file(f->work_fd, "good", "x");
    assert_int_equal(mkdirat(f->work_fd, "empty", 0755), 0);
    assert_listed_but(f->storage, "", "good ", "2 more are left out");
    assert_listed_but(f->storage, "p", "", "\"pipe\": neither a file nor a folder");
    assert_listed_but(f->storage, "b", "", "\"bad?\": the name is not UTF-8");
    assert_listed_but(f->storage, "n", "", "\"new?line\": the name is not UTF-8");
    assert_int_equal(get(f->storage, "pipe", &data), CI_ERR_NOTFOUND); /* and does not hang */
    assert_int_equal(stat_object(f->storage, "pipe", NULL), CI_ERR_NOTFOUND);
}

static void reserved_and_malformed_keys_are_refused(void **state) {
    fixture *f = *state;
    static const char *const keys[] = {"",         "/a",        "a/",    "a//b", ".",   "..",          "a/../b",
                                       "./a",      "a\nb",      "a\x7f", "\xff", ".ci", ".ci/locks/x", "a/.ci-tmp-x",
                                       ".ci-tmp-", ".ci-tmp-/a"};
    _cleanup_buf_ cii_buf data = {0};
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++) {
        assert_int_equal(put_text(f->storage, keys[i], "x"), CI_ERR_INVALID);
        assert_int_equal(get(f->storage, keys[i], &data), CI_ERR_INVALID);
        assert_int_equal(stat_object(f->storage, keys[i], NULL), CI_ERR_INVALID);
        assert_int_equal(remove_object(f->storage, keys[i]), CI_ERR_INVALID);
    }
    char longer[300];
    memset(longer, 'x', sizeof longer);
    longer[256] = '\0';
    assert_int_equal(put_text(f->storage, longer, "x"), CI_ERR_INVALID);
    assert_listed(f->storage, "");
}

static void a_key_cannot_be_file_and_folder(void **state) {
    fixture *f = *state;
    assert_int_equal(put_text(f->storage, "a", "x"), CI_OK);
    assert_int_equal(put_text(f->storage, "a/b", "x"), CI_ERR_INVALID);
    assert_int_equal(put_text(f->storage, "d/e", "x"), CI_OK);
    assert_int_equal(put_text(f->storage, "d", "x"), CI_ERR_INVALID);
    assert_listed(f->storage, "a d/e ");
}

static void folders_that_cannot_be_read_are_told_after_the_rest(void **state) {
    fixture *f = *state;
    assert_int_equal(put_text(f->storage, "closed/in", "x"), CI_OK);
    assert_int_equal(put_text(f->storage, "open/in", "x"), CI_OK);
    assert_int_equal(fchmodat(f->work_fd, "closed", 0, 0), 0);
    if (geteuid() == 0)
        assert_listed(f->storage, "closed/in open/in ");
    else
        assert_listed_but(f->storage, "", "open/in ", "\"closed/\": the folder cannot be read");
}

static void a_file_changed_while_it_is_read_is_an_error(void **state) {
    fixture *f = *state;
    const size_t size = 1 << 20;
    _cleanup_free_ char *data = calloc(1, size);
    _cleanup_buf_ cii_buf to = {0};
    assert_int_equal(put(f->storage, "k", data, size, NULL), CI_OK);
    ci_op *op = NULL;
    ci_error *error = NULL;
    const ci_storage_ops *ops = cii_storage_ops(f->storage);
    void *impl = cii_storage_impl(f->storage);
    assert_int_equal(ops->get(impl, "k", NULL, 0, UINT64_MAX, take_bytes, NULL, &to, &op, NULL), CI_OK);
    assert_int_equal(op->ops->process(op, NULL), 0);
    int fd = openat(f->work_fd, "k", O_WRONLY | O_TRUNC | O_CLOEXEC);
    close(fd);
    assert_int_equal(drive(op, &error), CI_ERR_IO);
    assert_int_equal(ci_error_retryable(error), 1);
    ci_error_free(error);
}

/* --- traces ------------------------------------------------------------------------------------------------------- */

static void nothing_is_left_but_the_objects(void **state) {
    fixture *f = *state;
    void *lock;
    assert_int_equal(put_text(f->storage, "a/b/c", "x"), CI_OK);
    assert_int_equal(put_text(f->storage, "a/d", "x"), CI_OK);
    const ci_storage_ops *ops = cii_storage_ops(f->storage);
    assert_int_equal(ops->lock(cii_storage_impl(f->storage), "id", &lock, NULL), CI_OK);
    assert_true(is_there(f, ".ci/locks/id"));
    assert_listed(f->storage, "a/b/c a/d ");
    ops->unlock(cii_storage_impl(f->storage), lock);
    assert_false(is_there(f, ".ci"));
    assert_int_equal(remove_object(f->storage, "a/b/c"), CI_OK);
    assert_false(is_there(f, "a/b"));
    assert_int_equal(remove_object(f->storage, "a/d"), CI_OK);
    assert_false(is_there(f, "a"));
}

/* The temporary file of a put that is at work. */
static char *temporary_in(int dir_fd) {
    char *name = NULL;
    DIR *dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (cii_str_starts(entry->d_name, ".ci-tmp-")) {
            free(name);
            name = strdup(entry->d_name);
        }
    closedir(dir);
    return name;
}

static void temporary_files_of_the_living_stay_unlisted(void **state) {
    fixture *f = *state;
    source from = {.data = "text", .size = 4, .piece = 1};
    ci_op *op = start_put(f->storage, &PUT_REQUEST("k"), &from);
    for (int i = 0; i < 3; i++)
        assert_int_equal(op->ops->process(op, NULL), 0);
    ci_storage *other = open_storage(f);
    assert_listed(other, "");
    _cleanup_free_ char *name = temporary_in(f->work_fd);
    assert_non_null(name);
    assert_int_equal(put_text(f->storage, name, "x"), CI_ERR_INVALID);
    assert_int_equal(drive(op, NULL), CI_OK);
    assert_listed(other, "k ");
    ci_storage_free(other);
}

static void temporary_files_of_the_dead_are_removed(void **state) {
    fixture *f = *state;
    pid_t child = fork();
    if (child == 0) {
        source from = {.data = "text", .size = 4, .piece = 1};
        ci_storage *storage = open_storage(f);
        ci_op *op = start_put(storage, &PUT_REQUEST("sub/k"), &from);
        for (int i = 0; i < 3; i++)
            op->ops->process(op, NULL);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    int sub = openat(f->work_fd, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_free_ char *before = temporary_in(sub);
    assert_non_null(before);
    assert_listed(f->storage, "");
    _cleanup_free_ char *after = temporary_in(sub);
    assert_null(after);
    close(sub);
}

static void a_given_up_put_leaves_no_folder(void **state) {
    fixture *f = *state;
    source from = {.data = "text", .size = 4, .piece = 1};
    ci_op *op = start_put(f->storage, &PUT_REQUEST("new/folder/k"), &from);
    for (int i = 0; i < 3; i++)
        assert_int_equal(op->ops->process(op, NULL), 0);
    assert_true(is_there(f, "new/folder"));
    op->ops->free(op);
    assert_false(is_there(f, "new"));
}

static void a_forked_child_gives_nothing_of_its_parent_up(void **state) {
    fixture *f = *state;
    source from = {.data = "text", .size = 4, .piece = 1};
    void *lock;
    const ci_storage_ops *ops = cii_storage_ops(f->storage);
    assert_int_equal(ops->lock(cii_storage_impl(f->storage), "id", &lock, NULL), CI_OK);
    ci_op *op = start_put(f->storage, &PUT_REQUEST("k"), &from);
    assert_int_equal(op->ops->process(op, NULL), 0);
    pid_t child = fork();
    if (child == 0) {
        bool forked = cii_storage_check(f->storage, NULL) == CI_ERR_FORKED;
        op->ops->free(op);
        ops->unlock(cii_storage_impl(f->storage), lock);
        ci_storage_free(f->storage);
        _exit(forked ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(drive(op, NULL), CI_OK);
    assert_listed(f->storage, "k ");
    assert_true(is_there(f, ".ci/locks/id"));
    ops->unlock(cii_storage_impl(f->storage), lock);
}

static void a_full_disk_is_a_limit_and_leaves_nothing(void **state) {
    fixture *f = *state;
    struct rlimit before, small;
    _cleanup_free_ char *data = calloc(1, 1 << 20);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(put_text(f->storage, "k", "old"), CI_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){1 << 19, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    ci_status status = put(f->storage, "k", data, 1 << 20, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, CI_ERR_LIMIT);
    assert_null(temporary_in(f->work_fd));
    _cleanup_buf_ cii_buf back = {0};
    assert_int_equal(get(f->storage, "k", &back), CI_OK);
    assert_string_equal(back.data, "old");
}

static void files_get_the_modes_of_the_host(void **state) {
    fixture *f = *state;
    struct stat st;
    mode_t before = umask(027);
    ci_status status = put_text(f->storage, "folder/file", "x");
    assert_int_equal(umask(before), 027);
    assert_int_equal(status, CI_OK);
    assert_int_equal(fstatat(f->work_fd, "folder/file", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(fstatat(f->work_fd, "folder", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
}

/* --- several processes and threads -------------------------------------------------------------------------------- */

static void a_lock_holds_between_processes_and_ends_with_its_holder(void **state) {
    fixture *f = *state;
    const ci_storage_ops *ops = cii_storage_ops(f->storage);
    void *impl = cii_storage_impl(f->storage), *lock;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        ci_storage *storage = open_storage(f);
        void *mine;
        if (cii_storage_ops(storage)->lock(cii_storage_impl(storage), "id", &mine, NULL) == CI_OK)
            (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(ops->lock(impl, "id", &lock, NULL), CI_ERR_BUSY);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(ops->lock(impl, "id", &lock, NULL), CI_OK);
    ops->unlock(impl, lock);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(ops->lock(impl, "../id", &lock, NULL), CI_ERR_INVALID);
    assert_int_equal(ops->lock(impl, "", &lock, NULL), CI_ERR_INVALID);
}

typedef struct locker {
    ci_storage *storage;
    _Atomic int *inside;
    _Atomic int *clashes;
    unsigned taken;
} locker;

static void *lock_often(void *user) {
    locker *l = user;
    const ci_storage_ops *ops = cii_storage_ops(l->storage);
    while (l->taken < 20) {
        void *lock;
        if (ops->lock(cii_storage_impl(l->storage), "id", &lock, NULL) < 0)
            continue;
        if (++*l->inside != 1)
            ++*l->clashes;
        l->taken++;
        usleep(100);
        --*l->inside;
        ops->unlock(cii_storage_impl(l->storage), lock);
    }
    return NULL;
}

static void a_lock_whose_file_comes_and_goes_still_has_one_holder(void **state) {
    fixture *f = *state;
    _Atomic int inside = 0, clashes = 0;
    locker lockers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        lockers[i] = (locker){.storage = f->storage, .inside = &inside, .clashes = &clashes};
        assert_int_equal(pthread_create(&threads[i], NULL, lock_often, &lockers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(clashes, 0);
    assert_false(is_there(f, ".ci"));
}

typedef struct writer {
    ci_storage *storage;
    int index;
    ci_status status;
} writer;

/* One puts and removes in a folder that thereby comes and goes under the other. */
static void *put_and_remove(void *user) {
    writer *w = user;
    char key[32];
    snprintf(key, sizeof key, "x/y/z/%d", w->index);
    const ci_storage_ops *ops = cii_storage_ops(w->storage);
    for (int i = 0; i < 300 && w->status == CI_OK; i++) {
        source from = {.data = "x", .size = 1};
        ci_op *op;
        w->status = ops->put(cii_storage_impl(w->storage), &PUT_REQUEST(key), read_source, NULL, &from, &op, NULL);
        if (w->status == CI_OK)
            w->status = drive(op, NULL);
        if (w->status == CI_OK)
            w->status = ops->remove(cii_storage_impl(w->storage), key, &op, NULL);
        if (w->status == CI_OK)
            w->status = drive(op, NULL);
    }
    return NULL;
}

static void puts_survive_the_removal_of_their_folder(void **state) {
    fixture *f = *state;
    writer writers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        writers[i] = (writer){.storage = f->storage, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_remove, &writers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].status, CI_OK);
    }
    assert_listed(f->storage, "");
}

typedef struct counter {
    ci_storage *storage;
    ci_status status;
} counter;

/* Reads a number and writes the next, on condition that nobody else did meanwhile. */
static ci_status count_up(ci_storage *s) {
    const ci_storage_ops *ops = cii_storage_ops(s);
    for (;;) {
        _cleanup_buf_ cii_buf text = {0};
        seen object = {0};
        ci_op *op;
        char next[16];
        ci_put_request request = PUT_REQUEST("number");
        ci_status status = ops->stat(cii_storage_impl(s), "number", see, &object, &op, NULL);
        if (status < 0 || (status = drive(op, NULL)) < 0)
            return status;
        status = ops->get(cii_storage_impl(s), "number", object.etag, 0, 100, take_bytes, NULL, &text, &op, NULL);
        if (status == CI_OK)
            status = drive(op, NULL);
        if (status == CI_ERR_CONDITION)
            continue;
        snprintf(next, sizeof next, "%d", status == CI_OK ? atoi(text.data) + 1 : 0);
        source from = {.data = next, .size = strlen(next)};
        request.if_etag = object.etag;
        if (status == CI_OK)
            status = ops->put(cii_storage_impl(s), &request, read_source, NULL, &from, &op, NULL);
        if (status == CI_OK)
            status = drive(op, NULL);
        if (status != CI_ERR_CONDITION)
            return status;
    }
}

static void *count_often(void *user) {
    counter *c = user;
    for (int i = 0; i < 25 && c->status == CI_OK; i++)
        c->status = count_up(c->storage);
    return NULL;
}

static void conditional_puts_of_many_threads_lose_no_update(void **state) {
    fixture *f = *state;
    counter counters[4];
    pthread_t threads[4];
    _cleanup_buf_ cii_buf text = {0};
    assert_int_equal(put_text(f->storage, "number", "0"), CI_OK);
    for (int i = 0; i < 4; i++) {
        counters[i] = (counter){.storage = i % 2 ? f->storage : open_storage(f)};
        assert_int_equal(pthread_create(&threads[i], NULL, count_often, &counters[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(counters[i].status, CI_OK);
        if (i % 2 == 0)
            ci_storage_free(counters[i].storage);
    }
    assert_int_equal(get(f->storage, "number", &text), CI_OK);
    assert_string_equal(text.data, "100");
}

static void a_folder_locked_by_others_delays_but_never_blocks(void **state) {
    fixture *f = *state;
    source from = {.data = "x", .size = 1};
    ci_op *op = start_put(f->storage, &PUT_REQUEST("k"), &from);
    assert_int_equal(flock(f->work_fd, LOCK_EX), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(op->ops->process(op, NULL), 0);
    assert_int_equal(flock(f->work_fd, LOCK_UN), 0);
    assert_int_equal(drive(op, NULL), CI_OK);
}

/* --- large folders, other mounts ---------------------------------------------------------------------------------- */

static void large_folders_are_listed_in_pages_in_linear_time(void **state) {
    fixture *f = *state;
    char name[32], last[32] = "";
    unsigned count = 100, total = 0;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "f%05d", i);
        write_file(f->work_fd, name, "");
    }
    clock_t begin = clock();
    while (count == 100) {
        _cleanup_buf_ cii_buf keys = {0};
        assert_int_equal(list(f->storage, "f", last[0] ? last : NULL, 100, &keys, &count), CI_OK);
        if (count > 0)
            snprintf(last, sizeof last, "%.6s", keys.data + keys.size - 7);
        total += count;
    }
    assert_int_equal(total, 5000);
    assert_true(clock() - begin < 5 * CLOCKS_PER_SEC); /* of a processor's time */
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

static void objects_may_lie_on_a_mount_inside_and_a_full_one_is_a_limit(void **state) {
    fixture *f = *state;
    _cleanup_free_ char *path = cii_str_printf("%s/work/mounted", f->path);
    assert_int_equal(mkdirat(f->work_fd, "mounted", 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        enter_namespace();
        if (mount("tmpfs", path, "tmpfs", 0, "size=64k") < 0)
            _exit(77);
        _cleanup_free_ char *data = calloc(1, 1 << 20);
        ci_storage *storage = open_storage(f);
        cii_buf keys = {0};
        bool good = put_text(storage, "mounted/a/k", "x") == CI_OK;
        good = good && put(storage, "mounted/a/big", data, 1 << 20, NULL) == CI_ERR_LIMIT;
        good = good && list(storage, "", NULL, 10, &keys, NULL) == CI_OK && strcmp(keys.data, "mounted/a/k ") == 0;
        good = good && remove_object(storage, "mounted/a/k") == CI_OK;
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- making it ---------------------------------------------------------------------------------------------------- */

static void the_folder_is_made_or_must_be_there(void **state) {
    fixture *f = *state;
    ci_storage *storage = NULL;
    ci_error *error = NULL;
    ci_storage_dir_options options = CI_STORAGE_DIR_OPTIONS_INIT;
    _cleanup_free_ char *path = cii_str_printf("%s/work/new/er", f->path);
    _cleanup_free_ char *file = cii_str_printf("%s/outside/secret", f->path);
    options.no_create = 1;
    assert_int_equal(ci_storage_dir_new(path, &options, &storage, &error), CI_ERR_NOTFOUND);
    assert_non_null(strstr(ci_error_message(error), path));
    assert_int_equal(ci_storage_dir_new(file, NULL, &storage, &error), CI_ERR_INVALID);
    assert_int_equal(ci_storage_dir_new("", NULL, &storage, &error), CI_ERR_INVALID);
    assert_int_equal(ci_storage_dir_new(NULL, NULL, &storage, &error), CI_ERR_INVALID);
    assert_int_equal(ci_storage_dir_new(path, NULL, NULL, &error), CI_ERR_INVALID);
    assert_null(storage);
    options.no_create = 0;
    options.struct_size = 1;
    assert_int_equal(ci_storage_dir_new(path, &options, &storage, &error), CI_ERR_INVALID);
    ci_error_free(error);
    assert_int_equal(ci_storage_dir_new(path, NULL, &storage, NULL), CI_OK);
    assert_true(is_there(f, "new/er"));
    ci_storage_free(storage);
}

static void a_relative_path_is_taken_once(void **state) {
    fixture *f = *state;
    ci_storage *storage = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_free_ char *here = getcwd(NULL, 0);
    assert_int_equal(fchdir(f->fd), 0);
    assert_int_equal(ci_storage_dir_new("work/relative", NULL, &storage, NULL), CI_OK);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(put_text(storage, "k", "x"), CI_OK);
    assert_true(is_there(f, "relative/k"));
    assert_int_equal(cii_storage_describe(storage, &text), CI_OK);
    assert_true(cii_str_starts(text, "folder /") && cii_str_ends(text, "/work/relative"));
    ci_storage_free(storage);
}

static size_t open_descriptors(void) {
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void descriptors_are_given_back(void **state) {
    fixture *f = *state;
    _cleanup_buf_ cii_buf data = {0};
    size_t before = open_descriptors();
    ci_storage *storage = open_storage(f);
    void *lock;
    assert_int_equal(open_descriptors(), before + 1);
    assert_int_equal(put_text(storage, "a/b", "x"), CI_OK);
    assert_int_equal(get(storage, "a/b", &data), CI_OK);
    assert_int_equal(get(storage, "a/c", &data), CI_ERR_NOTFOUND);
    assert_int_equal(put_text(storage, "a/b/c", "x"), CI_ERR_INVALID);
    assert_int_equal(list(storage, "", NULL, 1, &data, NULL), CI_OK);
    assert_int_equal(cii_storage_ops(storage)->lock(cii_storage_impl(storage), "id", &lock, NULL), CI_OK);
    cii_storage_ops(storage)->unlock(cii_storage_impl(storage), lock);
    assert_int_equal(remove_object(storage, "a/b"), CI_OK);
    assert_int_equal(open_descriptors(), before + 1);
    ci_storage_free(storage);
    assert_int_equal(open_descriptors(), before);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(planted_links_are_never_followed),
        TEST(a_put_replaces_a_link_and_not_its_target),
        TEST(pipes_and_odd_names_are_no_objects),
        TEST(reserved_and_malformed_keys_are_refused),
        TEST(a_key_cannot_be_file_and_folder),
        TEST(folders_that_cannot_be_read_are_told_after_the_rest),
        TEST(a_file_changed_while_it_is_read_is_an_error),
        TEST(nothing_is_left_but_the_objects),
        TEST(temporary_files_of_the_living_stay_unlisted),
        TEST(temporary_files_of_the_dead_are_removed),
        TEST(a_given_up_put_leaves_no_folder),
        TEST(a_forked_child_gives_nothing_of_its_parent_up),
        TEST(a_full_disk_is_a_limit_and_leaves_nothing),
        TEST(files_get_the_modes_of_the_host),
        TEST(a_lock_holds_between_processes_and_ends_with_its_holder),
        TEST(a_lock_whose_file_comes_and_goes_still_has_one_holder),
        TEST(puts_survive_the_removal_of_their_folder),
        TEST(conditional_puts_of_many_threads_lose_no_update),
        TEST(a_folder_locked_by_others_delays_but_never_blocks),
        TEST(large_folders_are_listed_in_pages_in_linear_time),
        TEST(objects_may_lie_on_a_mount_inside_and_a_full_one_is_a_limit),
        TEST(the_folder_is_made_or_must_be_there),
        TEST(a_relative_path_is_taken_once),
        TEST(descriptors_are_given_back),
    };
    return cmocka_run_group_tests_name("dir", tests, NULL, NULL);
}
