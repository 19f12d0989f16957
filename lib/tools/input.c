/* Checking a tool's input. What is wrong is put into words for the model that sent it: which field, what was given,
 * what is allowed, what was probably meant. All that is wrong is told at once, a line each. */
#include "tools/input.h"

#include <stdio.h>
#include <strings.h>

#include "base/str.h"
#include "base/utf8.h"

#define SHOWN_MAX 40u     /* bytes of a given value that a message shows */
#define REFUSAL_MAX 4096u /* bytes after which no more is said */
#define SECONDS_MAX 1e9   /* 31 years */
#define NAMES_MAX 16      /* of a list of allowed names; a test holds the table to it */

/* --- the table as data -------------------------------------------------------------------------------------------- */

#define CHOICE_ENTRY(text) text COMMA
#define NEED_VALUE_REQUIRED true
#define NEED_VALUE_OPTIONAL false
#define FIELD_ENTRY(name, type, need, choices, description) \
    { #name, (const char *const[]){choices(CHOICE_ENTRY, ) NULL }, CII_TOOL_##type, NEED_VALUE_##need }

#define FIELDS_OF(name, fields, description) static const cii_tool_field name##_fields[] = {fields(FIELD_ENTRY, COMMA)};
TOOLS(FIELDS_OF, )
static const cii_tool_field content_fields[] = {CONTENT_FIELDS(FIELD_ENTRY, COMMA)};

#define TOOL_ENTRY(name, fields, description) \
    { #name, name##_fields, CII_ELEMENTS(name##_fields) }
static const cii_tool tools[] = {TOOLS(TOOL_ENTRY, COMMA)};

const cii_tool *cii_tool_at(size_t id) {
    return &tools[id];
}

/* --- words -------------------------------------------------------------------------------------------------------- */

/* Where a problem is: "execute_code: ", then "content[2].path". */
typedef struct place {
    const char *tool;
    const char *field;
    const char *member; /* of an entry of the field, or NULL */
    size_t index;       /* SIZE_MAX: the field itself */
} place;

typedef struct words {
    cii_buf *text;
    ci_status status;
} words;

static void say(words *w, const char *text) {
    if (w->status == CI_OK && w->text->size < REFUSAL_MAX)
        w->status = cii_buf_append_str(w->text, text);
}

static void say_place(words *w, const place *at) {
    say(w, w->text->size > 0 ? "\n" : "");
    say(w, at->tool);
    say(w, ": ");
    say(w, at->field);
    char index[24] = "";
    if (at->index != SIZE_MAX)
        snprintf(index, sizeof index, "[%zu]", at->index);
    say(w, index);
    say(w, at->member ? "." : "");
    say(w, at->member ? at->member : "");
    say(w, ": ");
}

/* What was given, shortened: "pyth…" in quotes, a number, or what kind of thing it is. */
static void say_text(words *w, const char *text, size_t size) {
    char copy[SHOWN_MAX + 1];
    size_t shown = CII_MIN(size, (size_t)SHOWN_MAX);
    shown -= shown < size ? cii_utf8_incomplete_tail(text, shown) : 0;
    memcpy(copy, text, shown);
    copy[shown] = '\0';
    say(w, "\"");
    say(w, copy);
    say(w, shown < size ? "…\"" : "\"");
}

static void say_value(words *w, const cii_json *value) {
    size_t size;
    const char *text = cii_json_text_of(value, &size);
    char number[32];
    switch (cii_json_type_of(value)) {
    case CII_JSON_STRING:
        say_text(w, text, size);
        break;
    case CII_JSON_INT:
    case CII_JSON_DOUBLE:
        snprintf(number, sizeof number, "%g", cii_json_double_of(value));
        say(w, number);
        break;
    case CII_JSON_BOOL:
        say(w, cii_json_bool_of(value) ? "true" : "false");
        break;
    default:
        say(w, cii_json_type_name(value));
    }
}

static void say_wanted(words *w, const place *at, const char *wanted, const cii_json *given) {
    say_place(w, at);
    say(w, wanted);
    say(w, " is wanted, got ");
    say_value(w, given);
}

/* "; did you mean "x"? Allowed: a, b, c" */
static void say_allowed(words *w, const char *given, const char *const *names, size_t count) {
    const char *nearest = strlen(given) <= SHOWN_MAX ? cii_nearest(given, names, count) : NULL;
    if (nearest) {
        say(w, "; did you mean \"");
        say(w, nearest);
        say(w, "\"?");
    }
    say(w, nearest ? " Allowed: " : "; allowed: ");
    for (size_t i = 0; i < count; i++) {
        say(w, i > 0 ? ", " : "");
        say(w, names[i]);
    }
}

const cii_tool *cii_tool_find(const char *name, size_t *ret_id, cii_buf *refusal, ci_status *ret_status) {
    const char *names[CII_TOOL_COUNT];
    for (size_t i = 0; i < CII_TOOL_COUNT; i++) {
        names[i] = tools[i].name;
        if (name && strcmp(name, names[i]) == 0) {
            *ret_id = i;
            return &tools[i];
        }
    }
    words w = {refusal, CI_OK};
    say(&w, "unknown tool ");
    say_text(&w, name ? name : "", name ? strlen(name) : 0);
    say_allowed(&w, name ? name : "", names, CII_TOOL_COUNT);
    *ret_status = w.status;
    return NULL;
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

static const cii_json *given(const cii_json *object, const char *name) {
    const cii_json *value = cii_json_get(object, name);
    return cii_json_type_of(value) == CII_JSON_NULL ? NULL : value;
}

/* Seconds as a number, or as a string that is one. */
static bool seconds_of(const cii_json *value, double *ret_seconds) {
    const char *text = cii_json_text_of(value, NULL);
    char *end = NULL;
    if (text)
        *ret_seconds = strtod(text, &end);
    else if (cii_json_type_of(value) == CII_JSON_INT || cii_json_type_of(value) == CII_JSON_DOUBLE)
        *ret_seconds = cii_json_double_of(value);
    else
        return false;
    return (!text || (end != text && *end == '\0')) && *ret_seconds > 0 && *ret_seconds <= SECONDS_MAX;
}

static bool flag_of(const cii_json *value, bool *ret_flag) {
    const char *text = cii_json_text_of(value, NULL);
    *ret_flag = text ? strcasecmp(text, "true") == 0 : cii_json_bool_of(value);
    return text ? *ret_flag || strcasecmp(text, "false") == 0 : cii_json_type_of(value) == CII_JSON_BOOL;
}

static const char *choice_of(const cii_json *value, const char *const *choices) {
    const char *text = cii_json_text_of(value, NULL);
    for (; text && *choices; choices++)
        if (strcasecmp(text, *choices) == 0)
            return *choices;
    return NULL;
}

static void check_string(words *w, const place *at, bool nul_allowed, const cii_json *value) {
    size_t size;
    const char *text = cii_json_text_of(value, &size);
    if (!text) {
        say_wanted(w, at, "a string", value);
    } else if (!nul_allowed && strlen(text) != size) {
        say_place(w, at);
        say(w, "a NUL character is not allowed");
    }
}

static void check_choice(words *w, const place *at, const cii_tool_field *field, const cii_json *value) {
    size_t size, count = 0;
    const char *text = cii_json_text_of(value, &size);
    while (field->choices[count])
        count++;
    if (!text) {
        say_wanted(w, at, "a string", value);
    } else if (!choice_of(value, field->choices) && (field->required || size > 0)) {
        say_place(w, at);
        say_text(w, text, size);
        say(w, " is not known");
        say_allowed(w, text, field->choices, count);
    }
}

static void check_unknown(words *w, const char *where, const cii_json *object, const cii_tool_field *fields,
                          size_t count) {
    const char *names[NAMES_MAX];
    for (size_t i = 0; i < count; i++)
        names[i] = fields[i].name;
    for (size_t i = 0; i < cii_json_count(object); i++) {
        size_t size, known = 0;
        const char *key = cii_json_key_at(object, i, &size);
        while (known < count && strcmp(key, names[known]) != 0)
            known++;
        if (known < count)
            continue;
        say(w, w->text->size > 0 ? "\n" : "");
        say(w, where);
        say(w, ": unknown field ");
        say_text(w, key, size);
        say_allowed(w, key, names, count);
    }
}

static void check_content_entry(words *w, place at, const cii_json *entry) {
    char where[64];
    if (cii_json_type_of(entry) != CII_JSON_OBJECT) {
        say_wanted(w, &at, "an object with path and text or blob", entry);
        return;
    }
    snprintf(where, sizeof where, "%s: %s[%zu]", at.tool, at.field, at.index);
    check_unknown(w, where, entry, content_fields, CII_ELEMENTS(content_fields));
    for (size_t i = 0; i < CII_ELEMENTS(content_fields); i++) {
        const cii_tool_field *field = &content_fields[i];
        const cii_json *value = given(entry, field->name);
        at.member = field->name;
        if (value) {
            check_string(w, &at, field->type == CII_TOOL_TEXT, value);
        } else if (field->required) {
            say_place(w, &at);
            say(w, "required");
        }
    }
    at.member = NULL;
    if (!given(entry, "text") == !given(entry, "blob")) {
        say_place(w, &at);
        say(w, given(entry, "text") ? "text and blob are both given; give one" : "text or blob is required");
    }
}

/* The entries of a list; a value that is no list is one of one entry. */
static size_t list_count(const cii_json *value) {
    return cii_json_type_of(value) == CII_JSON_ARRAY ? cii_json_count(value) : value != NULL;
}

static const cii_json *list_entry(const cii_json *value, size_t index) {
    return cii_json_type_of(value) == CII_JSON_ARRAY ? cii_json_at(value, index) : value;
}

static void check_list(words *w, place at, const cii_tool_field *field, const cii_json *value) {
    for (size_t i = 0; i < list_count(value); i++) {
        const cii_json *entry = list_entry(value, i);
        at.index = cii_json_type_of(value) == CII_JSON_ARRAY ? i : SIZE_MAX;
        if (field->type == CII_TOOL_STRINGS) {
            check_string(w, &at, false, entry);
        } else {
            at.index = i;
            check_content_entry(w, at, entry);
        }
    }
}

static void check_field(words *w, const cii_tool *tool, const cii_tool_field *field, const cii_json *value) {
    const place at = {tool->name, field->name, NULL, SIZE_MAX};
    double seconds;
    bool flag;
    switch (field->type) {
    case CII_TOOL_TEXT:
    case CII_TOOL_STRING:
        check_string(w, &at, field->type == CII_TOOL_TEXT, value);
        break;
    case CII_TOOL_CHOICE:
        check_choice(w, &at, field, value);
        break;
    case CII_TOOL_SECONDS:
        if (!seconds_of(value, &seconds))
            say_wanted(w, &at, "a number of seconds above 0 and at most 1000000000", value);
        break;
    case CII_TOOL_FLAG:
        if (!flag_of(value, &flag))
            say_wanted(w, &at, "true or false", value);
        break;
    case CII_TOOL_STRINGS:
    case CII_TOOL_CONTENT:
        check_list(w, at, field, value);
        break;
    }
}

/* --- parsing ------------------------------------------------------------------------------------------------------ */

/* A list that came as JSON in a string is taken as the list it means; anything else as it is. */
static ci_status decode_list(const cii_tool_field *field, const cii_json **value, cii_json **ret_decoded) {
    size_t size;
    const char *text = cii_json_text_of(*value, &size);
    bool list = field->type == CII_TOOL_STRINGS || field->type == CII_TOOL_CONTENT;
    if (!list || !text || !(text[0] == '[' || (text[0] == '{' && field->type == CII_TOOL_CONTENT)))
        return CI_OK;
    ci_status status = cii_json_parse(text, size, 0, ret_decoded, NULL);
    if (status == CI_OK)
        *value = *ret_decoded;
    return status == CI_ERR_NOMEM ? status : CI_OK;
}

static ci_status take_fields(cii_tool_input *input, words *w) {
    const cii_tool *tool = input->tool;
    check_unknown(w, tool->name, input->root, tool->fields, tool->field_count);
    for (size_t i = 0; i < tool->field_count; i++) {
        const cii_tool_field *field = &tool->fields[i];
        input->values[i] = given(input->root, field->name);
        if (decode_list(field, &input->values[i], &input->decoded[i]) != CI_OK)
            return CI_ERR_NOMEM;
        if (input->values[i]) {
            check_field(w, tool, field, input->values[i]);
        } else if (field->required) {
            say_place(w, &(place){tool->name, field->name, NULL, SIZE_MAX});
            say(w, "required");
        }
    }
    return w->status;
}

ci_status cii_tool_input_parse(cii_tool_input *input, const cii_tool *tool, const char *json, size_t size,
                               cii_buf *refusal) {
    *input = (cii_tool_input){.tool = tool};
    words w = {refusal, CI_OK};
    _cleanup_error_ ci_error *error = NULL;
    ci_status status = cii_json_parse(size > 0 ? json : "{}", size > 0 ? size : 2, 0, &input->root, &error);
    if (status == CI_ERR_NOMEM)
        return status;
    if (status == CI_OK && cii_json_type_of(input->root) == CII_JSON_OBJECT)
        return take_fields(input, &w);
    say(&w, tool->name);
    say(&w, status == CI_OK ? ": the input must be a JSON object, got " : ": the input is no JSON: ");
    if (status == CI_OK)
        say_value(&w, input->root);
    else
        say(&w, ci_error_message(error));
    return w.status;
}

void cii_tool_input_free(cii_tool_input *input) {
    cii_json_free(input->root);
    for (size_t i = 0; i < CII_TOOL_FIELDS_MAX; i++)
        cii_json_free(input->decoded[i]);
    *input = (cii_tool_input){0};
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static const cii_tool_field *field_of(const cii_tool_input *input, const char *name, const cii_json **ret_value) {
    for (size_t i = 0; i < input->tool->field_count; i++)
        if (strcmp(input->tool->fields[i].name, name) == 0) {
            *ret_value = input->values[i];
            return &input->tool->fields[i];
        }
    *ret_value = NULL;
    return NULL;
}

static const cii_json *value_of(const cii_tool_input *input, const char *name) {
    const cii_json *value;
    (void)field_of(input, name, &value);
    return value;
}

const char *cii_tool_text(const cii_tool_input *input, const char *name, size_t *ret_size) {
    return cii_json_text_of(value_of(input, name), ret_size);
}

const char *cii_tool_choice(const cii_tool_input *input, const char *name) {
    const cii_json *value;
    const cii_tool_field *field = field_of(input, name, &value);
    return field && value ? choice_of(value, field->choices) : NULL;
}

int64_t cii_tool_ms(const cii_tool_input *input, const char *name) {
    double seconds;
    if (!seconds_of(value_of(input, name), &seconds))
        return 0;
    int64_t whole_ms = (int64_t)(seconds * 1000);
    return whole_ms + ((double)whole_ms < seconds * 1000); /* up: less than a millisecond is not none */
}

bool cii_tool_flag(const cii_tool_input *input, const char *name) {
    bool flag;
    return flag_of(value_of(input, name), &flag) && flag;
}

size_t cii_tool_list_count(const cii_tool_input *input, const char *name) {
    return list_count(value_of(input, name));
}

const cii_json *cii_tool_list_at(const cii_tool_input *input, const char *name, size_t index) {
    return list_entry(value_of(input, name), index);
}
