/**
 * @file ci/tools.h
 * @brief The same calls by name and JSON, as a model or an MCP client makes them.
 *
 * Seven tools: `execute_code {code, language?, output_filename?, context?, clear_context?, timeout?}`, `execute_command
 * {command, timeout?, background?}`, `file_operations {operation, paths?, content?}`, `ci_push_to_workspace {paths?}`,
 * `workspace_read {path}`, `workspace_list {path?}`, `workspace_write {path, text | blob}`. Times are in seconds,
 * binary content is base64. Input that is not as it should be is no failure of the call but a result with outcome
 * #CI_OUTCOME_REFUSED whose text names the field, what was given, what is allowed and what was probably meant.
 */
#ifndef CI_TOOLS_H
#define CI_TOOLS_H

#include <ci/workspace.h>

CI_BEGIN_DECLS

/** Forms in which tool descriptions are wanted. */
enum {
    CI_TOOLS_MCP = 1, /**< `[{"name", "description", "inputSchema"}]`: MCP, and Amazon Bedrock's `inputSchema.json`. */
    CI_TOOLS_ANTHROPIC = 2, /**< `[{"name", "description", "input_schema"}]`. */
    CI_TOOLS_OPENAI = 3     /**< `[{"type": "function", "function": {"name", "description", "parameters"}}]`. */
};

/** Options of a tool call. Zero is the default of every field. */
typedef struct ci_tool_options {
    size_t struct_size;  /**< sizeof(ci_tool_options). */
    int64_t timeout_ms;  /**< Deadline of calls whose input names none; 0: the session's; negative: none. */
    ci_output_cb output; /**< Gets output as it comes; NULL: none. */
    void *output_user;   /**< Given to output. */
} ci_tool_options;

/** Initializer for ::ci_tool_options. */
#define CI_TOOL_OPTIONS_INIT \
    { sizeof(ci_tool_options), 0, NULL, NULL }

/**
 * @brief Calls a tool. Blocks until the result is complete.
 * @param session the session.
 * @param name the tool's name.
 * @param input_json its input, a JSON object; NULL or "": `{}`.
 * @param input_size bytes; SIZE_MAX: input_json is NUL-ended.
 * @param options NULL: defaults.
 * @param[out] ret_result the result, the caller's; untouched on failure.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return #CI_OK whenever there is a result, a refusal included; otherwise as the call behind the tool.
 * @since 0.1
 */
CI_API ci_status ci_tool_call(ci_session *session, const char *name, const char *input_json, size_t input_size,
                              const ci_tool_options *options, ci_result **ret_result, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session,name,input_json,input_size,options as for ci_tool_call(), copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_tool_call_start(ci_session *session, const char *name, const char *input_json, size_t input_size,
                                    const ci_tool_options *options, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Describes the tools to a model: a JSON array in one of the `CI_TOOLS_` forms, schemas in JSON Schema 2020-12.
 * @param dialect a `CI_TOOLS_` value.
 * @return text that lives as long as the library; NULL for an unknown dialect.
 * @since 0.1
 */
CI_API const char *ci_tool_schemas(int32_t dialect);

/**
 * @brief A result with outcome #CI_OUTCOME_REFUSED and a text: for a host that has to answer a tool call which it could
 * not even hand on (a line that is no JSON, say).
 * @param message the text, copied.
 * @param[out] ret_result the result, the caller's.
 * @return #CI_OK or #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_tool_refuse(const char *message, ci_result **ret_result);

CI_END_DECLS

#endif
