/* Records of multipart uploads, so that those of a process that died are ended by the next one on this machine.
 *
 *     $TMPDIR/ci-uploads-UID/     ours alone (0700)
 *       ID                        "PLACE\nKEY\nBEGUN\n", then "UPLOAD-ID\n", and before it is completed "NONCE TIME\n";
 *                                 locked (flock) by who sends it, while that lives
 *       .ID                       one that is being made
 *
 * A record is there before its upload is asked for, and goes when that has ended: so an upload on this machine that has no
 * record, or one that nobody has locked, is nobody's. Where no record can be made, uploads go on without.
 *
 * Others can write where the folder lies: one that is not ours alone is not used, and what is in it is believed only as far
 * as it is a whole record of a plain file of ours. A record names a place and an upload, and never has a secret; it is used
 * by a storage of just that place, so that its requests go nowhere else than that storage's own. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/str.h"
#include "os/fd.h"
#include "storage/s3/s3.h"

#define RECORD_MAX 16384 /* a place, a key, an id */
#define ID_MAX 4096
#define SCAN_MS 200  /* thousands of records, whoever they are of */
#define ADOPT_MAX 16 /* at once; the rest by the next */
#define NO_ID "?"

typedef struct record {
    char text[RECORD_MAX + 1];
    const char *place, *key, *id; /* id "": not known yet; "?": it never will be */
    int64_t begun_s, completed_s;
    char nonce[27];
} record;

/* --- the folder --------------------------------------------------------------------------------------------------- */

/* /var/tmp outlives a restart of the machine, as uploads do; $XDG_RUNTIME_DIR goes with the user's last login, and
 * $XDG_STATE_HOME may be on a disk that machines share, whose locks tell nothing of another's processes. */
char *cii_s3_records_path(const char *where) {
    return cii_str_printf("%s/ci-uploads-%u", where && *where == '/' ? where : "/var/tmp", (unsigned)geteuid());
}

/* -1: there is none that is ours alone. */
static int open_folder(cii_s3 *s3, bool make) {
    struct stat st;
    if (make && mkdir(s3->records, 0700) < 0 && errno != EEXIST) {
        atomic_store(&s3->lacks_records, true);
        return -1;
    }
    _cleanup_close_ int fd = open(s3->records, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool missing = fd < 0 && errno == ENOENT;
    bool ours = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
    if (!missing)
        atomic_store(&s3->lacks_records, !ours);
    return ours ? TAKE_FD(fd) : -1;
}

/* --- a record ----------------------------------------------------------------------------------------------------- */

static char *next_line(char **at) {
    char *line = *at, *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static bool parse_time(const char *text, int64_t *ret_s) {
    size_t size = strlen(text);
    if (size == 0 || size > 15 || text[strspn(text, "0123456789")] != '\0')
        return false;
    *ret_s = strtoll(text, NULL, 10);
    return true;
}

static bool is_id(const char *id) {
    size_t size = 0;
    while (id[size] > ' ' && id[size] < 0x7f)
        size++;
    return size > 0 && size <= ID_MAX && id[size] == '\0';
}

/* "NONCE TIME" */
static bool parse_completed(record *r, const char *line) {
    size_t size = strspn(line, "0123456789abcdefghijklmnopqrstuvwxyz");
    if (size != sizeof r->nonce - 1 || line[size] != ' ' || !parse_time(line + size + 1, &r->completed_s))
        return false;
    memcpy(r->nonce, line, size);
    r->nonce[size] = '\0';
    return true;
}

/* False: it is none of this storage's, or no record. A last line that does not end was not written to its end. */
static bool parse(const cii_s3 *s3, record *r) {
    char *at = r->text;
    const char *begun, *line;
    r->place = next_line(&at);
    r->key = r->place ? next_line(&at) : NULL;
    begun = r->key ? next_line(&at) : NULL;
    if (!begun || strcmp(r->place, s3->name) != 0 || cii_key_check(r->key, false, "key", NULL) < 0 ||
        !parse_time(begun, &r->begun_s))
        return false;
    r->completed_s = 0;
    r->nonce[0] = '\0';
    line = next_line(&at);
    r->id = line ? line : "";
    if (line && !is_id(line))
        return false;
    while (line && (line = next_line(&at)))
        if (!parse_completed(r, line)) /* the last counts */
            return false;
    return true;
}

static bool read_record(const cii_s3 *s3, int fd, record *r) {
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
        (st.st_mode & 077) != 0 || st.st_size > RECORD_MAX)
        return false;
    ssize_t size = pread(fd, r->text, RECORD_MAX, 0);
    r->text[size > 0 ? size : 0] = '\0';
    return size > 0 && strlen(r->text) == (size_t)size && parse(s3, r);
}

static int make_record(cii_s3 *s3, const cii_s3_upload *u) {
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

void cii_s3_record_make(cii_s3 *s3, cii_s3_upload *u) {
    u->pid = getpid();
    u->record_fd = -1;
    if (cii_id_random(u->record) < 0)
        return;
    for (int tries = 0; tries < 3 && u->record_fd < 0; tries++) /* the folder goes with its last record */
        u->record_fd = make_record(s3, u);
}

void cii_s3_record_name(const cii_s3_upload *u) {
    const char *id = u->id && is_id(u->id) ? u->id : NO_ID;
    if (u->record_fd >= 0 && u->pid == getpid())
        (void)!(dprintf(u->record_fd, "%s\n", id) < 0);
}

void cii_s3_record_complete(const cii_s3_upload *u) {
    if (u->record_fd >= 0 && u->pid == getpid())
        (void)!(dprintf(u->record_fd, "%s %lld\n", u->nonce, (long long)u->completed_s) < 0);
}

void cii_s3_record_end(cii_s3 *s3, cii_s3_upload *u, bool keep) {
    if (u->record_fd < 0)
        return;
    _cleanup_close_ int folder_fd = keep || u->pid != getpid() ? -1 : open_folder(s3, false);
    if (folder_fd >= 0) {
        unlinkat(folder_fd, u->record, 0);
        rmdir(s3->records);
    }
    cii_close(u->record_fd);
    u->record_fd = -1;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

typedef struct scan {
    DIR *folder;
    int64_t until_ms;
    char name[27]; /* of the record found last */
} scan;

static bool scan_start(cii_s3 *s3, scan *sc) {
    int fd = open_folder(s3, false);
    *sc = (scan){.folder = fd < 0 ? NULL : fdopendir(fd), .until_ms = cii_clock_ms() + SCAN_MS};
    if (!sc->folder)
        cii_close(fd);
    return sc->folder != NULL;
}

/* Whether it went through all that is there. */
static bool scan_end(scan *sc) {
    if (sc->folder)
        closedir(sc->folder);
    return sc->folder && cii_clock_ms() < sc->until_ms;
}

static bool is_old(const struct stat *st) {
    return st->st_mtime < time(NULL) - CII_S3_UPLOAD_OLD_S;
}

/* One that was being made when its process died goes when it is old. */
static void clear_hidden(const scan *sc, const char *name) {
    struct stat st;
    if (name[0] == '.' && strlen(name) == sizeof sc->name &&
        fstatat(dirfd(sc->folder), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_old(&st))
        unlinkat(dirfd(sc->folder), name, 0);
}

/* The next record's descriptor; -1: there is none, or it took too long. */
static int scan_next(scan *sc) {
    const struct dirent *entry;
    while (cii_clock_ms() < sc->until_ms && (entry = readdir(sc->folder))) {
        clear_hidden(sc, entry->d_name);
        if (strlen(entry->d_name) != sizeof sc->name - 1)
            continue;
        int fd = openat(dirfd(sc->folder), entry->d_name, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        memcpy(sc->name, entry->d_name, sizeof sc->name);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

/* Consumes the descriptor of a record that nobody holds. NULL: without memory. */
static cii_s3_upload *adopt(const record *r, const char *name, int fd) {
    cii_s3_upload *u = cii_s3_upload_alloc(r->key);
    if (!u) {
        cii_close(fd);
        return NULL;
    }
    u->id = *r->id && strcmp(r->id, NO_ID) != 0 ? strdup(r->id) : NULL;
    u->begun_s = r->begun_s;
    u->completed_s = r->completed_s;
    memcpy(u->nonce, r->nonce, sizeof u->nonce);
    u->adopted = true;
    u->awaited = !u->id;
    u->pid = getpid();
    u->record_fd = fd;
    memcpy(u->record, name, sizeof u->record);
    if (*r->id == '\0')
        cii_s3_record_name(u);
    return u;
}

/* An old one goes, whoever's it is: of a place that nobody comes to, or that does not answer. Ours is tried once more. */
void cii_s3_records_adopt(cii_s3 *s3) {
    scan sc;
    struct stat st;
    record *r = malloc(sizeof *r);
    unsigned adopted = 0;
    if (!r || !scan_start(s3, &sc)) {
        free(r);
        return;
    }
    for (int fd; adopted < ADOPT_MAX && (fd = scan_next(&sc)) >= 0;) {
        bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0;
        bool ours = dead && read_record(s3, fd, r);
        if (dead && is_old(&st))
            unlinkat(dirfd(sc.folder), sc.name, 0);
        if (ours) {
            cii_s3_upload_leave(s3, adopt(r, sc.name, fd));
            adopted++;
        } else {
            cii_close(fd);
        }
    }
    scan_end(&sc);
    free(r);
    rmdir(s3->records);
}

bool cii_s3_records_claim(cii_s3 *s3, const cii_s3_upload *not_this, const char *id) {
    scan sc;
    bool claimed = false;
    record *r = malloc(sizeof *r);
    if (!r || !scan_start(s3, &sc)) {
        free(r);
        return true;
    }
    for (int fd; !claimed && (fd = scan_next(&sc)) >= 0; cii_close(fd))
        claimed = strcmp(sc.name, not_this->record) != 0 && read_record(s3, fd, r) &&
                  strcmp(r->key, not_this->key) == 0 && (*r->id == '\0' || strcmp(r->id, id) == 0);
    bool whole = scan_end(&sc);
    free(r);
    return claimed || !whole;
}
