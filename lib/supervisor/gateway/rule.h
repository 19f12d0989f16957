/* One rule of a policy, and names: what is one, and which rules speak of it. README.md has the grammar. */
#ifndef CII_SUPERVISOR_GATEWAY_RULE_H
#define CII_SUPERVISOR_GATEWAY_RULE_H

#include "supervisor/gateway/address.h"

#define RULE_TEXT_SIZE 288 /* the longest name, what stands before and after it, and a NUL */

typedef enum rule_kind { RULE_ALL, RULE_NAME, RULE_BELOW, RULE_NETWORK } rule_kind;

typedef struct rule {
    rule_kind kind;
    uint16_t first_port, last_port; /* 0 to 65535: any, and what has no ports */
    network net;
    char name[NAME_SIZE];
    char text[RULE_TEXT_SIZE]; /* as it was given, in lower case */
} rule;

/* Both return NULL, or what is wrong, in words; *ret is then undefined. */
const char *rule_parse(const char *text, rule *ret);
/* Any bytes to a name in text form: lower case, no dot at the end, 1 to 63 of [a-z0-9_-] a label. */
const char *name_normalize(const char *name, size_t name_size, char ret_name[NAME_SIZE]);

bool rule_has_port(const rule *r, uint16_t port);
bool rule_any_port(const rule *r);
/* By name or "*". */
bool rule_has_name(const rule *r, const char *name);
/* By address alone: "*" is none. */
bool rule_has_address(const rule *r, const address *a);

#endif
