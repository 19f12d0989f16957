/* Small XML answers. */
#include "aws/xml.h"

#include <expat.h>

#define DOMAIN "aws"
#define DEPTH_MAX 32

typedef struct reader {
    XML_Parser parser;
    cii_xml_want *wants;
    size_t count;
    cii_xml_want *open; /* the one whose text is being read */
    unsigned depth, open_depth;
    ci_status status;
} reader;

static void stop(reader *r, ci_status status) {
    r->status = status;
    XML_StopParser(r->parser, XML_FALSE);
}

static void on_start(void *user, const char *name, const char **attributes) {
    reader *r = user;
    (void)attributes;
    const char *colon = strrchr(name, ':');
    if (++r->depth > DEPTH_MAX)
        stop(r, CI_ERR_PROTOCOL);
    for (size_t i = 0; i < r->count && !r->open; i++)
        if (!r->wants[i].is_found && strcmp(r->wants[i].name, colon ? colon + 1 : name) == 0) {
            r->open = &r->wants[i];
            r->open_depth = r->depth;
        }
}

static void on_end(void *user, const char *name) {
    reader *r = user;
    (void)name;
    if (r->open && r->depth == r->open_depth) {
        r->open->is_found = true;
        r->open = NULL;
    }
    r->depth--;
}

static void on_text(void *user, const char *text, int size) {
    reader *r = user;
    ci_status status = r->open ? cii_buf_append(&r->open->text, text, (size_t)size) : CI_OK;
    if (status < 0)
        stop(r, status);
}

static void on_doctype(void *user, const char *name, const char *system_id, const char *public_id, int has_internal) {
    (void)name, (void)system_id, (void)public_id, (void)has_internal;
    stop(user, CI_ERR_PROTOCOL);
}

ci_status cii_xml_read(const char *xml, size_t size, cii_xml_want *wants, size_t count, ci_error **ret_error) {
    reader r = {.parser = XML_ParserCreate(NULL), .wants = wants, .count = count};
    if (!r.parser)
        return cii_error_nomem(ret_error);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    bool is_whole = size <= INT32_MAX && XML_Parse(r.parser, xml, (int)size, XML_TRUE) == XML_STATUS_OK;
    if (!is_whole && r.status == CI_OK)
        r.status = XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY ? CI_ERR_NOMEM : CI_ERR_PROTOCOL;
    XML_ParserFree(r.parser);
    if (r.status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    return r.status == CI_OK ? CI_OK : cii_error_set(ret_error, r.status, DOMAIN, "not the XML that was expected");
}
