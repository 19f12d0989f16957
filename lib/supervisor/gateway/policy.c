/* The decisions. What refuses is looked for first, in the order: deny rules, special addresses, the allow-list. */
#include "supervisor/gateway/policy.h"

#include <stdarg.h>
#include <stdio.h>

#include "supervisor/gateway/rule.h"

#define DOMAIN "local"

typedef struct rules {
    rule *items;
    size_t count;
} rules;

struct policy {
    rules allow, deny;
    bool allow_list; /* else all that is public is allowed */
    resolved *names;
};

static ci_status parse_rules(const char *const *list, const char *what, bool allow, rules *ret, ci_error **ret_error) {
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    if (count > POLICY_RULES_MAX)
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "%s: %zu rules, at most %d", what, count,
                             POLICY_RULES_MAX);
    ret->items = calloc(count + 1, sizeof *ret->items);
    if (ret->items == NULL)
        return cii_error_nomem(ret_error);
    for (; ret->count < count; ret->count++) {
        rule *r = &ret->items[ret->count];
        const char *text = list[ret->count], *fault = rule_parse(text, r);
        /* Whoever writes 0.0.0.0/0 hardly means the host's loopback, which a rule by address opens. */
        if (fault == NULL && allow && r->kind == RULE_NETWORK && r->net.bits == (address_is_v4(&r->net.base) ? 96 : 0))
            fault = "all that is public is \"*\"; what is not has to be named by narrower networks";
        if (fault != NULL)
            return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "%s: \"%.*s\": %s", what, RULE_TEXT_SIZE, text,
                                 fault);
    }
    return CI_OK;
}

ci_status policy_new(const char *const *allow, const char *const *deny, policy **ret_policy, ci_error **ret_error) {
    _cleanup_policy_ policy *p = calloc(1, sizeof *p);
    if (p == NULL)
        return cii_error_nomem(ret_error);
    p->allow_list = allow != NULL;
    ci_status status = parse_rules(allow, "network_allow", true, &p->allow, ret_error);
    if (status == CI_OK)
        status = parse_rules(deny, "network_deny", false, &p->deny, ret_error);
    if (status != CI_OK)
        return status;
    p->names = resolved_new();
    if (p->names == NULL)
        return cii_error_nomem(ret_error);
    *ret_policy = TAKE_PTR(p);
    return CI_OK;
}

void policy_free(policy *p) {
    if (p == NULL)
        return;
    free(p->allow.items);
    free(p->deny.items);
    resolved_free(p->names);
    free(p);
}

_printf_(2, 3) static bool refuse(verdict *v, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(v->rule, sizeof v->rule, format, args);
    va_end(args);
    return false;
}

static bool refuse_by(verdict *v, const rule *r) {
    return refuse(v, "deny %s", r->text);
}

static bool refuse_unlisted(verdict *v) {
    return refuse(v, "not in the allow-list");
}

/* A name that is none, so that it can be shown. */
static void show_name(const char *name, size_t name_size, char ret_name[NAME_SIZE]) {
    size_t size = CII_MIN(name_size, (size_t)NAME_SIZE - 1);
    for (size_t i = 0; i < size; i++)
        ret_name[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
    ret_name[size] = 0;
}

bool policy_name(policy *p, const char *name, size_t name_size, verdict *ret_verdict) {
    *ret_verdict = (verdict){0};
    const char *fault = name_normalize(name, name_size, ret_verdict->name);
    if (fault != NULL) {
        show_name(name, name_size, ret_verdict->name);
        return refuse(ret_verdict, "no valid name: %s", fault);
    }
    /* A name that is denied some ports alone can be resolved: policy_connect() knows the addresses by it. */
    for (size_t i = 0; i < p->deny.count; i++)
        if (rule_any_port(&p->deny.items[i]) && rule_has_name(&p->deny.items[i], ret_verdict->name))
            return refuse_by(ret_verdict, &p->deny.items[i]);
    if (!p->allow_list)
        return true;
    for (size_t i = 0; i < p->allow.count; i++)
        if (rule_has_name(&p->allow.items[i], ret_verdict->name))
            return true;
    return refuse_unlisted(ret_verdict);
}

bool policy_answer(policy *p, const char *name, const address *a, uint32_t ttl_seconds, int64_t now_ms,
                   verdict *ret_verdict) {
    if (!policy_name(p, name, strlen(name), ret_verdict))
        return false;
    for (size_t i = 0; i < p->deny.count; i++)
        if (rule_any_port(&p->deny.items[i]) && rule_has_address(&p->deny.items[i], a))
            return refuse_by(ret_verdict, &p->deny.items[i]);
    for (size_t i = 0; i < p->allow.count && !ret_verdict->named_by_address; i++)
        ret_verdict->named_by_address = rule_has_address(&p->allow.items[i], a);
    const char *special = address_special(a);
    if (special != NULL && !ret_verdict->named_by_address)
        return refuse(ret_verdict, "%s", special);
    resolved_put(p->names, a, ret_verdict->name, ttl_seconds, now_ms);
    return true;
}

/* The first rule of a list that is for the port and one of the names; *ret_name is the name. "*" is not by name. */
static const rule *find_by_name(const rules *list, const char *const *names, size_t count, uint16_t port,
                                const char **ret_name) {
    for (size_t i = 0; i < list->count; i++)
        for (size_t n = 0; n < count && list->items[i].kind != RULE_ALL && rule_has_port(&list->items[i], port); n++)
            if (rule_has_name(&list->items[i], names[n])) {
                *ret_name = names[n];
                return &list->items[i];
            }
    return NULL;
}

static const rule *find_by_address(const rules *list, const address *a, uint16_t port) {
    for (size_t i = 0; i < list->count; i++)
        if (rule_has_port(&list->items[i], port) && rule_has_address(&list->items[i], a))
            return &list->items[i];
    return NULL;
}

static const rule *find_all(const rules *list, uint16_t port) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind == RULE_ALL && rule_has_port(&list->items[i], port))
            return &list->items[i];
    return NULL;
}

static void set_name(verdict *v, const char *name) {
    snprintf(v->name, sizeof v->name, "%s", name);
}

bool policy_connect(policy *p, const address *a, uint16_t port, int64_t now_ms, verdict *ret_verdict) {
    const char *names[RESOLVED_NAMES_MAX] = {""}, *name = NULL;
    size_t count = resolved_use(p->names, a, now_ms, names);
    *ret_verdict = (verdict){0};
    set_name(ret_verdict, names[0]);

    const rule *denied = find_by_address(&p->deny, a, port);
    if (denied == NULL)
        denied = find_all(&p->deny, port);
    if (denied == NULL && (denied = find_by_name(&p->deny, names, count, port, &name)) != NULL)
        set_name(ret_verdict, name);
    if (denied != NULL)
        return refuse_by(ret_verdict, denied);

    ret_verdict->named_by_address = find_by_address(&p->allow, a, port) != NULL;
    if (ret_verdict->named_by_address)
        return true;
    const char *special = address_special(a);
    if (special != NULL)
        return refuse(ret_verdict, "%s", special);
    if (!p->allow_list || find_all(&p->allow, port) != NULL)
        return true;
    if (find_by_name(&p->allow, names, count, port, &name) == NULL)
        return refuse_unlisted(ret_verdict);
    set_name(ret_verdict, name);
    return true;
}
