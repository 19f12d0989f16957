/* See progress.h. */
#include "session/progress.h"

#include "base/clock.h"

#define EVERY_US 100000

void cii_progress_start(cii_progress *progress, const char *what) {
    *progress = (cii_progress){.what = what, .due_us = cii_clock_us() + EVERY_US};
}

void cii_progress_add(cii_progress *progress, uint64_t size_bytes) {
    progress->files_total++;
    progress->bytes_left += size_bytes;
}

void cii_progress_done(cii_progress *progress, uint64_t size_bytes, bool transferred, uint64_t moved_bytes) {
    progress->files_done++;
    progress->bytes_left -= size_bytes;
    progress->bytes_done += moved_bytes;
    progress->transferred |= transferred;
}

void cii_progress_tell(ci_session *session, cii_progress *progress, uint64_t moving_bytes, uint64_t expected_bytes,
                       bool is_end) {
    const ci_session_options *o = &session->options;
    const bool is_wanted = is_end ? progress->told || progress->transferred || moving_bytes > 0
                                  : progress->files_total > 0 && cii_clock_us() >= progress->due_us;
    if (!o->progress || !is_wanted)
        return;
    const uint64_t done = progress->bytes_done + moving_bytes;
    const ci_progress now = {
        .struct_size = sizeof now,
        .what = progress->what,
        .files_done = progress->files_done,
        .files_total = progress->files_total,
        .bytes_done = done,
        .bytes_total = done + progress->bytes_left - expected_bytes,
    };
    progress->due_us = cii_clock_us() + EVERY_US;
    progress->told = true;
    o->progress(o->progress_user, &now);
}
