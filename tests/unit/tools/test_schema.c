/* The schemas: valid JSON in each dialect, and of exactly the fields that the check of inputs takes. */
#include "../unit.h"

#include <ci/tools.h>

#include "tools/input.h"

static cii_json *schemas(int32_t dialect) {
    cii_json *root = NULL;
    const char *text = ci_tool_schemas(dialect);
    assert_non_null(text);
    assert_int_equal(cii_json_parse(text, strlen(text), 0, &root, NULL), CI_OK);
    assert_int_equal(cii_json_count(root), CII_TOOL_COUNT);
    return root;
}

static const char *text_of(const cii_json *object, const char *key) {
    const char *text = cii_json_text_of(cii_json_get(object, key), NULL);
    return text ? text : "";
}

static bool is_required(const cii_json *schema, const char *name) {
    const cii_json *required = cii_json_get(schema, "required");
    for (size_t i = 0; i < cii_json_count(required); i++)
        if (strcmp(cii_json_text_of(cii_json_at(required, i), NULL), name) == 0)
            return true;
    return false;
}

static void check_object_schema(const cii_json *schema, size_t required_max) {
    assert_string_equal(text_of(schema, "type"), "object");
    assert_string_equal(cii_json_type_name(cii_json_get(schema, "additionalProperties")), "boolean");
    assert_false(cii_json_bool_of(cii_json_get(schema, "additionalProperties")));
    assert_true(cii_json_count(cii_json_get(schema, "required")) <= required_max);
}

static void check_property(const cii_json *property, const cii_tool_field *field) {
    static const char *const types[] = {
        [CII_TOOL_TEXT] = "string",    [CII_TOOL_STRING] = "string", [CII_TOOL_CHOICE] = "string",
        [CII_TOOL_SECONDS] = "number", [CII_TOOL_FLAG] = "boolean",  [CII_TOOL_STRINGS] = "array",
        [CII_TOOL_CONTENT] = "array",
    };
    assert_string_equal(text_of(property, "type"), types[field->type]);
    assert_true(strlen(text_of(property, "description")) > 10);
    const cii_json *choices = cii_json_get(property, "enum");
    for (size_t i = 0; i < cii_json_count(choices); i++)
        assert_string_equal(cii_json_text_of(cii_json_at(choices, i), NULL), field->choices[i]);
    assert_null(field->choices[cii_json_count(choices)]);
    if (field->type == CII_TOOL_STRINGS)
        assert_string_equal(text_of(cii_json_get(property, "items"), "type"), "string");
    if (field->type == CII_TOOL_CONTENT) {
        const cii_json *items = cii_json_get(property, "items");
        check_object_schema(items, 1);
        assert_true(is_required(items, "path"));
        assert_int_equal(cii_json_count(cii_json_get(items, "properties")), 3);
    }
}

static void check_schema(const cii_json *schema, const cii_tool *tool) {
    check_object_schema(schema, 1);
    const cii_json *properties = cii_json_get(schema, "properties");
    assert_int_equal(cii_json_count(properties), tool->field_count);
    for (size_t i = 0; i < tool->field_count; i++) {
        const cii_tool_field *field = &tool->fields[i];
        check_property(cii_json_get(properties, field->name), field);
        assert_int_equal(is_required(schema, field->name), field->required);
    }
}

static void check_dialect(int32_t dialect, const char *schema_key, size_t member_count) {
    _cleanup_json_ cii_json *root = schemas(dialect);
    for (size_t i = 0; i < CII_TOOL_COUNT; i++) {
        const cii_json *tool = cii_json_at(root, i);
        if (dialect == CI_TOOLS_OPENAI) {
            assert_string_equal(text_of(tool, "type"), "function");
            assert_int_equal(cii_json_count(tool), 2);
            tool = cii_json_get(tool, "function");
        }
        assert_int_equal(cii_json_count(tool), member_count);
        assert_string_equal(text_of(tool, "name"), cii_tool_at(i)->name);
        assert_in_range(strlen(text_of(tool, "description")), 40, 1024);
        check_schema(cii_json_get(tool, schema_key), cii_tool_at(i));
    }
}

static void the_mcp_dialect_covers_every_field_that_is_taken(void **state) {
    (void)state;
    check_dialect(CI_TOOLS_MCP, "inputSchema", 3);
}

static void the_anthropic_dialect_covers_every_field_that_is_taken(void **state) {
    (void)state;
    check_dialect(CI_TOOLS_ANTHROPIC, "input_schema", 3);
}

static void the_openai_dialect_covers_every_field_that_is_taken(void **state) {
    (void)state;
    check_dialect(CI_TOOLS_OPENAI, "parameters", 3);
}

static void an_unknown_dialect_has_no_schemas(void **state) {
    (void)state;
    assert_null(ci_tool_schemas(0));
    assert_null(ci_tool_schemas(4));
    assert_null(ci_tool_schemas(-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mcp_dialect_covers_every_field_that_is_taken),
        cmocka_unit_test(the_anthropic_dialect_covers_every_field_that_is_taken),
        cmocka_unit_test(the_openai_dialect_covers_every_field_that_is_taken),
        cmocka_unit_test(an_unknown_dialect_has_no_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
