/* Any text as rules ("+RULE" and "-RULE", a line each) and names and addresses to try ("?NAME", "@ADDRESS", "=PORT"), at
 * any time: nothing that is not public without a rule by address, nothing beside an allow-list, nothing that is denied. */
#include <string.h>

#include "fuzz.h"
#include "supervisor/gateway/policy.h"
#include "supervisor/gateway/rule.h"

#define LINES_MAX 64

typedef struct input {
    const char *allow[LINES_MAX + 1], *deny[2 * LINES_MAX + 1];
    size_t allow_count, deny_count;
} input;

/* An allow-list takes no network of everything, as a deny-list does. */
static bool is_rule(char kind, const char *line) {
    rule r;
    if (*line != kind || rule_parse(line + 1, &r) != NULL)
        return false;
    return kind == '-' || r.kind != RULE_NETWORK || r.net.bits > (address_is_v4(&r.net.base) ? 96 : 0);
}

static bool address_rule_opens(const input *in, const address *a, uint16_t port, bool whatever_port) {
    for (size_t i = 0; i < in->allow_count; i++) {
        rule r;
        FUZZ_CHECK(rule_parse(in->allow[i], &r) == NULL);
        if (rule_has_address(&r, a) && (whatever_port || rule_has_port(&r, port)))
            return true;
    }
    return false;
}

static void check_verdict(bool allowed, const verdict *v) {
    FUZZ_CHECK(allowed == (v->rule[0] == 0) && strlen(v->name) < NAME_SIZE && strlen(v->rule) < sizeof v->rule);
    FUZZ_CHECK(allowed || !v->named_by_address);
}

static void try_all(const input *in, policy *p, char **lines, size_t count, bool all_denied) {
    const char *name = "";
    address a = {0};
    uint16_t port = 80;
    int64_t now_ms = 0;
    verdict v;
    for (size_t i = 0; i < count; i++, now_ms += 60000) {
        char *line = lines[i], normal[NAME_SIZE];
        if (*line == '?')
            name = line + 1;
        else if (*line == '=')
            port = (uint16_t)strtoul(line + 1, NULL, 10);
        else if (*line != '@' || !address_parse(line + 1, &a))
            continue;
        bool named = policy_name(p, name, strlen(name), &v);
        check_verdict(named, &v);
        FUZZ_CHECK(!named || (name_normalize(name, strlen(name), normal) == NULL && strcmp(normal, v.name) == 0));
        bool answered = policy_answer(p, name, &a, port, now_ms, &v);
        check_verdict(answered, &v);
        FUZZ_CHECK(!answered || (named && (!address_special(&a) || address_rule_opens(in, &a, 0, true))));
        bool connected = policy_connect(p, &a, port, now_ms, &v);
        check_verdict(connected, &v);
        FUZZ_CHECK(!connected || v.named_by_address == address_rule_opens(in, &a, port, false));
        FUZZ_CHECK(!connected || !address_special(&a) || v.named_by_address);
        FUZZ_CHECK(!connected || (in->allow_count > 0 && !all_denied));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *lines[LINES_MAX], *text = calloc(1, size + 1), *state = NULL;
    input in = {0};
    policy *p = NULL;
    size_t count = 0;
    FUZZ_CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    for (char *line = strtok_r(text, "\n", &state); line && count < LINES_MAX; line = strtok_r(NULL, "\n", &state))
        lines[count++] = line;
    for (size_t i = 0; i < count; i++) {
        const char *const one[] = {lines[i] + 1, NULL};
        if (is_rule('+', lines[i]))
            in.allow[in.allow_count++] = lines[i] + 1;
        else if (is_rule('-', lines[i]))
            in.deny[in.deny_count++] = lines[i] + 1;
        else
            FUZZ_CHECK(*lines[i] != '+' || policy_new(one, NULL, &p, NULL) == CI_ERR_INVALID);
    }
    FUZZ_CHECK(policy_new(in.allow, in.deny, &p, NULL) == CI_OK);
    try_all(&in, p, lines, count, false);
    policy_free(p);
    /* What is allowed and denied is denied: nothing is left. */
    for (size_t i = 0; i < in.allow_count; i++)
        in.deny[in.deny_count++] = in.allow[i];
    FUZZ_CHECK(policy_new(in.allow, in.deny, &p, NULL) == CI_OK);
    try_all(&in, p, lines, count, true);
    policy_free(p);
    free(text);
    return 0;
}
