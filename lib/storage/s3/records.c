/* Records of multipart uploads, so that those of a process that died are ended by the next one on this machine.
 *
 *     $TMPDIR/ci-uploads-UID/     ours alone (0700)
 *       ID                        "PLACE\nKEY\nBEGUN\n", then "UPLOAD-ID\n", and before it is completed "NONCE TIME\n";
 *                                 locked (flock) by who sends it, while that lives
 *       .ID                       one that is being made
 *
 * A record is there before its upload is asked for, and goes when that has ended: so an upload on this machine that has no
 * record, or one that nobody has locked, is nobody's. Where no record can be made, uploads go on without. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/str.h"
#include "os/fd.h"
#include "storage/s3/s3.h"

#define RECORD_MAX 16384 /* a place, a key, an id */
#define SCAN_MAX 1000
#define ADOPT_MAX 16 /* at once; the rest by the next */
#define NO_ID "?"

typedef struct record {
    char text[RECORD_MAX + 1];
    const char *place, *key, *id; /* id "": not known yet; "?": it never will be */
    int64_t begun_s, completed_s;
    char nonce[27];
} record;

/* --- the folder --------------------------------------------------------------------------------------------------- */

static char *folder_path(const cii_s3 *s3) {
    const char *where = cii_aws_env(cii_aws_settings_env(s3->settings), "TMPDIR");
    return cii_str_printf("%s/ci-uploads-%u", where ? where : "/tmp", (unsigned)geteuid());
}

/* Nobody else may have made it, or write to it. -1: there is none. */
static int open_folder(const cii_s3 *s3, bool make) {
    struct stat st;
    _cleanup_free_ char *path = folder_path(s3);
    if (!path || (make && mkdir(path, 0700) < 0 && errno != EEXIST))
        return -1;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return -1;
    return TAKE_FD(fd);
}

/* --- a record ----------------------------------------------------------------------------------------------------- */

/* False: it is none of this storage's, or not whole. */
static bool parse(const cii_s3 *s3, record *r) {
    char *lines[3], *at = r->text;
    for (size_t i = 0; i < CII_ELEMENTS(lines); i++) {
        lines[i] = at;
        at = strchr(at, '\n');
        if (!at)
            return false;
        *at++ = '\0';
    }
    char *end = strchr(at, '\n');
    if (end)
        *end = '\0';
    r->place = lines[0];
    r->key = lines[1];
    r->begun_s = strtoll(lines[2], NULL, 10);
    r->id = end ? at : ""; /* one that is not ended was not written to its end */
    long long completed_s = 0;
    r->nonce[0] = '\0';
    for (at = end; at && sscanf(at + 1, "%26[a-z0-9] %lld\n", r->nonce, &completed_s) == 2; at = strchr(at + 1, '\n'))
        ; /* the last counts */
    r->completed_s = completed_s;
    return strcmp(r->place, s3->name) == 0;
}

static bool read_record(const cii_s3 *s3, int fd, record *r) {
    ssize_t size = pread(fd, r->text, RECORD_MAX, 0);
    r->text[size > 0 ? size : 0] = '\0';
    return size > 0 && parse(s3, r);
}

static int make_record(const cii_s3 *s3, const cii_s3_upload *u) {
    char hidden[sizeof u->record + 1];
    _cleanup_close_ int folder_fd = open_folder(s3, true);
    snprintf(hidden, sizeof hidden, ".%s", u->record);
    _cleanup_close_ int fd =
        folder_fd < 0 ? -1 : openat(folder_fd, hidden, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    /* Locked before it has its name, so that nobody takes it for a dead one's. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 ||
        dprintf(fd, "%s\n%s\n%lld\n", s3->name, u->key, (long long)u->begun_s) < 0 ||
        renameat(folder_fd, hidden, folder_fd, u->record) < 0) {
        unlinkat(folder_fd, hidden, 0);
        return -1;
    }
    return TAKE_FD(fd);
}

void cii_s3_record_make(const cii_s3 *s3, cii_s3_upload *u) {
    u->pid = getpid();
    u->record_fd = -1;
    if (cii_id_random(u->record) < 0)
        return;
    for (int tries = 0; tries < 3 && u->record_fd < 0; tries++) /* the folder goes with its last record */
        u->record_fd = make_record(s3, u);
}

void cii_s3_record_name(const cii_s3_upload *u) {
    const char *id = u->id ? u->id : NO_ID;
    if (u->record_fd >= 0 && u->pid == getpid() && !strchr(id, '\n'))
        (void)!(dprintf(u->record_fd, "%s\n", id) < 0);
}

void cii_s3_record_complete(const cii_s3_upload *u) {
    if (u->record_fd >= 0 && u->pid == getpid())
        (void)!(dprintf(u->record_fd, "%s %lld\n", u->nonce, (long long)u->completed_s) < 0);
}

void cii_s3_record_end(const cii_s3 *s3, cii_s3_upload *u, bool keep) {
    if (u->record_fd < 0)
        return;
    _cleanup_free_ char *path = keep || u->pid != getpid() ? NULL : folder_path(s3);
    _cleanup_close_ int folder_fd = path ? open_folder(s3, false) : -1;
    if (folder_fd >= 0) {
        unlinkat(folder_fd, u->record, 0);
        rmdir(path);
    }
    cii_close(u->record_fd);
    u->record_fd = -1;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

/* The next record's descriptor, its name in *ret_name; -1: there is none. */
static int next_record(DIR *folder, unsigned *seen, char ret_name[27]) {
    const struct dirent *entry;
    while (*seen < SCAN_MAX && (entry = readdir(folder))) {
        ++*seen;
        if (strlen(entry->d_name) != 26)
            continue;
        int fd = openat(dirfd(folder), entry->d_name, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        memcpy(ret_name, entry->d_name, 27);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static DIR *open_records(const cii_s3 *s3) {
    int fd = open_folder(s3, false);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder)
        cii_close(fd);
    return folder;
}

void cii_s3_records_adopt(cii_s3 *s3) {
    char name[27];
    unsigned seen = 0, adopted = 0;
    struct stat st;
    record *r = malloc(sizeof *r);
    DIR *folder = r ? open_records(s3) : NULL;
    for (int fd; folder && adopted < ADOPT_MAX && (fd = next_record(folder, &seen, name)) >= 0;) {
        bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0;
        cii_s3_upload *u = dead && read_record(s3, fd, r) ? cii_s3_upload_alloc(r->key) : NULL;
        if (dead && !u && st.st_mtime < time(NULL) - CII_S3_UPLOAD_OLD_S) /* of a place that nobody comes to */
            unlinkat(dirfd(folder), name, 0);
        if (!u) {
            cii_close(fd);
            continue;
        }
        u->id = *r->id && strcmp(r->id, NO_ID) != 0 ? strdup(r->id) : NULL;
        u->begun_s = r->begun_s;
        u->completed_s = r->completed_s;
        memcpy(u->nonce, r->nonce, sizeof u->nonce);
        u->adopted = true;
        adopted++;
        u->pid = getpid();
        u->record_fd = fd;
        memcpy(u->record, name, sizeof name);
        if (*r->id == '\0')
            cii_s3_record_name(u);
        cii_s3_upload_leave(s3, u);
    }
    if (folder)
        closedir(folder);
    free(r);
}

bool cii_s3_records_claim(const cii_s3 *s3, const cii_s3_upload *not_this, const char *id) {
    char name[27];
    unsigned seen = 0;
    bool claimed = false;
    record *r = malloc(sizeof *r);
    DIR *folder = r ? open_records(s3) : NULL;
    for (int fd; folder && !claimed && (fd = next_record(folder, &seen, name)) >= 0; cii_close(fd))
        claimed = strcmp(name, not_this->record) != 0 && read_record(s3, fd, r) && strcmp(r->key, not_this->key) == 0 &&
                  (*r->id == '\0' || strcmp(r->id, id) == 0);
    bool unknown = !folder || seen >= SCAN_MAX;
    if (folder)
        closedir(folder);
    free(r);
    return claimed || unknown;
}
