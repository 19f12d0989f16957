/* libci's part of S3's figures: the storage's contract, driven by one thread.
 *
 *     bench_s3 put FOLDER COUNT URL     files 0000, 0001, …, 8 operations at once
 *     bench_s3 put-file FILE URL KEY    one file
 *     bench_s3 list URL                 all of it, in pages of 1,000; prints the number of keys
 *     bench_s3 push FOLDER URL          a session whose root is the folder pushes, and then again for each line of stdin, which
 *                                       is answered with the microseconds that it took
 *
 * Server and keys as AWS's clients read them from the environment. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ci/ci.h>

#include "base/clock.h"
#include "base/str.h"
#include "storage/storage.h"

enum { PARALLEL = 8 };

static void must(ci_status status, ci_error *error) {
    if (status >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", ci_status_name(status), ci_error_message(error));
    exit(1);
}

static ci_storage *open_storage(const char *url) {
    ci_storage *storage;
    ci_error *error = NULL;
    ci_status status = ci_storage_s3_new(url, NULL, &storage, &error);
    must(status, error);
    return storage;
}

/* --- put ---------------------------------------------------------------------------------------------------------- */

typedef struct put {
    int fd;
    ci_op *op;
} put;

static int64_t read_file(void *user, void *buffer, size_t size) {
    return read(((put *)user)->fd, buffer, size);
}

static void begin(ci_storage *storage, const char *path, const char *key, put *p) {
    struct stat st;
    ci_error *error = NULL;
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    must(p->fd >= 0 && fstat(p->fd, &st) == 0 ? CI_OK : CI_ERR_NOTFOUND, NULL);
    const ci_put_request request = {.struct_size = sizeof request, .key = key, .size_bytes = (uint64_t)st.st_size};
    ci_status status =
        cii_storage_ops(storage)->put(cii_storage_impl(storage), &request, read_file, NULL, p, &p->op, &error);
    must(status, error);
}

/* Whether it is done. */
static bool process(put *p) {
    ci_error *error = NULL;
    int32_t result = p->op->ops->process(p->op, &error);
    must(result, error);
    if (result == 0)
        return false;
    p->op->ops->free(TAKE_PTR(p->op));
    close(p->fd);
    return true;
}

static void put_all(ci_storage *storage, const char *folder, unsigned count) {
    put puts[PARALLEL] = {0};
    struct pollfd fds[PARALLEL];
    for (unsigned begun = 0, done = 0; done < count;) {
        unsigned waiting = 0;
        bool idle = true;
        for (unsigned i = 0; i < PARALLEL; i++) {
            if (!puts[i].op && begun < count) {
                _cleanup_free_ char *path = cii_str_printf("%s/%04u", folder, begun++);
                begin(storage, path, strrchr(path, '/') + 1, &puts[i]);
            }
            if (!puts[i].op)
                continue;
            if (process(&puts[i])) {
                done++;
                idle = false;
                continue;
            }
            int fd = puts[i].op->ops->fd(puts[i].op);
            idle = idle && fd >= 0;
            fds[waiting++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        if (idle)
            poll(fds, waiting, -1);
    }
}

static void put_file(ci_storage *storage, const char *path, const char *key) {
    put p;
    begin(storage, path, key, &p);
    while (!process(&p)) {
        struct pollfd fd = {.fd = p.op->ops->fd(p.op), .events = POLLIN};
        if (fd.fd >= 0)
            poll(&fd, 1, -1);
    }
}

/* --- list --------------------------------------------------------------------------------------------------------- */

typedef struct page {
    unsigned count;
    char last[1025];
} page;

static int32_t count_key(void *user, const ci_object *object) {
    page *p = user;
    p->count++;
    snprintf(p->last, sizeof p->last, "%s", object->key);
    return 0;
}

static unsigned list(ci_storage *storage) {
    unsigned keys = 0;
    page p = {.count = 1000};
    while (p.count == 1000) {
        ci_op *op;
        ci_error *error = NULL;
        int32_t result;
        char after[sizeof p.last];
        memcpy(after, p.last, sizeof after);
        p.count = 0;
        ci_status status = cii_storage_ops(storage)->list(cii_storage_impl(storage), "", *after ? after : NULL, 1000,
                                                          count_key, &p, &op, &error);
        must(status, error);
        while ((result = op->ops->process(op, &error)) == 0) {
            struct pollfd fd = {.fd = op->ops->fd(op), .events = POLLIN};
            if (fd.fd >= 0)
                poll(&fd, 1, -1);
        }
        must(result, error);
        op->ops->free(op);
        keys += p.count;
    }
    return keys;
}

/* --- push --------------------------------------------------------------------------------------------------------- */

static void push_once(ci_session *session) {
    ci_result *result;
    ci_error *error = NULL;
    ci_status status = ci_push_to_workspace(session, NULL, 0, NULL, &result, &error);
    must(status, error);
    if (ci_result_outcome(result) != CI_OUTCOME_OK)
        must(CI_ERR_IO, NULL);
    ci_result_free(result);
}

static void push(ci_storage *storage, const char *folder) {
    ci_session *session;
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    ci_error *error = NULL;
    char line[64];
    options.storage = storage;
    options.host_dir = folder;
    ci_status status = ci_session_open(&options, &session, &error);
    must(status, error);
    push_once(session);
    while (fgets(line, sizeof line, stdin)) {
        int64_t start_us = cii_clock_us();
        push_once(session);
        printf("%lld\n", (long long)(cii_clock_us() - start_us));
        fflush(stdout);
    }
    ci_session_close(session);
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";
    ci_storage *storage = NULL;
    if (argc == 5 && strcmp(what, "put") == 0)
        put_all(storage = open_storage(argv[4]), argv[2], (unsigned)atoi(argv[3]));
    else if (argc == 5 && strcmp(what, "put-file") == 0)
        put_file(storage = open_storage(argv[3]), argv[2], argv[4]);
    else if (argc == 3 && strcmp(what, "list") == 0)
        printf("%u\n", list(storage = open_storage(argv[2])));
    else if (argc == 4 && strcmp(what, "push") == 0)
        push(storage = open_storage(argv[3]), argv[2]);
    else
        return 2;
    ci_storage_free(storage);
    return 0;
}
