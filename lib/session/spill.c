/* See spill.h. */
#include "session/spill.h"

#include <fcntl.h>
#include <stdio.h>

#include "os/fd.h"

int cii_spill_write(void *user, int32_t stream, const void *data, size_t size) {
    cii_spill *spill = user;
    unsigned i = stream == CI_STREAM_STDERR;
    if (!spill->is_open[i]) {
        int fd = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0) {
            spill->error_number[i] = errno;
            return -1;
        }
        spill->fds[i] = fd;
        spill->is_open[i] = true;
    }
    if (cii_fd_write_all(spill->fds[i], data, size) < 0) {
        spill->error_number[i] = errno;
        return -1;
    }
    spill->sizes[i] += size;
    return 0;
}

static int64_t on_read(void *user, void *buffer, size_t size) {
    cii_spill *spill = user;
    ssize_t n = pread(spill->fds[spill->at], buffer, size, (off_t)spill->offset);
    if (n > 0)
        spill->offset += (uint64_t)n;
    return n < 0 ? -1 : n;
}

static ci_status tell(cii_spill *spill, ci_result *result, const char *error) {
    unsigned i = spill->at;
    const ci_file_info info = {
        .struct_size = sizeof info,
        .path = spill->name[i],
        .error = error,
        .size_bytes = spill->sizes[i],
        .kind = CI_KIND_REGULAR,
        .status = error ? CI_FILE_FAILED : CI_FILE_OK,
    };
    return cii_result_add_file(result, CI_FILES_MAIN, &info, NULL);
}

static ci_status start(cii_spill *spill, ci_session *session, ci_error **ret_error) {
    unsigned i = spill->at;
    snprintf(spill->name[i], sizeof spill->name[i], "%s-%llu.txt", i ? "stderr" : "stdout",
             (unsigned long long)atomic_fetch_add(&session->run_count, 1) + 1);
    if (spill->error_number[i] != 0)
        return cii_error_errno(ret_error, spill->error_number[i], "session", "keep the whole output in " P_tmpdir);
    spill->offset = 0;
    atomic_fetch_add(&session->write_count, 1);
    return session->ops->file_put(session->backend, spill->name[i], on_read, spill, &spill->op, ret_error);
}

int cii_spill_step(cii_spill *spill, ci_session *session, ci_result *result, cii_waits *waits, ci_error **ret_error) {
    for (; spill->at < 2; spill->at++) {
        if (!spill->is_open[spill->at] && spill->error_number[spill->at] == 0)
            continue;
        _cleanup_error_ ci_error *error = NULL;
        int r = spill->op ? 0 : start(spill, session, &error);
        if (r == 0)
            r = cii_op_step(&spill->op, waits, &error);
        if (r == 0)
            return 0;
        if (tell(spill, result, r < 0 ? ci_error_message(error) : NULL) < 0)
            return cii_error_nomem(ret_error);
    }
    return 1;
}

void cii_spill_free(cii_spill *spill) {
    cii_op_drop(&spill->op);
    for (unsigned i = 0; i < 2; i++)
        if (spill->is_open[i])
            cii_close(spill->fds[i]);
    *spill = (cii_spill){0};
}
