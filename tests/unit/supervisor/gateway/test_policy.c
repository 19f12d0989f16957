/* What rules are, and what they let through. */
#include "unit.h"

#include "failmalloc.h"
#include "supervisor/gateway/policy.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING ((const char *const[]){NULL})
#define MINUTE 60000

static policy *make(const char *const *allow, const char *const *deny) {
    policy *p = NULL;
    _cleanup_error_ ci_error *error = NULL;
    if (policy_new(allow, deny, &p, &error) != CI_OK)
        fail_msg("%s", ci_error_message(error));
    return p;
}

static address parsed(const char *text) {
    address a;
    assert_true(address_parse(text, &a));
    return a;
}

/* The calls, and what refuses: "" when nothing does. The text lives until the next call. */
static verdict last;

static const char *name_of(policy *p, const char *name) {
    bool allowed = policy_name(p, name, strlen(name), &last);
    assert_int_equal(allowed, last.rule[0] == 0);
    return last.rule;
}

static const char *answer_of(policy *p, const char *name, const char *text, uint32_t ttl_s, int64_t now_ms) {
    address a = parsed(text);
    bool allowed = policy_answer(p, name, &a, ttl_s, now_ms, &last);
    assert_int_equal(allowed, last.rule[0] == 0);
    return last.rule;
}

static const char *connect_of(policy *p, const char *text, uint16_t port, int64_t now_ms) {
    address a = parsed(text);
    bool allowed = policy_connect(p, &a, port, now_ms, &last);
    assert_int_equal(allowed, last.rule[0] == 0);
    return last.rule;
}

static void without_rules_all_that_is_public_is_allowed(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(NULL, NULL);
    assert_string_equal(name_of(p, "www.Example.COM."), "");
    assert_string_equal(last.name, "www.example.com");
    assert_string_equal(answer_of(p, "www.example.com", "93.184.216.34", 60, 0), "");
    assert_string_equal(connect_of(p, "93.184.216.34", 443, 0), "");
    assert_string_equal(last.name, "www.example.com");
    assert_false(last.named_by_address);
    assert_string_equal(connect_of(p, "2a00:1450::1", 0, 0), "");
    assert_string_equal(last.name, "");
    assert_string_equal(connect_of(p, "10.0.0.1", 80, 0), "10.0.0.0/8 is private");
    assert_string_equal(connect_of(p, "169.254.169.254", 80, 0), "cloud metadata");
    assert_string_equal(connect_of(p, "fe80::1", 80, 0), "fe80::/10 is link-local");
}

static void an_empty_list_denies_all(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(NOTHING, NULL);
    assert_string_equal(name_of(p, "example.com"), "not in the allow-list");
    assert_string_equal(answer_of(p, "example.com", "93.184.216.34", 60, 0), "not in the allow-list");
    assert_string_equal(connect_of(p, "93.184.216.34", 443, 0), "not in the allow-list");
    assert_string_equal(connect_of(p, "2a00:1450::1", 443, 0), "not in the allow-list");
    _cleanup_policy_ policy *open = make(NULL, NOTHING);
    assert_string_equal(name_of(open, "example.com"), "");
}

static void names_are_exact_and_what_lies_below_is_another_rule(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(LIST("Example.com.", "*.api.example"), NULL);
    assert_string_equal(name_of(p, "EXAMPLE.com"), "");
    assert_string_equal(name_of(p, "www.example.com"), "not in the allow-list");
    assert_string_equal(name_of(p, "notexample.com"), "not in the allow-list");
    assert_string_equal(name_of(p, "a.api.example"), "");
    assert_string_equal(name_of(p, "a.b.api.example"), "");
    assert_string_equal(name_of(p, "api.example"), "not in the allow-list");
    assert_string_equal(name_of(p, "notapi.example"), "not in the allow-list");
    assert_string_equal(name_of(p, "x.api.example.evil.example"), "not in the allow-list");
}

static void names_are_validated_label_by_label(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(NULL, NULL);
    char longest[256], label[80];
    memset(longest, 'a', sizeof longest);
    for (size_t i = 1; i < sizeof longest; i += 2)
        longest[i] = '.';
    longest[253] = 0;
    assert_string_equal(name_of(p, longest), "");
    longest[253] = '.';
    longest[254] = 0;
    assert_string_equal(name_of(p, longest), "");
    longest[253] = 'a';
    assert_string_equal(name_of(p, longest), "no valid name: a name has at most 253 characters");
    longest[253] = '.';
    longest[254] = 'a';
    longest[255] = 0;
    assert_string_equal(name_of(p, longest), "no valid name: a name has at most 253 characters");
    assert_int_equal(strlen(last.name), 253);
    snprintf(label, sizeof label, "%063d.example", 0);
    assert_string_equal(name_of(p, label), "");
    snprintf(label, sizeof label, "%064d.example", 0);
    assert_string_equal(name_of(p, label), "no valid name: a label has at most 63 characters");
    assert_string_equal(name_of(p, "_dmarc.example"), "");
    static const char *const bad[] = {"",        ".",        "..",     ".a",         "a..b",    "a b",         "a/b",
                                      "a:b",     "-a.com",   "a-.com", "a?.com",     "a\n.com", "caf\xc3\xa9", "a@b",
                                      "*.a.com", "10.0.0.1", "127.1",  "2130706433", "a.1"};
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++)
        if (strncmp(name_of(p, bad[i]), "no valid name: ", 15) != 0)
            fail_msg("%s: %s", bad[i], last.rule);
    assert_false(policy_name(p, "good.example\0.evil.example", 26, &last));
    assert_string_equal(last.name, "good.example?.evil.example");
}

static void a_name_opens_its_addresses_and_ports_alone(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(LIST("api.example:443", "*.many.example:8000-8002", "any.example"), NULL);
    assert_string_equal(answer_of(p, "api.example", "93.184.216.34", 60, 0), "");
    assert_string_equal(answer_of(p, "a.many.example", "2a00:1450::1", 60, 0), "");
    assert_string_equal(answer_of(p, "any.example", "93.184.216.35", 60, 0), "");
    assert_string_equal(connect_of(p, "93.184.216.34", 443, 1), "");
    assert_string_equal(last.name, "api.example");
    assert_false(last.named_by_address);
    assert_string_equal(connect_of(p, "93.184.216.34", 80, 1), "not in the allow-list");
    assert_string_equal(last.name, "api.example");
    assert_string_equal(connect_of(p, "93.184.216.34", 0, 1), "not in the allow-list");
    assert_string_equal(connect_of(p, "93.184.216.35", 0, 1), "");
    assert_string_equal(connect_of(p, "93.184.216.36", 443, 1), "not in the allow-list");
    assert_string_equal(connect_of(p, "2a00:1450::1", 7999, 1), "not in the allow-list");
    assert_string_equal(connect_of(p, "2a00:1450::1", 8000, 1), "");
    assert_string_equal(connect_of(p, "2a00:1450::1", 8002, 1), "");
    assert_string_equal(connect_of(p, "2a00:1450::1", 8003, 1), "not in the allow-list");
}

static void a_name_never_opens_what_is_not_public(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(LIST("rebind.example", "*"), NULL);
    assert_string_equal(answer_of(p, "rebind.example", "127.0.0.1", 60, 0), "127.0.0.0/8 is loopback");
    assert_string_equal(last.name, "rebind.example");
    assert_string_equal(answer_of(p, "rebind.example", "64:ff9b::7f00:1", 60, 0),
                        "64:ff9b::/96 embeds an IPv4 address");
    assert_string_equal(connect_of(p, "127.0.0.1", 80, 0), "127.0.0.0/8 is loopback");
    assert_string_equal(last.name, "");
    assert_string_equal(connect_of(p, "93.184.216.34", 80, 0), "");
}

static void an_address_rule_opens_what_is_not_public(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(LIST("db.example", "10.0.0.0/8:5432", "[fd00:1::]/32:80-90", "1.2.3.4"), NULL);
    assert_string_equal(connect_of(p, "10.1.2.3", 5432, 0), "");
    assert_true(last.named_by_address);
    assert_string_equal(connect_of(p, "10.1.2.3", 5433, 0), "10.0.0.0/8 is private");
    assert_false(last.named_by_address);
    assert_string_equal(connect_of(p, "fd00:1::5", 90, 0), "");
    assert_string_equal(connect_of(p, "fd00:2::5", 90, 0), "fc00::/7 is private");
    assert_string_equal(connect_of(p, "1.2.3.4", 0, 0), "");
    assert_true(last.named_by_address);
    assert_string_equal(connect_of(p, "1.2.3.5", 80, 0), "not in the allow-list");
    assert_string_equal(answer_of(p, "db.example", "10.1.2.3", 60, 0), "");
    assert_true(last.named_by_address);
    assert_string_equal(connect_of(p, "10.1.2.3", 5432, 0), "");
    assert_string_equal(last.name, "db.example");
    assert_string_equal(connect_of(p, "10.1.2.3", 80, 0), "10.0.0.0/8 is private");
    assert_string_equal(name_of(p, "other.example"), "not in the allow-list");
}

static void a_deny_rule_wins(void **state) {
    (void)state;
    _cleanup_policy_ policy *p =
        make(LIST("*", "10.0.0.0/8"), LIST("*.Evil.example", "10.9.0.0/16", "*:25", "1.1.1.1:53"));
    assert_string_equal(name_of(p, "a.evil.example"), "deny *.evil.example");
    assert_string_equal(name_of(p, "evil.example"), "");
    assert_string_equal(connect_of(p, "10.1.0.1", 80, 0), "");
    assert_string_equal(connect_of(p, "10.9.0.1", 80, 0), "deny 10.9.0.0/16");
    assert_false(last.named_by_address);
    assert_string_equal(connect_of(p, "10.1.0.1", 25, 0), "deny *:25");
    assert_string_equal(connect_of(p, "93.184.216.34", 25, 0), "deny *:25");
    assert_string_equal(connect_of(p, "1.1.1.1", 53, 0), "deny 1.1.1.1:53");
    assert_string_equal(connect_of(p, "1.1.1.1", 80, 0), "");
    assert_string_equal(answer_of(p, "good.example", "10.9.0.1", 60, 0), "deny 10.9.0.0/16");
    assert_string_equal(answer_of(p, "good.example", "1.1.1.1", 60, 0), "");
    _cleanup_policy_ policy *none = make(LIST("example.com", "10.0.0.1"), LIST("*"));
    assert_string_equal(name_of(none, "example.com"), "deny *");
    assert_string_equal(connect_of(none, "10.0.0.1", 80, 0), "deny *");
}

static void of_several_names_any_admits_and_any_denied_one_refuses(void **state) {
    (void)state;
    _cleanup_policy_ policy *p =
        make(LIST("a.example:80", "b.example:443", "c.example"), LIST("c.example:22", "c.example:443"));
    assert_string_equal(answer_of(p, "a.example", "93.184.216.34", 60, 0), "");
    assert_string_equal(connect_of(p, "93.184.216.34", 443, 0), "not in the allow-list");
    assert_string_equal(answer_of(p, "b.example", "93.184.216.34", 60, 0), "");
    assert_string_equal(connect_of(p, "93.184.216.34", 80, 0), "");
    assert_string_equal(last.name, "a.example");
    assert_string_equal(connect_of(p, "93.184.216.34", 443, 0), "");
    assert_string_equal(last.name, "b.example");
    assert_string_equal(answer_of(p, "c.example", "93.184.216.34", 60, 0), "");
    assert_string_equal(connect_of(p, "93.184.216.34", 443, 0), "deny c.example:443");
    assert_string_equal(last.name, "c.example");
    assert_string_equal(connect_of(p, "93.184.216.34", 80, 0), "");
}

static void names_are_known_for_their_time(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(LIST("*.example"), NULL);
    answer_of(p, "short.example", "1.0.0.1", 1, 0);
    assert_string_equal(connect_of(p, "1.0.0.1", 80, 5 * MINUTE - 1), "");
    assert_string_equal(connect_of(p, "1.0.0.1", 80, 10 * MINUTE - 2), ""); /* use is renewal */
    assert_string_equal(connect_of(p, "1.0.0.1", 80, 15 * MINUTE - 2), "not in the allow-list");
    assert_string_equal(connect_of(p, "1.0.0.1", 80, 15 * MINUTE - 1),
                        "not in the allow-list"); /* and a refusal is not */
    answer_of(p, "ten.example", "1.0.0.2", 600, 0);
    assert_string_equal(connect_of(p, "1.0.0.2", 80, 10 * MINUTE), "not in the allow-list");
    answer_of(p, "ten.example", "1.0.0.2", 600, 0);
    assert_string_equal(connect_of(p, "1.0.0.2", 80, 10 * MINUTE - 1), "");
    answer_of(p, "long.example", "1.0.0.3", UINT32_MAX, 0);
    assert_string_equal(connect_of(p, "1.0.0.3", 80, 60 * MINUTE), "not in the allow-list");
    answer_of(p, "long.example", "1.0.0.3", UINT32_MAX, 0);
    assert_string_equal(connect_of(p, "1.0.0.3", 80, 60 * MINUTE - 1), "");
}

static void what_was_used_least_lately_is_forgotten(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(LIST("*.example"), NULL);
    char text[32], name[32];
    for (unsigned i = 0; i < RESOLVED_MAX; i++) {
        snprintf(text, sizeof text, "1.0.%u.%u", i >> 8, i & 255);
        assert_string_equal(answer_of(p, "many.example", text, 60, 0), "");
    }
    assert_string_equal(connect_of(p, "1.0.0.0", 80, 1), "");
    assert_string_equal(answer_of(p, "one.example", "2.0.0.0", 60, 1), "");
    assert_string_equal(connect_of(p, "1.0.0.0", 80, 1), "");
    assert_string_equal(connect_of(p, "1.0.0.1", 80, 1), "not in the allow-list");
    assert_string_equal(connect_of(p, "1.0.0.2", 80, 1), "");
    assert_string_equal(connect_of(p, "2.0.0.0", 80, 1), "");
    for (unsigned i = 0; i < 3 * RESOLVED_MAX; i++) { /* one address of many names forgets nothing but them */
        snprintf(name, sizeof name, "n%u.example", i);
        assert_string_equal(answer_of(p, name, "2.0.0.1", 60, 1), "");
    }
    assert_string_equal(connect_of(p, "2.0.0.1", 80, 1), "");
    assert_string_equal(last.name, name);
    assert_string_equal(connect_of(p, "1.0.0.0", 80, 1), "");
    assert_string_equal(connect_of(p, "1.0.15.255", 80, 1), "");
}

static void a_name_that_is_answered_again_takes_no_other_s_place(void **state) {
    (void)state;
    _cleanup_policy_ policy *p = make(LIST("a.example:80", "b.example:443"), NULL);
    assert_string_equal(answer_of(p, "a.example", "1.0.0.1", 60, 0), "");
    for (unsigned i = 0; i <= RESOLVED_NAMES_MAX; i++)
        assert_string_equal(answer_of(p, "b.example", "1.0.0.1", 60, 0), "");
    assert_string_equal(connect_of(p, "1.0.0.1", 80, 0), "");
    assert_string_equal(connect_of(p, "1.0.0.1", 443, 0), "");
}

static void what_is_no_rule_is_refused_by_list_and_rule(void **state) {
    (void)state;
    static const struct {
        const char *rule, *words;
    } bad[] = {
        {"", "a rule is empty"},
        {"a b", "a name has letters, digits, hyphens, underscores and dots alone"},
        {"caf\xc3\xa9.example", "a name's other letters are written as xn--"},
        {"a..b", "a label is empty"},
        {"-a.example", "a label neither begins nor ends with a hyphen"},
        {"https://example.com/", "a rule is a name or an address, not a URL"},
        {"example.com/path", "neither a name nor an IPv4 or IPv6 address"},
        {"example.com:", "a port is a number from 1 to 65535"},
        {"example.com:0", "a port is a number from 1 to 65535"},
        {"example.com:65536", "a port is a number from 1 to 65535"},
        {"example.com:http", "a port is a number from 1 to 65535"},
        {"example.com:+80", "a port is a number from 1 to 65535"},
        {"example.com:*", "a port is a number from 1 to 65535"},
        {"example.com:80-", "a range of ports is two numbers from 1 to 65535, the lower one first"},
        {"example.com:90-80", "a range of ports is two numbers from 1 to 65535, the lower one first"},
        {":80", "a name is empty"},
        {"*.", "a name is empty"},
        {"*example.com", "\"*\" stands alone or is the first label"},
        {"a.*.com", "\"*\" stands alone or is the first label"},
        {"**", "\"*\" stands alone or is the first label"},
        {"10.0.0", "neither a name nor an IPv4 or IPv6 address"},
        {"10.0.0.256", "neither a name nor an IPv4 or IPv6 address"},
        {"10.0.0.0/33", "a prefix length is a number from 0 to 32"},
        {"10.0.0.0/", "a prefix length is a number from 0 to 32"},
        {"10.0.0.0/-1", "a prefix length is a number from 0 to 32"},
        {"10.0.0.1/8", "the address has bits set after the prefix length"},
        {"10.128.0.0/8", "the address has bits set after the prefix length"},
        {"10.0.0.0/255.0.0.0", "a prefix length is a number from 0 to 32"},
        {"2001:db8::/129", "a prefix length is a number from 0 to 128"},
        {"2001:db8::/32:80", "a prefix length is a number from 0 to 128"},
        {"2001:db8::1/32", "the address has bits set after the prefix length"},
        {"fe80::1%eth0", "neither a name nor an IPv4 or IPv6 address"},
        {"::ffff:10.0.0.1", "write the IPv4 address"},
        {"[2001:db8::1", "an IPv6 address with ports is written [ADDRESS]:PORTS"},
        {"[2001:db8::1]80", "an IPv6 address with ports is written [ADDRESS]:PORTS"},
        {"[10.0.0.1]:80", "brackets are for IPv6 addresses"},
        {"[example.com]:80", "neither a name nor an IPv4 or IPv6 address"},
        {"[]", "neither a name nor an IPv4 or IPv6 address"},
        {"0.0.0.0/0", "all that is public is \"*\""},
        {"::/0", "all that is public is \"*\""},
        {"[::]/0:443", "all that is public is \"*\""},
    };
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        policy *p = NULL;
        _cleanup_error_ ci_error *error = NULL;
        char wanted[256];
        snprintf(wanted, sizeof wanted, "network_allow: \"%s\": %s", bad[i].rule, bad[i].words);
        if (policy_new(LIST("good.example", bad[i].rule), NULL, &p, &error) != CI_ERR_INVALID || p != NULL)
            fail_msg("%s is taken", bad[i].rule);
        if (strstr(ci_error_message(error), wanted) == NULL)
            assert_string_equal(ci_error_message(error), wanted);
    }
    policy *p = NULL;
    FAILS(CI_ERR_INVALID, "network_deny: \"x y\": ", policy_new(NULL, LIST("x y"), &p, &error));
    assert_null(p);
    _cleanup_policy_ policy *all = make(NULL, LIST("0.0.0.0/0", "[::]/0:443"));
    assert_string_equal(connect_of(all, "93.184.216.34", 80, 0), "deny 0.0.0.0/0");
    assert_string_equal(connect_of(all, "2a00:1450::1", 443, 0), "deny [::]/0:443");
    assert_string_equal(connect_of(all, "2a00:1450::1", 80, 0), "");
}

static void a_list_has_at_most_1024_rules(void **state) {
    (void)state;
    static const char *list[POLICY_RULES_MAX + 2];
    policy *p = NULL;
    for (size_t i = 0; i <= POLICY_RULES_MAX; i++)
        list[i] = "example.com";
    FAILS(CI_ERR_INVALID, "network_allow: 1025 rules, at most 1024", policy_new(list, NULL, &p, &error));
    list[POLICY_RULES_MAX] = NULL;
    list[POLICY_RULES_MAX - 1] = "last.example";
    p = make(list, list);
    assert_string_equal(name_of(p, "last.example"), "deny last.example");
    policy_free(p);
    policy_free(NULL);
}

static ci_status make_and_free(void *user) {
    (void)user;
    _cleanup_policy_ policy *p = NULL;
    return policy_new(LIST("a.example"), LIST("b.example"), &p, NULL);
}

static void without_memory_there_is_no_policy(void **state) {
    (void)state;
    assert_int_equal(failmalloc_each(make_and_free, NULL), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_all_that_is_public_is_allowed),
        cmocka_unit_test(an_empty_list_denies_all),
        cmocka_unit_test(names_are_exact_and_what_lies_below_is_another_rule),
        cmocka_unit_test(names_are_validated_label_by_label),
        cmocka_unit_test(a_name_opens_its_addresses_and_ports_alone),
        cmocka_unit_test(a_name_never_opens_what_is_not_public),
        cmocka_unit_test(an_address_rule_opens_what_is_not_public),
        cmocka_unit_test(a_deny_rule_wins),
        cmocka_unit_test(of_several_names_any_admits_and_any_denied_one_refuses),
        cmocka_unit_test(names_are_known_for_their_time),
        cmocka_unit_test(what_was_used_least_lately_is_forgotten),
        cmocka_unit_test(a_name_that_is_answered_again_takes_no_other_s_place),
        cmocka_unit_test(what_is_no_rule_is_refused_by_list_and_rule),
        cmocka_unit_test(a_list_has_at_most_1024_rules),
        cmocka_unit_test(without_memory_there_is_no_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
