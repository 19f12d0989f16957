/* Unpacking in steps: takes entries from the reader, judges them, gives them to the writer, and counts. */
#include "archive/archive.h"

#include <stdarg.h>
#include <stdio.h>

#include "archive/entry.h"
#include "base/clock.h"

/* Text of the links that wait for the end; beyond it they are refused, as memory is the host's. */
#define LINK_TEXT_MAX ((size_t)16 << 20)
#define AGAIN_MAX 100 /* times a zip is begun anew: each reads all headers before the damage */

typedef enum state {
    STATE_HEADER,
    STATE_FILE,  /* the entry's data goes to the writer */
    STATE_DRAIN, /* the entry's data is read and dropped */
    STATE_LINKS,
    STATE_DONE,
} state;

struct cii_archive {
    cii_archive_reader *reader;
    cii_archive_writer writer;
    cii_archive_limits limits;
    cii_archive_refused_cb refused;
    void *user;
    cii_archive_report report;
    state state;
    uint64_t seen_count; /* entries met; with the folders made for them they keep to limits.entry_count */
    unsigned again_count;
    uint64_t output_bytes; /* unpacked, dropped ones included */
    uint64_t file_bytes;   /* of the entry being written */
    cii_archive_entry entry;
    cii_buf name;  /* the entry's, clean */
    cii_buf links; /* name NUL target NUL, … */
    size_t link_offset;
};

ci_status cii_archive_new(int archive_fd, int dir_fd, const cii_archive_limits *limits, cii_archive_refused_cb refused,
                          void *user, cii_archive **ret_archive, ci_error **ret_error) {
    cii_archive *a = calloc(1, sizeof *a);
    if (!a)
        return cii_error_nomem(ret_error);
    a->limits = *limits;
    a->refused = refused;
    a->user = user;
    a->report.complete = true;
    cii_archive_writer_init(&a->writer, dir_fd, limits->entry_count);
    cii_buf_init(&a->links, LINK_TEXT_MAX);
    ci_status status = cii_archive_reader_new(archive_fd, &a->reader, ret_error);
    if (status < 0) {
        cii_archive_free(a);
        return status;
    }
    *ret_archive = a;
    return CI_OK;
}

void cii_archive_free(cii_archive *a) {
    if (!a)
        return;
    cii_archive_reader_free(a->reader);
    cii_archive_writer_done(&a->writer);
    cii_buf_free(&a->entry.name);
    cii_buf_free(&a->entry.target);
    cii_buf_free(&a->name);
    cii_buf_free(&a->links);
    free(a);
}

/* --- refusing, and giving up -------------------------------------------------------------------------------------- */

_printf_(3, 4) static void refuse(cii_archive *a, const char *name, const char *format, ...) {
    char reason[CII_ARCHIVE_REASON_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    a->report.refused_count++;
    if (a->refused)
        a->refused(a->user, name, reason);
}

static ci_status over_limit(ci_error **ret_error, const char *what, uint64_t limit) {
    return cii_error_set(ret_error, CI_ERR_LIMIT, "archive", "the archive holds more than %llu %s",
                         (unsigned long long)limit, what);
}

/* Bytes that are about to come out. */
static ci_status count_bytes(cii_archive *a, uint64_t size, ci_error **ret_error) {
    if (__builtin_add_overflow(a->output_bytes, size, &a->output_bytes) || a->output_bytes > a->limits.bytes)
        return over_limit(ret_error, "bytes unpacked", a->limits.bytes);
    if (a->output_bytes <= a->limits.ratio_free_bytes)
        return CI_OK;
    uint64_t allowed;
    if (__builtin_mul_overflow(cii_archive_reader_bytes(a->reader), a->limits.ratio, &allowed) ||
        a->output_bytes - a->limits.ratio_free_bytes <= allowed)
        return CI_OK;
    return over_limit(ret_error, "bytes unpacked for each byte packed", a->limits.ratio);
}

/* What one entry's own name or kind is to blame for; everything else ends the whole. */
static const char *blame(int error) {
    static const struct {
        int error;
        const char *reason;
    } reasons[] = {
        {EEXIST, "its name is taken by an earlier entry"},
        {EISDIR, "its name is taken by an earlier entry"},
        {ENOTDIR, "a part of its path is a file"},
        {ELOOP, "a part of its path is a link"},
        {ENAMETOOLONG, "its name is too long"},
        {EINVAL, "its name cannot be a file's here"},
        {EILSEQ, "its name cannot be a file's here"},
        {EMLINK, "it has too many links"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(reasons); i++)
        if (reasons[i].error == error)
            return reasons[i].reason;
    return NULL;
}

/* What writing the entry `name` came to: CI_OK when it is done or refused. */
static ci_status written(cii_archive *a, const char *name, int error, ci_error **ret_error) {
    if (error == 0) {
        a->report.entry_count++;
        return CI_OK;
    }
    if (error == EDQUOT && a->writer.folder_count >= a->writer.folder_max)
        return over_limit(ret_error, "files and folders", a->limits.entry_count);
    const char *reason = blame(error);
    if (!reason)
        return cii_error_errno(ret_error, error, "archive", "unpack %s", name);
    refuse(a, name, "%s", reason);
    return CI_OK;
}

static void broken(cii_archive *a) {
    a->report.complete = false;
    snprintf(a->report.reason, sizeof a->report.reason, "%s", cii_archive_reader_reason(a->reader));
    a->state = STATE_LINKS;
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

static ci_status begin_file(cii_archive *a, ci_error **ret_error) {
    int error = cii_archive_write_begin(&a->writer, a->name.data);
    if (error != 0)
        return written(a, a->name.data, error, ret_error);
    a->file_bytes = 0;
    a->state = STATE_FILE;
    return CI_OK;
}

static ci_status make_folder(cii_archive *a, ci_error **ret_error) {
    return written(a, a->name.data, cii_archive_write_folder(&a->writer, a->name.data, a->entry.mode), ret_error);
}

static ci_status keep_link(cii_archive *a, ci_error **ret_error) {
    const char *reason = cii_archive_target_check(a->name.data, a->entry.target.data);
    size_t before = a->links.size;
    if (!reason) {
        ci_status status = cii_buf_append(&a->links, a->name.data, a->name.size + 1);
        if (status == CI_OK)
            status = cii_buf_append(&a->links, a->entry.target.data, a->entry.target.size + 1);
        if (status == CI_OK)
            return CI_OK;
        if (status != CI_ERR_LIMIT)
            return cii_error_nomem(ret_error);
        a->links.size = before; /* a name without its target goes */
        reason = "there are too many links";
    }
    refuse(a, a->name.data, "%s", reason);
    return CI_OK;
}

/* A hard link counts with its file's size, as everybody after us reads it as a file of its own. */
static ci_status make_hard_link(cii_archive *a, ci_error **ret_error) {
    _cleanup_buf_ cii_buf target = {0};
    uint64_t bytes = 0;
    const char *reason = cii_archive_name_clean(a->entry.target.data, a->entry.zip, &target);
    if (!reason && target.size == 0)
        reason = "it is a link to a folder";
    if (!reason) {
        int error = cii_archive_write_hard_link(&a->writer, a->name.data, target.data, &bytes);
        if (error != ENOENT && error != EINVAL && error != EPERM) {
            ci_status status = written(a, a->name.data, error, ret_error);
            return status < 0 ? status : count_bytes(a, bytes, ret_error);
        }
        reason = error == EPERM ? "none can be made here" : "its target is no file unpacked before";
    }
    refuse(a, a->name.data, "hard link: %s", reason);
    return CI_OK;
}

static ci_status refuse_kind(cii_archive *a, ci_error **ret_error _unused_) {
    refuse(a, a->name.data, "it is neither a file nor a folder nor a link");
    return CI_OK;
}

static ci_status take_entry(cii_archive *a, ci_error **ret_error) {
    static ci_status (*const takers[])(cii_archive *, ci_error **) = {
        [CII_ARCHIVE_FILE] = begin_file,          [CII_ARCHIVE_FOLDER] = make_folder, [CII_ARCHIVE_LINK] = keep_link,
        [CII_ARCHIVE_HARD_LINK] = make_hard_link, [CII_ARCHIVE_OTHER] = refuse_kind,
    };
    a->writer.folder_max -= a->entry.kind != CII_ARCHIVE_FOLDER;
    if (++a->seen_count > a->limits.entry_count || a->writer.folder_count > a->writer.folder_max)
        return over_limit(ret_error, "files and folders", a->limits.entry_count);
    const char *reason = cii_archive_name_clean(a->entry.name.data, a->entry.zip, &a->name);
    a->state = STATE_DRAIN;
    if (!reason && a->entry.encrypted) {
        reason = "it is encrypted";
        a->state = STATE_HEADER; /* there is nothing to be read */
    }
    if (reason) {
        refuse(a, a->entry.name.data, "%s", reason);
        return CI_OK;
    }
    if (a->name.size > 0)
        return takers[a->entry.kind](a, ret_error);
    if (a->entry.kind != CII_ARCHIVE_FOLDER)
        refuse(a, a->entry.name.data, "its name is the folder's own");
    return CI_OK;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static ci_status step_header(cii_archive *a, ci_error **ret_error) {
    switch (cii_archive_reader_next(a->reader, &a->entry)) {
    case CII_ARCHIVE_READ_OK:
        return take_entry(a, ret_error);
    case CII_ARCHIVE_READ_END:
        a->state = STATE_LINKS;
        return CI_OK;
    case CII_ARCHIVE_READ_DAMAGED:
        broken(a);
        a->state = STATE_HEADER;
        return CI_OK;
    case CII_ARCHIVE_READ_FOREIGN:
        return cii_error_set(ret_error, CI_ERR_INVALID, "archive", "this is no archive that can be unpacked: %s",
                             cii_archive_reader_reason(a->reader));
    case CII_ARCHIVE_READ_NOMEM:
        return cii_error_nomem(ret_error);
    default:
        broken(a);
        return CI_OK;
    }
}

static ci_status end_file(cii_archive *a, ci_error **ret_error) {
    int error = cii_archive_write_end(&a->writer, &a->entry, a->file_bytes);
    a->report.bytes += a->file_bytes;
    a->state = STATE_HEADER;
    return written(a, a->name.data, error, ret_error);
}

/* Takes a block, counts it with the hole before it, and writes it in STATE_FILE. */
static ci_status take_block(cii_archive *a, const void *data, size_t size, uint64_t offset, ci_error **ret_error) {
    uint64_t end;
    if (__builtin_add_overflow(offset, size, &end))
        return over_limit(ret_error, "bytes unpacked", a->limits.bytes);
    uint64_t grown = end > a->file_bytes ? end - a->file_bytes : 0;
    ci_status status = count_bytes(a, CII_MAX(grown, (uint64_t)size), ret_error);
    if (status < 0)
        return status;
    a->file_bytes = CII_MAX(a->file_bytes, end);
    int error = a->state == STATE_FILE ? cii_archive_write_data(&a->writer, data, size, offset) : 0;
    return error == 0 ? CI_OK : cii_error_errno(ret_error, error, "archive", "unpack %s", a->name.data);
}

/* A zip goes on behind an entry that cannot be read. */
static bool go_past(cii_archive *a) {
    return a->entry.zip && a->again_count++ < AGAIN_MAX && cii_archive_reader_again(a->reader, a->seen_count);
}

static ci_status step_data(cii_archive *a, ci_error **ret_error) {
    const void *data;
    size_t size;
    uint64_t offset;
    bool writing = a->state == STATE_FILE;
    cii_archive_read read = cii_archive_reader_data(a->reader, &data, &size, &offset);
    if (read == CII_ARCHIVE_READ_NOMEM)
        return cii_error_nomem(ret_error);
    if (read == CII_ARCHIVE_READ_OK || (read == CII_ARCHIVE_READ_END && writing)) {
        ci_status status = take_block(a, data, size, offset, ret_error);
        return status == CI_OK && read == CII_ARCHIVE_READ_END ? end_file(a, ret_error) : status;
    }
    if (writing) {
        cii_archive_write_cancel(&a->writer);
        refuse(a, a->name.data, "damaged: %s", cii_archive_reader_reason(a->reader));
    }
    a->state = STATE_HEADER;
    if (read == CII_ARCHIVE_READ_BROKEN && !go_past(a))
        broken(a);
    return CI_OK;
}

static ci_status step_links(cii_archive *a, ci_error **ret_error) {
    if (a->link_offset == a->links.size) {
        a->state = STATE_DONE;
        return CI_OK;
    }
    const char *name = a->links.data + a->link_offset;
    const char *target = name + strlen(name) + 1;
    a->link_offset += strlen(name) + strlen(target) + 2;
    return written(a, name, cii_archive_write_link(&a->writer, name, target), ret_error);
}

int cii_archive_step(cii_archive *a, int budget_ms, cii_archive_report *ret_report, ci_error **ret_error) {
    static ci_status (*const steps[])(cii_archive *, ci_error **) = {
        [STATE_HEADER] = step_header, [STATE_FILE] = step_data, [STATE_DRAIN] = step_data, [STATE_LINKS] = step_links};
    int64_t until = cii_clock_us() + (int64_t)budget_ms * 1000;
    do {
        if (a->state == STATE_DONE) {
            *ret_report = a->report;
            return 1;
        }
        ci_status status = steps[a->state](a, ret_error);
        if (status < 0)
            return status;
    } while (cii_clock_us() < until);
    return 0;
}
