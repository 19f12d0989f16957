/* Text to rule: head and ports are parted, then the head is "*", a name below "*.", an address or network, or a name. */
#include "supervisor/gateway/rule.h"

#include <stdio.h>

#define DIGITS "0123456789"

static const char not_address[] = "neither a name nor an IPv4 or IPv6 address";

/* Locales have no say in what a name is. */
static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static const char *label_fault(const char *label, size_t size) {
    if (size == 0)
        return "a label is empty";
    if (size > 63)
        return "a label has at most 63 characters";
    for (size_t i = 0; i < size; i++)
        if (!name_char(label[i]))
            return (unsigned char)label[i] < 0x80 ? "a name has letters, digits, hyphens, underscores and dots alone"
                                                  : "a name's other letters are written as xn--";
    return label[0] == '-' || label[size - 1] == '-' ? "a label neither begins nor ends with a hyphen" : NULL;
}

/* An address in dots is no name, nor is what other programs would take for one. */
static bool ends_in_number(const char *name) {
    const char *dot = strrchr(name, '.');
    const char *label = dot != NULL ? dot + 1 : name;
    return *label != 0 && strspn(label, DIGITS) == strlen(label);
}

const char *name_normalize(const char *name, size_t name_size, char ret_name[NAME_SIZE]) {
    if (name_size > 0 && name[name_size - 1] == '.')
        name_size--;
    if (name_size == 0)
        return "a name is empty";
    if (name_size >= NAME_SIZE)
        return "a name has at most 253 characters";
    for (size_t i = 0; i < name_size; i++)
        ret_name[i] = lower(name[i]);
    ret_name[name_size] = 0;
    for (size_t start = 0, end; start <= name_size; start = end + 1) {
        const char *dot = memchr(ret_name + start, '.', name_size - start);
        end = dot != NULL ? (size_t)(dot - ret_name) : name_size;
        const char *fault = label_fault(ret_name + start, end - start);
        if (fault != NULL)
            return fault;
    }
    return ends_in_number(ret_name) ? "a name's last label is no number" : NULL;
}

/* At most max_digits digits and nothing else. */
static bool parse_number(const char *text, size_t size, size_t max_digits, unsigned *ret) {
    unsigned value = 0;
    if (size == 0 || size > max_digits)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *ret = value;
    return true;
}

static const char *parse_ports(const char *text, rule *r) {
    const char *dash = strchr(text, '-');
    unsigned first = 0, last = 0;
    if (!parse_number(text, dash != NULL ? (size_t)(dash - text) : strlen(text), 5, &first) || first < 1 ||
        first > UINT16_MAX)
        return "a port is a number from 1 to 65535";
    last = first;
    if (dash != NULL && (!parse_number(dash + 1, strlen(dash + 1), 5, &last) || last < first || last > UINT16_MAX))
        return "a range of ports is two numbers from 1 to 65535, the lower one first";
    r->first_port = (uint16_t)first;
    r->last_port = (uint16_t)last;
    return NULL;
}

/* ADDRESS or ADDRESS/BITS, in a buffer that is ours. */
static const char *parse_network(char *text, network *ret) {
    char *slash = strchr(text, '/');
    if (slash != NULL)
        *slash = 0;
    if (!address_parse(text, &ret->base))
        return strncmp(text, "::ffff:", 7) == 0 && strchr(text, '.') != NULL ? "write the IPv4 address" : not_address;
    unsigned offset = address_is_v4(&ret->base) ? 96 : 0, bits = 128 - offset;
    if (slash != NULL && (!parse_number(slash + 1, strlen(slash + 1), 3, &bits) || bits > 128 - offset))
        return offset > 0 ? "a prefix length is a number from 0 to 32" : "a prefix length is a number from 0 to 128";
    ret->bits = (uint8_t)(offset + bits);
    for (unsigned bit = ret->bits; bit < 128; bit++)
        if (ret->base.s6_addr[bit / 8] & 0x80 >> bit % 8)
            return "the address has bits set after the prefix length";
    return NULL;
}

static const char *parse_head(char *head, bool bracketed, rule *r) {
    if (bracketed || strpbrk(head, ":/") != NULL || ends_in_number(head)) {
        r->kind = RULE_NETWORK;
        const char *fault = parse_network(head, &r->net);
        return fault == NULL && bracketed && address_is_v4(&r->net.base) ? "brackets are for IPv6 addresses" : fault;
    }
    if (strcmp(head, "*") == 0) {
        r->kind = RULE_ALL;
        return NULL;
    }
    r->kind = strncmp(head, "*.", 2) == 0 ? RULE_BELOW : RULE_NAME;
    const char *name = r->kind == RULE_BELOW ? head + 2 : head;
    if (strchr(name, '*') != NULL)
        return "\"*\" stands alone or is the first label: *.example.com";
    return name_normalize(name, strlen(name), r->name);
}

const char *rule_parse(const char *text, rule *ret) {
    size_t size = strlen(text);
    if (size == 0)
        return "a rule is empty";
    if (size >= RULE_TEXT_SIZE)
        return "a name has at most 253 characters";
    if (strstr(text, "://") != NULL)
        return "a rule is a name or an address, not a URL";
    *ret = (rule){.last_port = UINT16_MAX};
    for (size_t i = 0; i < size; i++)
        ret->text[i] = lower(text[i]);

    char head[RULE_TEXT_SIZE];
    bool bracketed = ret->text[0] == '[';
    const char *colon = strchr(ret->text, ':');
    if (bracketed) {
        const char *close = strchr(ret->text, ']');
        if (close == NULL || strchr("/:", close[1]) == NULL)
            return "an IPv6 address with ports is written [ADDRESS]:PORTS or [ADDRESS]/BITS:PORTS";
        colon = strchr(close, ':');
        int rest = (int)(colon != NULL ? colon - close : (ptrdiff_t)strlen(close)) - 1;
        snprintf(head, sizeof head, "%.*s%.*s", (int)(close - ret->text) - 1, ret->text + 1, rest, close + 1);
    } else {
        if (colon != NULL && strchr(colon + 1, ':') != NULL)
            colon = NULL; /* an IPv6 address without ports */
        snprintf(head, sizeof head, "%.*s", (int)(colon != NULL ? colon - ret->text : (ptrdiff_t)size), ret->text);
    }
    const char *fault = colon != NULL ? parse_ports(colon + 1, ret) : NULL;
    return fault != NULL ? fault : parse_head(head, bracketed, ret);
}

bool rule_has_port(const rule *r, uint16_t port) {
    return port >= r->first_port && port <= r->last_port;
}

bool rule_any_port(const rule *r) {
    return r->first_port == 0;
}

bool rule_has_name(const rule *r, const char *name) {
    size_t size = strlen(name), below = strlen(r->name);
    switch (r->kind) {
    case RULE_ALL:
        return true;
    case RULE_NAME:
        return strcmp(name, r->name) == 0;
    case RULE_BELOW:
        return size > below && name[size - below - 1] == '.' && strcmp(name + size - below, r->name) == 0;
    case RULE_NETWORK:
        break;
    }
    return false;
}

bool rule_has_address(const rule *r, const address *a) {
    return r->kind == RULE_NETWORK && network_holds(&r->net, a);
}
