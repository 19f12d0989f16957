#include "aws/xml.h"

#include <expat.h>

#include "aws/secret.h"

#define DOMAIN "xml"
#define ROOM 4096  /* of a row, from the start: keys are not left behind where it grew */
#define PIECE 8192 /* handed to the parser at a time, so that its bounds are looked at often */

/* Names and texts of some leaves, in one buffer: by offsets, since it moves as it grows. */
typedef struct leaves {
    cii_buf bytes;
    struct {
        size_t name, text;
    } items[CII_XML_LEAVES_MAX];
    size_t count;
} leaves;

struct cii_xml {
    XML_Parser parser;
    cii_xml_row_cb row;
    void *user;
    leaves of_root, of_row;
    char *root;
    size_t row_name;   /* where it lies in of_row.bytes */
    size_t name, text; /* of the element that began last, likewise */
    bool is_leaf;      /* no element has begun in it */
    unsigned depth;
    bool begun; /* something other than white space has come */
    uint64_t fed;
    ci_status status; /* of the handler that stopped the parser */
    ci_error *error;
};

/* --- leaves --------------------------------------------------------------------------------------------------------- */

static const char *find_text(const leaves *l, const char *name) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->bytes.data + l->items[i].name, name) == 0)
            return l->bytes.data + l->items[i].text;
    return NULL;
}

static void add_leaf(leaves *l, size_t name, size_t text) {
    if (l->count == CII_XML_LEAVES_MAX || find_text(l, l->bytes.data + name) != NULL)
        return;
    l->items[l->count].name = name;
    l->items[l->count++].text = text;
}

static ci_status append_string(leaves *l, const char *text, size_t *ret_at) {
    *ret_at = l->bytes.size;
    return cii_buf_append(&l->bytes, text, strlen(text) + 1);
}

/* STS's answers are keys. */
static void forget_leaves(leaves *l) {
    cii_secret_clear(&l->bytes);
    l->count = 0;
}

const char *cii_xml_row_text(const cii_xml_row *row, const char *name) {
    for (size_t i = 0; i < row->count; i++)
        if (strcmp(row->leaves[i].name, name) == 0)
            return row->leaves[i].text;
    return NULL;
}

/* --- what expat finds ----------------------------------------------------------------------------------------------- */

static void stop(cii_xml *x, ci_status status) {
    x->status = status;
    XML_StopParser(x->parser, XML_FALSE);
}

/* Goes on when `status` is CI_OK. */
static bool may_go_on(cii_xml *x, ci_status status) {
    if (status == CI_ERR_LIMIT)
        status = cii_error_set(&x->error, status, DOMAIN, "an element of more than %d bytes", CII_XML_ROW_BYTES_MAX);
    else if (status == CI_ERR_NOMEM)
        status = cii_error_nomem(&x->error);
    if (status != CI_OK)
        stop(x, status);
    return status == CI_OK;
}

static const char *without_prefix(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon != NULL ? colon + 1 : name;
}

/* The element is at depth 1 (the root), 2 (a leaf of the root, or a row), or deeper (in a row). */
static void element_begins(void *user, const char *name, _unused_ const char **attributes) {
    cii_xml *x = user;
    if (++x->depth > CII_XML_DEPTH_MAX) {
        stop(x,
             cii_error_set(&x->error, CI_ERR_LIMIT, DOMAIN, "more than %d elements in each other", CII_XML_DEPTH_MAX));
        return;
    }
    name = without_prefix(name);
    if (x->depth == 1) {
        x->root = strdup(name);
        may_go_on(x, x->root != NULL ? CI_OK : CI_ERR_NOMEM);
        return;
    }
    if (!may_go_on(x, append_string(&x->of_row, name, &x->name)))
        return;
    if (x->depth == 2)
        x->row_name = x->name;
    x->text = x->of_row.bytes.size;
    x->is_leaf = true;
}

static void text_comes(void *user, const char *text, int size) {
    cii_xml *x = user;
    if (x->depth >= 2 && x->is_leaf)
        may_go_on(x, cii_buf_append(&x->of_row.bytes, text, (size_t)size));
}

static void tell_row(cii_xml *x) {
    cii_xml_leaf found[CII_XML_LEAVES_MAX];
    const char *bytes = x->of_row.bytes.data;
    for (size_t i = 0; i < x->of_row.count; i++)
        found[i] = (cii_xml_leaf){.name = bytes + x->of_row.items[i].name, .text = bytes + x->of_row.items[i].text};
    const cii_xml_row row = {.name = bytes + x->row_name, .leaves = found, .count = x->of_row.count};
    ci_status status = x->row != NULL ? x->row(x->user, &row, &x->error) : CI_OK;
    if (status != CI_OK)
        stop(x, status);
}

static ci_status add_root_leaf(cii_xml *x) {
    size_t name, text;
    const char *bytes = x->of_row.bytes.data;
    ci_status status = append_string(&x->of_root, bytes + x->name, &name);
    if (status == CI_OK)
        status = append_string(&x->of_root, bytes + x->text, &text);
    if (status == CI_OK)
        add_leaf(&x->of_root, name, text);
    return status;
}

static void element_ends(void *user, _unused_ const char *name) {
    cii_xml *x = user;
    if (x->depth >= 2 && x->is_leaf && !may_go_on(x, cii_buf_append(&x->of_row.bytes, "", 1)))
        return;
    if (x->depth > 2 && x->is_leaf)
        add_leaf(&x->of_row, x->name, x->text);
    if (x->depth == 2) {
        if (!x->is_leaf)
            tell_row(x);
        else if (!may_go_on(x, add_root_leaf(x)))
            return;
        forget_leaves(&x->of_row);
    }
    x->is_leaf = false;
    x->depth--;
}

static void doctype_begins(void *user, _unused_ const char *name, _unused_ const char *system,
                           _unused_ const char *public, _unused_ int internal) {
    cii_xml *x = user;
    stop(x, cii_error_set(&x->error, CI_ERR_PROTOCOL, DOMAIN, "has a document type"));
}

/* --- the parser ----------------------------------------------------------------------------------------------------- */

ci_status cii_xml_new(cii_xml_row_cb row, void *user, cii_xml **ret_xml, ci_error **ret_error) {
    _cleanup_xml_ cii_xml *x = calloc(1, sizeof *x);
    if (x == NULL)
        return cii_error_nomem(ret_error);
    x->row = row;
    x->user = user;
    cii_buf_init(&x->of_root.bytes, CII_XML_ROW_BYTES_MAX);
    cii_buf_init(&x->of_row.bytes, CII_XML_ROW_BYTES_MAX);
    /* UTF-8 whatever the document says: an encoding of its choice is nothing that an answer needs. */
    const XML_Memory_Handling_Suite memory = {malloc, realloc, free};
    x->parser = XML_ParserCreate_MM("UTF-8", &memory, NULL);
    if (x->parser == NULL || cii_buf_reserve(&x->of_row.bytes, ROOM, NULL) < 0)
        return cii_error_nomem(ret_error);
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, element_begins, element_ends);
    XML_SetCharacterDataHandler(x->parser, text_comes);
    XML_SetStartDoctypeDeclHandler(x->parser, doctype_begins);
    *ret_xml = TAKE_PTR(x);
    return CI_OK;
}

void cii_xml_free(cii_xml *x) {
    if (x == NULL)
        return;
    if (x->parser != NULL)
        XML_ParserFree(x->parser);
    cii_secret_buf_free(&x->of_root.bytes);
    cii_secret_buf_free(&x->of_row.bytes);
    ci_error_free(x->error);
    free(x->root);
    free(x);
}

static ci_status parse(cii_xml *x, const char *data, size_t size, bool last, ci_error **ret_error) {
    if (x->status != CI_OK)
        return cii_error_set(ret_error, x->status, DOMAIN, "parsing has failed before");
    if (XML_Parse(x->parser, data, (int)size, last) == XML_STATUS_OK) {
        x->fed += size;
        if (x->fed - (uint64_t)XML_GetCurrentByteIndex(x->parser) <= CII_XML_TOKEN_MAX || last)
            return CI_OK;
        return x->status =
                   cii_error_set(ret_error, CI_ERR_LIMIT, DOMAIN, "a tag of more than %d bytes", CII_XML_TOKEN_MAX);
    }
    if (x->error != NULL && ret_error != NULL) { /* a handler's */
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(x->error);
    }
    if (x->status != CI_OK)
        return x->status;
    enum XML_Error code = XML_GetErrorCode(x->parser);
    if (code == XML_ERROR_NO_MEMORY)
        return x->status = cii_error_nomem(ret_error);
    return x->status = cii_error_set(ret_error, CI_ERR_PROTOCOL, DOMAIN, "%s in line %lu", XML_ErrorString(code),
                                     XML_GetCurrentLineNumber(x->parser));
}

ci_status cii_xml_feed(cii_xml *x, const void *data, size_t size, ci_error **ret_error) {
    const char *at = data, *end = at + size;
    while (!x->begun && at < end && strchr(" \t\r\n", *at) != NULL && *at != 0)
        at++;
    x->begun |= at < end;
    ci_status status = CI_OK;
    while (at < end && status == CI_OK) {
        size_t piece = CII_MIN((size_t)(end - at), (size_t)PIECE);
        status = parse(x, at, piece, false, ret_error);
        at += piece;
    }
    return status;
}

ci_status cii_xml_end(cii_xml *x, ci_error **ret_error) {
    return parse(x, "", 0, true, ret_error);
}

const char *cii_xml_root(const cii_xml *x) {
    return x->root;
}

const char *cii_xml_text(const cii_xml *x, const char *name) {
    return find_text(&x->of_root, name);
}
