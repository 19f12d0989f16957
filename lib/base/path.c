/* Names and paths as text, and what kind of content a name and its first bytes stand for. */
#include "base/path.h"

#include <strings.h>

#include "base/utf8.h"

ci_status cii_path_normalize(const char *path, char **ret_path, ci_error **ret_error) {
    bool absolute = *path == '/';
    char *clean = malloc(strlen(path) + 2);
    if (!clean)
        return cii_error_nomem(ret_error);
    char *begin = clean + absolute, *end = begin; /* every part goes in behind a "/" but the first */
    *clean = '/';
    while (*path) {
        size_t size = strcspn(path, "/");
        if (size == 2 && memcmp(path, "..", 2) == 0) {
            while (end > begin && *--end != '/')
                ;
        } else if (size > 0 && !(size == 1 && *path == '.')) {
            if (end > begin)
                *end++ = '/';
            memcpy(end, path, size);
            end += size;
        }
        path += size + (path[size] == '/');
    }
    if (end == clean)
        *end++ = '.';
    *end = '\0';
    *ret_path = clean;
    return CI_OK;
}

bool cii_path_climbs(const char *path) {
    if (*path == '/')
        return false;
    for (size_t depth = 0; *path;) {
        size_t size = strcspn(path, "/");
        bool up = size == 2 && memcmp(path, "..", 2) == 0;
        if (up && depth-- == 0)
            return true;
        if (!up && size > 0 && !(size == 1 && *path == '.'))
            depth++;
        path += size + (path[size] == '/');
    }
    return false;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

#define KEY_MAX 1024u

static const char *key_fault(const char *key, size_t size, bool prefix) {
    if (size > KEY_MAX)
        return "longer than 1,024 bytes";
    if (!cii_utf8_valid(key, size))
        return "not UTF-8";
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
            return "a control character in it";
    if (prefix && size == 0)
        return NULL;
    for (;;) {
        size_t part = strcspn(key, "/");
        if (part == 0)
            return prefix && *key == '\0' ? NULL : "an empty part (a \"/\" too many, or nothing at all)";
        if ((part == 1 && key[0] == '.') || (part == 2 && key[0] == '.' && key[1] == '.'))
            return "a part that is \".\" or \"..\"";
        if (key[part] == '\0')
            return NULL;
        key += part + 1;
    }
}

ci_status cii_key_check(const char *key, bool prefix, const char *what, ci_error **ret_error) {
    const char *fault = key_fault(key, strlen(key), prefix);
    if (!fault)
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_INVALID, "path", "%s \"%.200s\": %s", what, key, fault);
}

const char *cii_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* --- MIME types --------------------------------------------------------------------------------------------------- */

static const struct magic {
    const char *bytes;
    unsigned char size;
    unsigned short offset;
    const char *type;
} magics[] = {
    {"\x89PNG\r\n\x1a\n", 8, 0, "image/png"},
    {"\xff\xd8\xff", 3, 0, "image/jpeg"},
    {"GIF87a", 6, 0, "image/gif"},
    {"GIF89a", 6, 0, "image/gif"},
    {"WEBP", 4, 8, "image/webp"},
    {"II*\0", 4, 0, "image/tiff"},
    {"MM\0*", 4, 0, "image/tiff"},
    {"ftypavif", 8, 4, "image/avif"},
    {"ftypheic", 8, 4, "image/heic"},
    {"ftypqt", 6, 4, "video/quicktime"},
    {"ftyp", 4, 4, "video/mp4"},
    {"\x1a\x45\xdf\xa3", 4, 0, "video/webm"},
    {"WAVE", 4, 8, "audio/wav"},
    {"ID3", 3, 0, "audio/mpeg"},
    {"OggS", 4, 0, "audio/ogg"},
    {"fLaC", 4, 0, "audio/flac"},
    {"%PDF-", 5, 0, "application/pdf"},
    {"PK\3\4", 4, 0, "application/zip"},
    {"PK\5\6", 4, 0, "application/zip"},
    {"\x1f\x8b", 2, 0, "application/gzip"},
    {"BZh", 3, 0, "application/x-bzip2"},
    {"\xfd\x37zXZ\0", 6, 0, "application/x-xz"},
    {"\x28\xb5\x2f\xfd", 4, 0, "application/zstd"},
    {"7z\xbc\xaf\x27\x1c", 6, 0, "application/x-7z-compressed"},
    {"ustar", 5, 257, "application/x-tar"},
    {"SQLite format 3\0", 16, 0, "application/vnd.sqlite3"},
    {"PAR1", 4, 0, "application/vnd.apache.parquet"},
    {"\x89HDF\r\n\x1a\n", 8, 0, "application/x-hdf5"},
    {"\x93NUMPY", 6, 0, "application/x-npy"},
    {"\0asm", 4, 0, "application/wasm"},
    {"\x7f\x45LF", 4, 0, "application/x-executable"},
    {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8, 0, "application/x-ole-storage"},
    {"wOFF", 4, 0, "font/woff"},
    {"wOF2", 4, 0, "font/woff2"},
};

/* What a suffix stands for, and what the first bytes must then be: text, something binary, or the format it is made of,
 * which the suffix tells apart better than the bytes. */
enum { IS_TEXT, IS_BINARY };
static const struct suffix {
    const char *suffix;
    const char *type;
    int content;
    const char *made_of;
} suffixes[] = {
    {".txt", "text/plain", IS_TEXT, NULL},
    {".log", "text/plain", IS_TEXT, NULL},
    {".md", "text/markdown", IS_TEXT, NULL},
    {".csv", "text/csv", IS_TEXT, NULL},
    {".tsv", "text/tab-separated-values", IS_TEXT, NULL},
    {".json", "application/json", IS_TEXT, NULL},
    {".jsonl", "application/jsonl", IS_TEXT, NULL},
    {".geojson", "application/geo+json", IS_TEXT, NULL},
    {".ipynb", "application/x-ipynb+json", IS_TEXT, NULL},
    {".yaml", "application/yaml", IS_TEXT, NULL},
    {".yml", "application/yaml", IS_TEXT, NULL},
    {".toml", "application/toml", IS_TEXT, NULL},
    {".xml", "application/xml", IS_TEXT, NULL},
    {".html", "text/html", IS_TEXT, NULL},
    {".htm", "text/html", IS_TEXT, NULL},
    {".css", "text/css", IS_TEXT, NULL},
    {".svg", "image/svg+xml", IS_TEXT, NULL},
    {".py", "text/x-python", IS_TEXT, NULL},
    {".js", "text/javascript", IS_TEXT, NULL},
    {".mjs", "text/javascript", IS_TEXT, NULL},
    {".cjs", "text/javascript", IS_TEXT, NULL},
    {".ts", "text/x-typescript", IS_TEXT, NULL},
    {".sh", "text/x-shellscript", IS_TEXT, NULL},
    {".sql", "application/sql", IS_TEXT, NULL},
    {".tex", "text/x-tex", IS_TEXT, NULL},
    {".c", "text/x-c", IS_TEXT, NULL},
    {".h", "text/x-c", IS_TEXT, NULL},
    {".diff", "text/x-diff", IS_TEXT, NULL},
    {".patch", "text/x-diff", IS_TEXT, NULL},
    {".rtf", "application/rtf", IS_TEXT, NULL},
    {".ics", "text/calendar", IS_TEXT, NULL},
    {".eml", "message/rfc822", IS_TEXT, NULL},
    {".png", "image/png", IS_BINARY, NULL},
    {".jpg", "image/jpeg", IS_BINARY, NULL},
    {".jpeg", "image/jpeg", IS_BINARY, NULL},
    {".gif", "image/gif", IS_BINARY, NULL},
    {".webp", "image/webp", IS_BINARY, NULL},
    {".bmp", "image/bmp", IS_BINARY, NULL},
    {".ico", "image/vnd.microsoft.icon", IS_BINARY, NULL},
    {".tif", "image/tiff", IS_BINARY, NULL},
    {".tiff", "image/tiff", IS_BINARY, NULL},
    {".pdf", "application/pdf", IS_BINARY, NULL},
    {".mp3", "audio/mpeg", IS_BINARY, NULL},
    {".wav", "audio/wav", IS_BINARY, NULL},
    {".mp4", "video/mp4", IS_BINARY, NULL},
    {".mkv", "video/matroska", IS_BINARY, "video/webm"},
    {".m4a", "audio/mp4", IS_BINARY, "video/mp4"},
    {".zip", "application/zip", IS_BINARY, NULL},
    {".gz", "application/gzip", IS_BINARY, NULL},
    {".tar", "application/x-tar", IS_BINARY, NULL},
    {".7z", "application/x-7z-compressed", IS_BINARY, NULL},
    {".parquet", "application/vnd.apache.parquet", IS_BINARY, NULL},
    {".feather", "application/vnd.apache.arrow.file", IS_BINARY, NULL},
    {".h5", "application/x-hdf5", IS_BINARY, NULL},
    {".npy", "application/x-npy", IS_BINARY, NULL},
    {".pkl", "application/x-pickle", IS_BINARY, NULL},
    {".pickle", "application/x-pickle", IS_BINARY, NULL},
    {".db", "application/vnd.sqlite3", IS_BINARY, NULL},
    {".sqlite", "application/vnd.sqlite3", IS_BINARY, NULL},
    {".ttf", "font/ttf", IS_BINARY, NULL},
    {".otf", "font/otf", IS_BINARY, NULL},
    {".npz", "application/x-npz", IS_BINARY, "application/zip"},
    {".whl", "application/x-wheel+zip", IS_BINARY, "application/zip"},
    {".jar", "application/java-archive", IS_BINARY, "application/zip"},
    {".epub", "application/epub+zip", IS_BINARY, "application/zip"},
    {".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", IS_BINARY, "application/zip"},
    {".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", IS_BINARY, "application/zip"},
    {".pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", IS_BINARY,
     "application/zip"},
    {".odt", "application/vnd.oasis.opendocument.text", IS_BINARY, "application/zip"},
    {".ods", "application/vnd.oasis.opendocument.spreadsheet", IS_BINARY, "application/zip"},
    {".odp", "application/vnd.oasis.opendocument.presentation", IS_BINARY, "application/zip"},
    {".doc", "application/msword", IS_BINARY, "application/x-ole-storage"},
    {".xls", "application/vnd.ms-excel", IS_BINARY, "application/x-ole-storage"},
    {".ppt", "application/vnd.ms-powerpoint", IS_BINARY, "application/x-ole-storage"},
};

static const char *type_by_magic(const char *head, size_t size) {
    for (size_t i = 0; i < CII_ELEMENTS(magics); i++) {
        const struct magic *m = &magics[i];
        if (size >= (size_t)m->offset + m->size && memcmp(head + m->offset, m->bytes, m->size) == 0)
            return m->type;
    }
    return NULL;
}

static const struct suffix *find_suffix(const char *name) {
    const char *dot = strrchr(cii_path_base(name), '.');
    for (size_t i = 0; dot && i < CII_ELEMENTS(suffixes); i++)
        if (strcasecmp(dot, suffixes[i].suffix) == 0)
            return &suffixes[i];
    return NULL;
}

const char *cii_mime_type(const char *name, const void *head, size_t head_size) {
    const struct suffix *suffix = name ? find_suffix(name) : NULL;
    if (head_size == 0)
        return suffix ? suffix->type : "text/plain";
    bool is_text = cii_utf8_is_text(head, head_size - cii_utf8_incomplete_tail(head, head_size));
    if (!is_text || (head_size >= 5 && memcmp(head, "%PDF-", 5) == 0)) { /* the one binary format that may be ASCII */
        const char *type = type_by_magic(head, head_size);
        if (type)
            return suffix && suffix->made_of && strcmp(suffix->made_of, type) == 0 ? suffix->type : type;
    }
    if (suffix && is_text == (suffix->content == IS_TEXT) && !suffix->made_of)
        return suffix->type;
    return is_text ? "text/plain" : "application/octet-stream";
}
