/* A copy of the text in which names and values are cut out in place, and a list of where they are. */
#include "aws/ini.h"

#include <openssl/crypto.h>

#define DOMAIN "aws"

/* A section itself has neither key nor value. */
typedef struct entry {
    const char *section;
    char *key;
    const char *inner_key; /* NULL: not within another */
    char *value;
} entry;

struct cii_ini {
    char *text;
    size_t size;
    entry *entries;
    size_t count, capacity;
};

typedef struct parser {
    cii_ini *ini;
    const char *section; /* NULL before the first */
    size_t key_indent;
    bool is_key_open;   /* what is indented deeper goes on with the last key */
    size_t key_at;      /* the entry of that key */
    char *value_end;    /* where its value ends */
    size_t empty_lines; /* since then */
    size_t line;
} parser;

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* Without white space at both ends; ends it in place. */
static char *strip(char *text) {
    size_t size = strlen(text);
    while (size > 0 && is_space(text[size - 1]))
        size--;
    text[size] = '\0';
    while (is_space(*text))
        text++;
    return text;
}

static ci_status add(cii_ini *ini, entry e) {
    if (ini->count == ini->capacity) {
        size_t capacity = CII_MAX(2 * ini->capacity, (size_t)32);
        entry *entries = reallocarray(ini->entries, capacity, sizeof *entries);
        if (!entries)
            return CI_ERR_NOMEM;
        ini->entries = entries;
        ini->capacity = capacity;
    }
    ini->entries[ini->count++] = e;
    return CI_OK;
}

/* Brings a section's name to one form in place: one space between words, no quotes. */
static void plain_name(char *name) {
    char *to = name, quote = '\0';
    for (const char *from = name; *from; from++) {
        if (quote ? *from == quote : *from == '"' || *from == '\'')
            quote = quote ? '\0' : *from;
        else if (quote || !is_space(*from))
            *to++ = *from;
        else if (to > name && to[-1] != ' ')
            *to++ = ' ';
    }
    if (to > name && to[-1] == ' ')
        to--;
    *to = '\0';
}

/* Cuts "name = value" at the first of `marks`; NULL when there is none or no name. */
static char *cut(char *text, const char *marks) {
    char *mark = strpbrk(text, marks);
    if (!mark || mark == text)
        return NULL;
    *mark = '\0';
    (void)strip(text);
    return strip(mark + 1);
}

static ci_status go_on(parser *p, char *line) {
    entry *key = &p->ini->entries[p->key_at];
    if (*key->value == '\0') {
        char *value = cut(line, "=");
        return value ? add(p->ini, (entry){p->section, key->key, line, value}) : CI_ERR_INVALID;
    }
    size_t size = strlen(line); /* goes behind what is there: new lines and indentation have left room */
    for (; p->empty_lines > 0; p->empty_lines--)
        *p->value_end++ = '\n';
    *p->value_end++ = '\n';
    memmove(p->value_end, line, size + 1);
    p->value_end += size;
    return CI_OK;
}

static ci_status open_section(parser *p, char *line) {
    char *end = strrchr(line, ']');
    if (!end || end == line + 1)
        return CI_ERR_INVALID;
    *end = '\0';
    plain_name(line + 1);
    p->section = line + 1;
    p->is_key_open = false;
    return add(p->ini, (entry){.section = p->section});
}

static ci_status open_key(parser *p, char *line) {
    char *value = p->section ? cut(line, "=:") : NULL;
    if (!value)
        return CI_ERR_INVALID;
    for (char *c = line; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c |= 32;
    p->is_key_open = true;
    p->empty_lines = 0;
    p->key_at = p->ini->count;
    p->value_end = value + strlen(value);
    return add(p->ini, (entry){p->section, line, NULL, value});
}

static ci_status take_line(parser *p, char *text) {
    char *line = strip(text);
    size_t indent = (size_t)(line - text);
    p->empty_lines += *line == '\0';
    if (*line == '\0' || *line == '#' || *line == ';')
        return CI_OK;
    if (p->is_key_open && indent > p->key_indent)
        return go_on(p, line);
    p->key_indent = indent;
    return *line == '[' ? open_section(p, line) : open_key(p, line);
}

static ci_status take_lines(cii_ini *ini, ci_error **ret_error) {
    parser p = {.ini = ini};
    char *next = ini->text;
    if (strncmp(next, "\xef\xbb\xbf", 3) == 0)
        next += 3;
    while (next) {
        char *line = next, *end = strchr(line, '\n');
        next = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        p.line++;
        ci_status status = take_line(&p, line);
        if (status == CI_ERR_NOMEM)
            return cii_error_nomem(ret_error);
        if (status < 0)
            return cii_error_set(ret_error, status, DOMAIN, "line %zu: %s", p.line,
                                 p.section ? "neither [section] nor key = value" : "no [section] before it");
    }
    return CI_OK;
}

ci_status cii_ini_parse(const char *text, size_t size, cii_ini **ret_ini, ci_error **ret_error) {
    if (size > CII_INI_SIZE_MAX)
        return cii_error_set(ret_error, CI_ERR_LIMIT, DOMAIN, "%zu bytes, at most %u", size, CII_INI_SIZE_MAX);
    if (size > 0 && memchr(text, '\0', size))
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "not a text: it has NUL bytes");
    _cleanup_ini_ cii_ini *ini = calloc(1, sizeof *ini);
    if (!ini || !(ini->text = strndup(size > 0 ? text : "", size)))
        return cii_error_nomem(ret_error);
    ini->size = size;
    ci_status status = take_lines(ini, ret_error);
    if (status == CI_OK)
        *ret_ini = TAKE_PTR(ini);
    return status;
}

void cii_ini_free(cii_ini *ini) {
    if (!ini)
        return;
    if (ini->text)
        OPENSSL_cleanse(ini->text, ini->size);
    free(ini->text);
    free(ini->entries);
    free(ini);
}

static bool same(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The last one counts. */
static const entry *find(const cii_ini *ini, const char *section, const char *key, const char *inner_key) {
    for (size_t i = ini->count; i > 0; i--) {
        const entry *e = &ini->entries[i - 1];
        if (same(e->key, key) && same(e->inner_key, inner_key) && strcmp(e->section, section) == 0)
            return e;
    }
    return NULL;
}

bool cii_ini_has(const cii_ini *ini, const char *section) {
    return find(ini, section, NULL, NULL) != NULL;
}

const char *cii_ini_get(const cii_ini *ini, const char *section, const char *key) {
    const entry *e = find(ini, section, key, NULL);
    return e ? e->value : NULL;
}

const char *cii_ini_get_within(const cii_ini *ini, const char *section, const char *key, const char *inner_key) {
    const entry *e = find(ini, section, key, inner_key);
    return e ? e->value : NULL;
}
