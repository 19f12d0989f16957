/* Names of archives and names in archives. Text only: nothing here looks at a file system. */
#include <strings.h>

#include "archive/archive.h"
#include "archive/entry.h"
#include "base/utf8.h"

bool cii_archive_is_name(const char *name, size_t *ret_stem_size) {
    static const char *const suffixes[] = {".zip",    ".tar", ".tar.gz",  ".tgz",  ".tar.bz2", ".tbz2",
                                           ".tar.xz", ".txz", ".tar.zst", ".tzst", ".7z"};
    size_t size = strlen(name);
    for (size_t i = 0; i < CII_ELEMENTS(suffixes); i++) {
        size_t suffix = strlen(suffixes[i]);
        if (size <= suffix || strcasecmp(name + size - suffix, suffixes[i]) != 0 || name[size - suffix - 1] == '/')
            continue;
        *ret_stem_size = size - suffix;
        return true;
    }
    return false;
}

/* Code page 437 from 0x80 on, as the zip format has it for names that are not marked as UTF-8. */
static const uint16_t code_page_437[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee,
    0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6,
    0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa,
    0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502,
    0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514,
    0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550,
    0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c,
    0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
    0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320,
    0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0};

static ci_status append_437(cii_buf *to, const char *text) {
    ci_status status = CI_OK;
    for (; *text != '\0' && status == CI_OK; text++) {
        unsigned char byte = (unsigned char)*text;
        unsigned point = byte < 0x80 ? byte : code_page_437[byte - 0x80];
        char utf8[3] = {(char)(0xe0 | point >> 12), (char)(0x80 | (point >> 6 & 0x3f)), (char)(0x80 | (point & 0x3f))};
        if (point < 0x80)
            status = cii_buf_append(to, &byte, 1);
        else if (point < 0x800)
            status = cii_buf_append(to, (char[]){(char)(0xc0 | point >> 6), utf8[2]}, 2);
        else
            status = cii_buf_append(to, utf8, 3);
    }
    return status;
}

/* What Windows programs write in a zip brought to what the format says. */
static ci_status append_zip(cii_buf *to, const char *name) {
    ci_status status = cii_utf8_valid(name, strlen(name)) ? cii_buf_append_str(to, name) : append_437(to, name);
    for (size_t i = 0; status == CI_OK && i < to->size; i++)
        if (to->data[i] == '\\')
            to->data[i] = '/';
    return status;
}

static bool is_drive(const char *name) {
    return ((name[0] >= 'A' && name[0] <= 'Z') || (name[0] >= 'a' && name[0] <= 'z')) && name[1] == ':' &&
           name[2] == '/';
}

static bool is_part(const char *part, size_t size, const char *what) {
    return strlen(what) == size && memcmp(part, what, size) == 0;
}

const char *cii_archive_name_clean(const char *name, bool zip, cii_buf *ret_clean) {
    _cleanup_buf_ cii_buf text = {0};
    if (name[0] == '\0')
        return "its name is empty";
    if (strlen(name) > CII_ARCHIVE_NAME_MAX)
        return "its name is too long";
    if ((zip ? append_zip(&text, name) : cii_buf_append_str(&text, name)) != CI_OK)
        return "out of memory";
    if (text.data[0] == '/' || (zip && is_drive(text.data)))
        return "its name is absolute";
    cii_buf_clear(ret_clean);
    for (const char *part = text.data; *part != '\0';) {
        size_t size = strcspn(part, "/");
        if (is_part(part, size, ".."))
            return "its name leaves the folder";
        if (size > 255)
            return "its name is too long";
        if (size > 0 && !is_part(part, size, ".") &&
            ((ret_clean->size > 0 && cii_buf_append(ret_clean, "/", 1) != CI_OK) ||
             cii_buf_append(ret_clean, part, size) != CI_OK))
            return "out of memory";
        part += size + (part[size] == '/');
    }
    return ret_clean->size > CII_ARCHIVE_NAME_MAX ? "its name is too long" : NULL;
}

const char *cii_archive_target_check(const char *name, const char *target) {
    static const char outside[] = "it is a link that leads out of the folder";
    size_t above = 0;
    for (const char *c = name; *c != '\0'; c++)
        above += *c == '/';
    if (target[0] == '\0')
        return "it is a link to nothing";
    if (strlen(target) > CII_ARCHIVE_NAME_MAX)
        return "it is a link whose target is too long";
    if (target[0] == '/')
        return outside;
    bool climbing = true;
    for (const char *part = target; *part != '\0';) {
        size_t size = strcspn(part, "/");
        if (is_part(part, size, "..")) {
            if (!climbing || above-- == 0)
                return outside;
        } else if (size > 0 && !is_part(part, size, ".")) {
            climbing = false;
        }
        part += size + (part[size] == '/');
    }
    return NULL;
}
