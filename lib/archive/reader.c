/* libarchive, held on a short lead: one format and at most one compression, chosen by the first bytes, so that nothing
 * nested is ever opened; input counted; names converted in UTF-8 whatever the host's locale is.
 *
 * libarchive converts names by the thread's locale. A host that never called setlocale(3) has "C", in which a name
 * that is not ASCII is lost, so the thread gets C.UTF-8 while a header is read, and its own back before anyone else's
 * code runs. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>

#include "archive/entry.h"

#define BLOCK_SIZE (64 * 1024)

struct cii_archive_reader {
    struct archive *archive;
    struct archive_entry *entry;
    locale_t locale; /* 0: there is none; names are then as the thread's own locale has them */
    int fd;
    int64_t size;
    int64_t offset;
    uint64_t consumed;
    bool out_of_memory;
    char reason[CII_ARCHIVE_REASON_SIZE];
    char block[BLOCK_SIZE];
};

static void reader_free_p(cii_archive_reader **reader) {
    cii_archive_reader_free(*reader);
}

/* libarchive's callbacks. pread, so that the descriptor's own offset is nobody's business. */

static la_ssize_t on_read(struct archive *archive, void *user, const void **ret_block) {
    cii_archive_reader *r = user;
    ssize_t size;
    do
        size = pread(r->fd, r->block, sizeof r->block, r->offset);
    while (size < 0 && errno == EINTR);
    if (size < 0) {
        archive_set_error(archive, errno, "read: %s", strerrordesc_np(errno));
        return -1;
    }
    r->offset += size;
    r->consumed += (uint64_t)size;
    *ret_block = r->block;
    return size;
}

static la_int64_t on_skip(struct archive *archive _unused_, void *user, la_int64_t request) {
    cii_archive_reader *r = user;
    la_int64_t size = CII_MAX(CII_MIN(request, r->size - r->offset), 0);
    r->offset += size;
    return size;
}

static la_int64_t on_seek(struct archive *archive _unused_, void *user, la_int64_t offset, int whence) {
    cii_archive_reader *r = user;
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? r->offset : r->size;
    int64_t to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0)
        return ARCHIVE_FATAL;
    return r->offset = CII_MIN(to, r->size);
}

/* By the first bytes: append, unlike support, adds one filter and lets libarchive look for no other. */
static int choose(struct archive *archive, int fd) {
    static const struct {
        const char *magic;
        int size;
        int filter;
    } filters[] = {
        {"\x1f\x8b", 2, ARCHIVE_FILTER_GZIP},
        {"BZh", 3, ARCHIVE_FILTER_BZIP2},
        {"\xfd"
         "7zXZ",
         6, ARCHIVE_FILTER_XZ},
        {"\x28\xb5\x2f\xfd", 4, ARCHIVE_FILTER_ZSTD},
    };
    char head[8] = {0};
    if (pread(fd, head, sizeof head, 0) < 0)
        return ARCHIVE_FATAL;
    if (archive_read_support_format_tar(archive) != ARCHIVE_OK)
        return ARCHIVE_FATAL;
    for (size_t i = 0; i < CII_ELEMENTS(filters); i++)
        if (memcmp(head, filters[i].magic, (size_t)filters[i].size) == 0)
            return archive_read_append_filter(archive, filters[i].filter);
    if (archive_read_support_format_zip(archive) != ARCHIVE_OK ||
        archive_read_support_format_7zip(archive) != ARCHIVE_OK)
        return ARCHIVE_FATAL;
    return archive_read_append_filter(archive, ARCHIVE_FILTER_NONE);
}

static cii_archive_read failed(cii_archive_reader *r, cii_archive_read what) {
    const char *why = archive_error_string(r->archive);
    snprintf(r->reason, sizeof r->reason, "%s", why ? why : "it cannot be read");
    r->reason[strcspn(r->reason, "\n")] = '\0';
    return archive_errno(r->archive) == ENOMEM ? CII_ARCHIVE_READ_NOMEM : what;
}

static cii_archive_read open_archive(cii_archive_reader *r) {
    r->offset = 0;
    r->archive = archive_read_new();
    if (!r->archive)
        return CII_ARCHIVE_READ_NOMEM;
    if (choose(r->archive, r->fd) < ARCHIVE_WARN || archive_read_set_read_callback(r->archive, on_read) != ARCHIVE_OK ||
        archive_read_set_skip_callback(r->archive, on_skip) != ARCHIVE_OK ||
        archive_read_set_seek_callback(r->archive, on_seek) != ARCHIVE_OK ||
        archive_read_set_callback_data(r->archive, r) != ARCHIVE_OK || archive_read_open1(r->archive) < ARCHIVE_WARN)
        return failed(r, CII_ARCHIVE_READ_FOREIGN);
    return CII_ARCHIVE_READ_OK;
}

ci_status cii_archive_reader_new(int fd, cii_archive_reader **ret_reader, ci_error **ret_error) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return cii_error_errno(ret_error, errno, "archive", "look at the archive");
    if (!S_ISREG(st.st_mode))
        return cii_error_set(ret_error, CI_ERR_INVALID, "archive", "the archive is not a regular file");
    _cleanup_(reader_free_p) cii_archive_reader *r = calloc(1, sizeof *r);
    if (!r)
        return cii_error_nomem(ret_error);
    r->fd = fd;
    r->size = st.st_size;
    r->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    cii_archive_read opened = open_archive(r);
    if (opened == CII_ARCHIVE_READ_NOMEM)
        return cii_error_nomem(ret_error);
    if (opened != CII_ARCHIVE_READ_OK)
        return cii_error_set(ret_error, CI_ERR_INVALID, "archive", "this is no archive that can be unpacked: %s",
                             r->reason);
    *ret_reader = TAKE_PTR(r);
    return CI_OK;
}

bool cii_archive_reader_again(cii_archive_reader *r, uint64_t skip_count) {
    archive_read_free(r->archive);
    int code = open_archive(r) == CII_ARCHIVE_READ_OK ? ARCHIVE_OK : ARCHIVE_FATAL;
    while (skip_count-- > 0 && (code == ARCHIVE_OK || code == ARCHIVE_WARN))
        code = archive_read_next_header(r->archive, &r->entry);
    return code == ARCHIVE_OK || code == ARCHIVE_WARN;
}

void cii_archive_reader_free(cii_archive_reader *r) {
    if (r == NULL)
        return;
    archive_read_free(r->archive);
    if (r->locale != (locale_t)0)
        freelocale(r->locale);
    free(r);
}

static cii_archive_kind kind_of(struct archive_entry *entry) {
    if (archive_entry_hardlink(entry) != NULL)
        return CII_ARCHIVE_HARD_LINK;
    switch (archive_entry_filetype(entry)) {
    case 0:
    case AE_IFREG:
        return CII_ARCHIVE_FILE;
    case AE_IFDIR:
        return CII_ARCHIVE_FOLDER;
    case AE_IFLNK:
        return CII_ARCHIVE_LINK;
    default:
        return CII_ARCHIVE_OTHER;
    }
}

static bool put_text(cii_buf *to, const char *text) {
    cii_buf_clear(to);
    return cii_buf_append_str(to, text != NULL ? text : "") == CI_OK;
}

static bool fill(cii_archive_entry *to, struct archive_entry *from, bool zip) {
    to->kind = kind_of(from);
    to->mode = archive_entry_perm(from) & 0777;
    to->has_modified = archive_entry_mtime_is_set(from);
    to->modified = (struct timespec){archive_entry_mtime(from), archive_entry_mtime_nsec(from)};
    to->encrypted = archive_entry_is_encrypted(from);
    to->zip = zip;
    const char *target = to->kind == CII_ARCHIVE_HARD_LINK ? archive_entry_hardlink(from) : archive_entry_symlink(from);
    return put_text(&to->name, archive_entry_pathname(from)) && put_text(&to->target, target);
}

cii_archive_read cii_archive_reader_next(cii_archive_reader *r, cii_archive_entry *entry) {
    locale_t before = r->locale != (locale_t)0 ? uselocale(r->locale) : (locale_t)0;
    int code = archive_read_next_header(r->archive, &r->entry);
    bool filled = true;
    if (code == ARCHIVE_OK || code == ARCHIVE_WARN)
        filled = fill(entry, r->entry, (archive_format(r->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP);
    if (before != (locale_t)0)
        uselocale(before);
    if (!filled)
        return CII_ARCHIVE_READ_NOMEM;
    switch (code) {
    case ARCHIVE_OK:
    case ARCHIVE_WARN:
        return CII_ARCHIVE_READ_OK;
    case ARCHIVE_EOF:
        return CII_ARCHIVE_READ_END;
    case ARCHIVE_RETRY:
        return failed(r, CII_ARCHIVE_READ_DAMAGED);
    default:
        return failed(r, archive_format(r->archive) == 0 ? CII_ARCHIVE_READ_FOREIGN : CII_ARCHIVE_READ_BROKEN);
    }
}

cii_archive_read cii_archive_reader_data(cii_archive_reader *r, const void **ret_data, size_t *ret_size,
                                         uint64_t *ret_offset) {
    la_int64_t offset = 0;
    *ret_data = NULL;
    *ret_size = 0;
    int code = archive_read_data_block(r->archive, ret_data, ret_size, &offset);
    *ret_offset = (uint64_t)offset;
    if (offset < 0) {
        snprintf(r->reason, sizeof r->reason, "negative offset");
        return CII_ARCHIVE_READ_DAMAGED;
    }
    switch (code) {
    case ARCHIVE_OK:
        return CII_ARCHIVE_READ_OK;
    case ARCHIVE_EOF:
        return CII_ARCHIVE_READ_END;
    case ARCHIVE_FATAL:
        return failed(r, CII_ARCHIVE_READ_BROKEN);
    default:
        return failed(r, CII_ARCHIVE_READ_DAMAGED);
    }
}

uint64_t cii_archive_reader_bytes(const cii_archive_reader *r) {
    return CII_MIN(r->consumed, (uint64_t)r->size);
}

const char *cii_archive_reader_reason(const cii_archive_reader *r) {
    return r->reason;
}
