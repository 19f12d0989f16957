/* A table of pairs, all had at once (pages that were never used cost no memory): a chain of pairs for each bucket of
 * addresses, the one answered last first, and one list by use, whose end is taken when there is no free pair. */
#include "supervisor/gateway/resolved.h"

#define BUCKETS 1024 /* a power of 2 */
#define NONE UINT16_MAX

typedef struct pair {
    address a;
    int64_t expires_ms;
    int32_t life_ms;
    uint16_t next;         /* in the bucket */
    uint16_t newer, older; /* by use */
    char name[NAME_SIZE];
} pair;

struct resolved {
    uint16_t buckets[BUCKETS];
    uint16_t newest, oldest;
    uint16_t used; /* pairs that were ever taken */
    pair pairs[RESOLVED_MAX];
};

resolved *resolved_new(void) {
    resolved *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    memset(r->buckets, 0xff, sizeof r->buckets);
    r->newest = r->oldest = NONE;
    return r;
}

void resolved_free(resolved *r) {
    free(r);
}

static uint16_t *bucket_of(resolved *r, const address *a) {
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < sizeof a->s6_addr; i++)
        hash = (hash ^ a->s6_addr[i]) * 16777619;
    return &r->buckets[(hash ^ hash >> 16) & (BUCKETS - 1)];
}

static void unlink_use(resolved *r, uint16_t at) {
    pair *p = &r->pairs[at];
    *(p->newer != NONE ? &r->pairs[p->newer].older : &r->newest) = p->older;
    *(p->older != NONE ? &r->pairs[p->older].newer : &r->oldest) = p->newer;
}

static void link_use(resolved *r, uint16_t at) {
    pair *p = &r->pairs[at];
    p->newer = NONE;
    p->older = r->newest;
    *(r->newest != NONE ? &r->pairs[r->newest].newer : &r->oldest) = at;
    r->newest = at;
}

static void unlink_bucket(resolved *r, uint16_t at) {
    uint16_t *link = bucket_of(r, &r->pairs[at].a);
    while (*link != at)
        link = &r->pairs[*link].next;
    *link = r->pairs[at].next;
}

/* The pair that takes the new name: its own, else the address's last one when it has its fill, else a free one, else the
 * one that was used least lately. It is in no list any more. */
static uint16_t take(resolved *r, const address *a, const char *name) {
    uint16_t found = NONE, last = NONE;
    size_t count = 0;
    for (uint16_t at = *bucket_of(r, a); at != NONE && found == NONE; at = r->pairs[at].next) {
        if (!address_equal(&r->pairs[at].a, a))
            continue;
        count++;
        last = at;
        if (strcmp(r->pairs[at].name, name) == 0)
            found = at;
    }
    if (found == NONE && count >= RESOLVED_NAMES_MAX)
        found = last;
    if (found == NONE && r->used < RESOLVED_MAX)
        return r->used++;
    if (found == NONE)
        found = r->oldest;
    unlink_bucket(r, found);
    unlink_use(r, found);
    return found;
}

void resolved_put(resolved *r, const address *a, const char *name, uint32_t ttl_seconds, int64_t now_ms) {
    uint16_t at = take(r, a, name);
    uint16_t *bucket = bucket_of(r, a);
    pair *p = &r->pairs[at];
    size_t size = strnlen(name, NAME_SIZE - 1);
    p->a = *a;
    memmove(p->name, name, size);
    p->name[size] = 0;
    p->life_ms = (int32_t)CII_MIN(CII_MAX(ttl_seconds, RESOLVED_LIFE_MIN_S), RESOLVED_LIFE_MAX_S) * 1000;
    p->expires_ms = now_ms + p->life_ms;
    p->next = *bucket;
    *bucket = at;
    link_use(r, at);
}

size_t resolved_use(resolved *r, const address *a, int64_t now_ms, const char *ret_names[RESOLVED_NAMES_MAX]) {
    size_t count = 0;
    for (uint16_t at = *bucket_of(r, a); at != NONE && count < RESOLVED_NAMES_MAX; at = r->pairs[at].next) {
        pair *p = &r->pairs[at];
        if (!address_equal(&p->a, a) || p->expires_ms <= now_ms)
            continue;
        p->expires_ms = now_ms + p->life_ms;
        ret_names[count++] = p->name;
        unlink_use(r, at);
        link_use(r, at);
    }
    return count;
}
