/* Unpacking archives that nobody vouches for, by libarchive: zip, tar (plain, gzip, bzip2, xz, zstd), 7z.
 *
 * The archive is read from a descriptor; entries are written below a folder given by a descriptor, with our own writer:
 * every part of a name is opened by openat2 below that folder, no link is followed, links are made last and only when
 * they stay inside; devices and FIFOs, absolute names and names that leave the folder are refused one by one; set-id
 * bits are dropped, execute bits kept; archives inside stay files. Bytes are counted as they are written, never as
 * announced. The folder must be empty and not visible to the guest; the caller renames it into place or removes it.
 *
 * It works in steps so that no caller blocks for long. One thread at a time. */
#ifndef CII_ARCHIVE_ARCHIVE_H
#define CII_ARCHIVE_ARCHIVE_H

#include "base/error.h"

typedef struct cii_archive cii_archive;

typedef struct cii_archive_limits {
    uint64_t entry_count; /* files, folders, links */
    uint64_t bytes;       /* written in all */
    uint64_t ratio;       /* bytes out for each byte in, beyond ratio_free_bytes out */
    uint64_t ratio_free_bytes;
} cii_archive_limits;

/* What became of one entry that was not unpacked. */
typedef void (*cii_archive_refused_cb)(void *user, const char *name, const char *reason);

typedef struct cii_archive_report {
    uint64_t entry_count;   /* unpacked */
    uint64_t refused_count; /* refused, encrypted, damaged */
    uint64_t bytes;         /* written */
    bool complete;          /* false: it ended early (damaged, encrypted from there on); what was sound is there */
    char reason[256];       /* why not complete; "" otherwise */
} cii_archive_report;

/* Whether a name is one of an archive that is unpacked, by its suffix (.zip .tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz
 * .txz .tar.zst .tzst .7z, in any case); *ret_stem_size: the name without the suffix. */
bool cii_archive_is_name(const char *name, size_t *ret_stem_size);

/* archive_fd is read from its start and stays the caller's, open as long as this lives; dir_fd likewise. */
ci_status cii_archive_new(int archive_fd, int dir_fd, const cii_archive_limits *limits, cii_archive_refused_cb refused,
                          void *user, cii_archive **ret_archive, ci_error **ret_error);

/* Works for about budget_ms. 1: done, report filled; 0: go on; negative: not an archive at all (CI_ERR_INVALID), over a
 * limit (CI_ERR_LIMIT: what was written is to be removed by the caller), no room (CI_ERR_LIMIT), no memory, I/O. */
int cii_archive_step(cii_archive *archive, int budget_ms, cii_archive_report *ret_report, ci_error **ret_error);

void cii_archive_free(cii_archive *archive);

/* Removes everything below dir_fd, hostile content included: no link is followed, no other mount entered. 0 or -1. */
int cii_tree_remove(int parent_fd, const char *name);

#endif
