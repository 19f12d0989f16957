/* A tool's input: parsed, checked against the table, and read field by field. */
#ifndef CII_TOOLS_INPUT_H
#define CII_TOOLS_INPUT_H

#include "base/json.h"
#include "tools/table.h"

typedef enum cii_tool_type {
    CII_TOOL_TEXT,
    CII_TOOL_STRING,
    CII_TOOL_CHOICE,
    CII_TOOL_SECONDS,
    CII_TOOL_FLAG,
    CII_TOOL_STRINGS,
    CII_TOOL_CONTENT,
} cii_tool_type;

typedef struct cii_tool_field {
    const char *name;
    const char *const *choices; /* NULL-ended */
    cii_tool_type type;
    bool required;
} cii_tool_field;

typedef struct cii_tool {
    const char *name;
    const cii_tool_field *fields;
    size_t field_count;
} cii_tool;

#define TOOL_ID(name, fields, description) CII_TOOL_ID_##name
#define COMMA ,
enum { TOOLS(TOOL_ID, COMMA), CII_TOOL_COUNT };

const cii_tool *cii_tool_at(size_t id);
/* The tool of that name. Otherwise NULL, and a sentence that says which there are is put into refusal. */
const cii_tool *cii_tool_find(const char *name, size_t *ret_id, cii_buf *refusal, ci_status *ret_status);

/* The most fields that a tool has; a test holds the table to it. */
#define CII_TOOL_FIELDS_MAX 8

typedef struct cii_tool_input {
    const cii_tool *tool;
    const cii_json *values[CII_TOOL_FIELDS_MAX]; /* as the tool's fields; NULL: not given, or null */
    cii_json *root;
    cii_json *decoded[CII_TOOL_FIELDS_MAX]; /* lists that came as JSON in a string */
} cii_tool_input;

/* Parses and checks. CI_OK with an empty refusal: the input is as it should be. CI_OK with text in refusal: one line
 * for each thing wrong, "execute_code: timeout: …". CI_ERR_NOMEM. To be freed in every case.
 *
 * Forgiven is what can mean only one thing: null for a field left out; a number or boolean as a string; the case of a
 * choice; one path, or one object, where a list is wanted; a list that is JSON inside a string. */
ci_status cii_tool_input_parse(cii_tool_input *input, const cii_tool *tool, const char *json, size_t size,
                               cii_buf *refusal);
void cii_tool_input_free(cii_tool_input *input);

/* Values by name of a checked input. A field that was not given is NULL, 0, false, or a list of none. */
const char *cii_tool_text(const cii_tool_input *input, const char *name, size_t *ret_size);
const char *cii_tool_choice(const cii_tool_input *input, const char *name); /* in the table's own spelling */
int64_t cii_tool_ms(const cii_tool_input *input, const char *name);
bool cii_tool_flag(const cii_tool_input *input, const char *name);
size_t cii_tool_list_count(const cii_tool_input *input, const char *name);
const cii_json *cii_tool_list_at(const cii_tool_input *input, const char *name, size_t index);

#endif
