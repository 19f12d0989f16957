/* ci_session_info(): what the session knows of itself, and in `sandbox` what its backend says. */
#include "base/json.h"
#include "session/object.h"

static const struct {
    const char *name;
    uint64_t bit;
} capability_names[] = {
    {"interrupt", CI_CAP_INTERRUPT},
    {"contexts", CI_CAP_CONTEXTS},
    {"clear-context", CI_CAP_CLEAR_CONTEXT},
    {"python", CI_CAP_PYTHON},
    {"javascript", CI_CAP_JAVASCRIPT},
    {"typescript", CI_CAP_TYPESCRIPT},
    {"typecheck", CI_CAP_TYPECHECK},
    {"rich", CI_CAP_RICH},
    {"call-env", CI_CAP_CALL_ENV},
    {"call-cwd", CI_CAP_CALL_CWD},
    {"streaming", CI_CAP_STREAMING},
    {"separate-streams", CI_CAP_SEPARATE_STREAMS},
    {"background", CI_CAP_BACKGROUND},
    {"network-none", CI_CAP_NETWORK_NONE},
    {"network-internet", CI_CAP_NETWORK_INTERNET},
    {"network-host", CI_CAP_NETWORK_HOST},
    {"limit-memory", CI_CAP_LIMIT_MEMORY},
    {"limit-processes", CI_CAP_LIMIT_PROCESSES},
    {"limit-disk", CI_CAP_LIMIT_DISK},
    {"reattach", CI_CAP_REATTACH},
    {"host-paths", CI_CAP_HOST_PATHS},
    {"hash", CI_CAP_HASH},
    {"walk", CI_CAP_WALK},
    {"blocking", CI_CAP_BLOCKING},
    {"bash", CI_CAP_BASH},
    {"network-policy", CI_CAP_NETWORK_POLICY},
};

static const struct {
    const char *name;
    const char *meaning;
} networks[] = {
    [CI_NETWORK_NONE] = {"none", "nothing is reached: no interface but loopback, no resolver"},
    [CI_NETWORK_INTERNET] = {"internet", "the internet, without the host's own, private and metadata addresses"},
    [CI_NETWORK_HOST] = {"host", "everything that the host reaches, the host's own services included"},
};

/* null where there is no list, which an empty one is not. */
static void write_rules(cii_json_writer *w, const char *key, const char *const *rules) {
    cii_json_key(w, key);
    if (!rules) {
        cii_json_null(w);
        return;
    }
    cii_json_begin_array(w);
    for (; *rules; rules++)
        cii_json_string(w, *rules);
    cii_json_end_array(w);
}

/* Of a backend that takes no rules, its own network is told by itself, under "sandbox". */
static void write_network(cii_json_writer *w, const ci_session_options *o, bool is_ours) {
    cii_json_key(w, "network");
    cii_json_begin_object(w);
    cii_json_key_string(w, "mode", networks[o->network].name);
    if (!is_ours)
        cii_json_key_string(w, "meaning", "as the sandbox's service keeps it");
    else if (o->network_allow || o->network_deny)
        cii_json_key_string(w, "meaning",
                            "the internet as the rules allow and deny it; the host's own, private and "
                            "metadata addresses only where a rule names the address");
    else
        cii_json_key_string(w, "meaning", networks[o->network].meaning);
    if (o->network == CI_NETWORK_INTERNET) {
        write_rules(w, "allow", o->network_allow);
        write_rules(w, "deny", o->network_deny);
    }
    cii_json_end_object(w);
}

static void write_limit(cii_json_writer *w, const char *name, uint64_t value, bool kept) {
    cii_json_key(w, name);
    cii_json_begin_object(w);
    cii_json_key(w, "value");
    cii_json_uint(w, value);
    cii_json_key_bool(w, "kept", kept);
    cii_json_end_object(w);
}

static void write_limits(cii_json_writer *w, const ci_session *session) {
    const ci_session_options *o = &session->options;
    uint64_t can = session->capabilities;
    cii_json_key(w, "limits");
    cii_json_begin_object(w);
    write_limit(w, "memoryBytes", o->memory_bytes, can & CI_CAP_LIMIT_MEMORY);
    write_limit(w, "processes", o->process_count, can & CI_CAP_LIMIT_PROCESSES);
    write_limit(w, "workspaceBytes", o->workspace_bytes, can & CI_CAP_LIMIT_DISK);
    write_limit(w, "workspaceInodes", o->workspace_inodes, can & CI_CAP_LIMIT_DISK);
    cii_json_end_object(w);
}

static ci_status write_workspace(cii_json_writer *w, const ci_session *session) {
    cii_json_key(w, "workspace");
    if (!session->storage_ops) {
        cii_json_null(w);
        return CI_OK;
    }
    _cleanup_free_ char *where = NULL;
    ci_status status = cii_storage_describe(session->storage, &where);
    cii_json_begin_object(w);
    cii_json_key_string(w, "storage", session->storage_ops->name);
    cii_json_key_string(w, "where", where);
    cii_json_key_bool(w, "blocking", session->storage_ops->capabilities & CI_STORAGE_CAP_BLOCKING);
    cii_json_key_string(w, "uploadsPrefix", session->uploads_prefix);
    cii_json_key_string(w, "outputPrefix", session->output_prefix);
    cii_json_key(w, "prefixes");
    cii_json_begin_object(w);
    for (size_t i = 0; i < session->place_count; i++)
        cii_json_key_string(w, session->places[i].name, session->places[i].key);
    cii_json_end_object(w);
    cii_json_end_object(w);
    return status;
}

static void write_capabilities(cii_json_writer *w, const ci_session *session) {
    cii_json_key(w, "capabilities");
    cii_json_begin_array(w);
    for (size_t i = 0; i < CII_ELEMENTS(capability_names); i++)
        if (session->capabilities & capability_names[i].bit)
            cii_json_string(w, capability_names[i].name);
    cii_json_end_array(w);
}

/* What the backend says is only taken over when it is JSON. */
static void write_backend(cii_json_writer *w, const char *json) {
    _cleanup_json_ cii_json *parsed = NULL;
    cii_json_key(w, "sandbox");
    if (json && cii_json_parse(json, strlen(json), 0, &parsed, NULL) == CI_OK)
        cii_json_raw(w, json, strlen(json));
    else
        cii_json_null(w);
}

ci_status ci_session_info(ci_session *session, char **ret_json, ci_error **ret_error) {
    ci_status status = cii_session_check(session, ret_error);
    _cleanup_free_ char *backend = NULL;
    if (status == CI_OK)
        status = session->ops->info(session->backend, &backend, ret_error);
    if (status < 0)
        return status;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "id", session->id);
    cii_json_key_string(w, "backend", session->ops->name);
    cii_json_key_string(w, "root", CII_GUEST_ROOT);
    write_network(w, &session->options, session->capabilities & CI_CAP_NETWORK_POLICY);
    write_limits(w, session);
    status = write_workspace(w, session);
    write_capabilities(w, session);
    write_backend(w, backend);
    cii_json_end_object(w);
    char *json = cii_json_take(w, NULL);
    if (!json || status < 0) {
        free(json);
        return cii_error_nomem(ret_error);
    }
    *ret_json = json;
    return CI_OK;
}
