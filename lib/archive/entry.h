/* The parts of unpacking: reader (libarchive to entries), names (what a name may be), writer (entries to files).
 * archive.c puts them together, and counts. Nothing here is used outside this folder. */
#ifndef CII_ARCHIVE_ENTRY_H
#define CII_ARCHIVE_ENTRY_H

#include <sys/types.h>
#include <time.h>

#include "base/buf.h"

#define CII_ARCHIVE_REASON_SIZE 256
#define CII_ARCHIVE_NAME_MAX 4095 /* PATH_MAX without its NUL */

typedef enum cii_archive_kind {
    CII_ARCHIVE_FILE,
    CII_ARCHIVE_FOLDER,
    CII_ARCHIVE_LINK,
    CII_ARCHIVE_HARD_LINK,
    CII_ARCHIVE_OTHER, /* device, FIFO, socket */
} cii_archive_kind;

typedef struct cii_archive_entry {
    cii_buf name;   /* as it stands in the archive, in UTF-8 where the format tells; may be empty */
    cii_buf target; /* of a link */
    cii_archive_kind kind;
    mode_t mode; /* permission bits, set-id bits gone */
    struct timespec modified;
    bool has_modified;
    bool encrypted;
    bool zip;
} cii_archive_entry;

/* names.c */

/* Brings an entry's name to the form "a/b", "" for the folder itself. Returns NULL, or why it is refused. In a zip, a
 * backslash is a separator (Windows programs write it) and bytes that are not UTF-8 are code page 437. */
const char *cii_archive_name_clean(const char *name, bool zip, cii_buf *ret_clean);

/* Whether a link at `name` (clean) to `target` stays below the top, whatever other links of that kind stand beside it:
 * relative, ".." only in front and no more of them than the link has folders above it. So a link climbs only real
 * folders, and goes down from there. Returns NULL, or why it is refused. */
const char *cii_archive_target_check(const char *name, const char *target);

/* reader.c */

typedef struct cii_archive_reader cii_archive_reader;

/* What reading came to. */
typedef enum cii_archive_read {
    CII_ARCHIVE_READ_OK,
    CII_ARCHIVE_READ_END,     /* of the archive, or of the entry's data */
    CII_ARCHIVE_READ_DAMAGED, /* this entry; others may follow */
    CII_ARCHIVE_READ_BROKEN,  /* nothing can follow */
    CII_ARCHIVE_READ_FOREIGN, /* not an archive */
    CII_ARCHIVE_READ_NOMEM,
} cii_archive_read;

ci_status cii_archive_reader_new(int fd, cii_archive_reader **ret_reader, ci_error **ret_error);
void cii_archive_reader_free(cii_archive_reader *reader);
/* entry's buffers are used again. */
cii_archive_read cii_archive_reader_next(cii_archive_reader *reader, cii_archive_entry *entry);
/* A block of the entry's data; at the end *ret_offset is the entry's size, a hole at its end included. */
cii_archive_read cii_archive_reader_data(cii_archive_reader *reader, const void **ret_data, size_t *ret_size,
                                         uint64_t *ret_offset);
/* Begins anew and goes past that many entries, as libarchive gives a zip up at the first entry whose data do not inflate.
 * False: it cannot. */
bool cii_archive_reader_again(cii_archive_reader *reader, uint64_t skip_count);
/* Bytes consumed, each byte of the archive at most once. */
uint64_t cii_archive_reader_bytes(const cii_archive_reader *reader);
/* Why the last call did not give OK or END. */
const char *cii_archive_reader_reason(const cii_archive_reader *reader);

/* writer.c */

typedef struct cii_archive_writer {
    int dir_fd;            /* borrowed */
    int parent_fd;         /* of the last entry, kept for the next one */
    int file_fd;           /* the file being written */
    cii_buf parent;        /* path of parent_fd */
    const char *base;      /* last part of the file being written, inside its clean name */
    uint64_t folder_count; /* folders made */
    uint64_t folder_max;   /* of them at most */
} cii_archive_writer;

void cii_archive_writer_init(cii_archive_writer *writer, int dir_fd, uint64_t folder_max);
void cii_archive_writer_done(cii_archive_writer *writer);
/* The calls below return 0 or an errno. `name` is clean and not empty; one folder more than folder_max is EDQUOT. */
int cii_archive_write_folder(cii_archive_writer *writer, const char *name, mode_t mode);
int cii_archive_write_link(cii_archive_writer *writer, const char *name, const char *target);
int cii_archive_write_hard_link(cii_archive_writer *writer, const char *name, const char *target, uint64_t *ret_bytes);
/* name must live until the file is ended. */
int cii_archive_write_begin(cii_archive_writer *writer, const char *name);
int cii_archive_write_data(cii_archive_writer *writer, const void *data, size_t size, uint64_t offset);
int cii_archive_write_end(cii_archive_writer *writer, const cii_archive_entry *entry, uint64_t size);
/* Gives the file up: it is gone. */
void cii_archive_write_cancel(cii_archive_writer *writer);

#endif
