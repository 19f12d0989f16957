/* ci_tool_schemas(): the table as JSON Schema (2020-12) in three dialects, put together by the compiler, so that there
 * is nothing to allocate, to fail or to free. */
#include <ci/tools.h>

#include "tools/table.h"

#define CHOICE_JSON(text) "\"" text "\""

#define SCHEMA_TEXT(choices) "\"type\":\"string\""
#define SCHEMA_STRING(choices) "\"type\":\"string\""
#define SCHEMA_CHOICE(choices) "\"type\":\"string\",\"enum\":[" choices(CHOICE_JSON, ",") "]"
#define SCHEMA_SECONDS(choices) "\"type\":\"number\",\"exclusiveMinimum\":0"
#define SCHEMA_FLAG(choices) "\"type\":\"boolean\""
#define SCHEMA_STRINGS(choices) "\"type\":\"array\",\"items\":{\"type\":\"string\"}"
#define SCHEMA_CONTENT(choices)                                                                                     \
    "\"type\":\"array\",\"items\":" PROPERTIES CONTENT_FIELDS(CONTENT_PROPERTY, ",") REQUIRED_NAMES CONTENT_FIELDS( \
        REQUIRED_NAME, "") OBJECT_END

#define PROPERTY(name, type, need, choices, description) \
    "\"" #name "\":{" SCHEMA_##type(choices) ",\"description\":\"" description "\"}"
/* The same once more, because a macro is not expanded inside itself. */
#define CONTENT_PROPERTY(name, type, need, choices, description) \
    "\"" #name "\":{" SCHEMA_##type(choices) ",\"description\":\"" description "\"}"

#define NEED_REQUIRED(name) "\"" name "\""
#define NEED_OPTIONAL(name) ""
#define REQUIRED_NAME(name, type, need, choices, description) NEED_##need(#name)

#define PROPERTIES "{\"type\":\"object\",\"properties\":{"
#define REQUIRED_NAMES "},\"required\":["
#define OBJECT_END "],\"additionalProperties\":false}"
#define OBJECT(fields) PROPERTIES fields(PROPERTY, ",") REQUIRED_NAMES fields(REQUIRED_NAME, "") OBJECT_END

#define NAMED(name, description) "\"name\":\"" #name "\",\"description\":\"" description "\","
#define MCP(name, fields, description) "{" NAMED(name, description) "\"inputSchema\":" OBJECT(fields) "}"
#define ANTHROPIC(name, fields, description) "{" NAMED(name, description) "\"input_schema\":" OBJECT(fields) "}"
#define OPENAI(name, fields, description) \
    "{\"type\":\"function\",\"function\":{" NAMED(name, description) "\"parameters\":" OBJECT(fields) "}}"

const char *ci_tool_schemas(int32_t dialect) {
    switch (dialect) {
    case CI_TOOLS_MCP:
        return "[" TOOLS(MCP, ",") "]";
    case CI_TOOLS_ANTHROPIC:
        return "[" TOOLS(ANTHROPIC, ",") "]";
    case CI_TOOLS_OPENAI:
        return "[" TOOLS(OPENAI, ",") "]";
    default:
        return NULL;
    }
}
