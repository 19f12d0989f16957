/* Signature Version 4.
 *
 *     canonical request -> string to sign -> HMAC with the key of (secret, day, region, service) -> signature
 *
 * All that a call writes has a bound which follows from the sizes of what it was given; both buffers get that much room
 * before anything is written. So pointers into them stay valid, and no copy of a token is left behind by growing. */
#include "aws/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "aws/secret.h"
#include "base/str.h"

#define DOMAIN "aws"
#define ALGORITHM "AWS4-HMAC-SHA256"
#define OWN_PAIRS 6 /* what is added to the caller's parameters or headers, at most */

struct cii_sigv4 {
    char region[CII_SIGV4_NAME_MAX + 1];
    char service[CII_SIGV4_NAME_MAX + 1];
    unsigned flags;
    pthread_mutex_t lock; /* of what follows: the signing key last used, and what it was made of */
    char day[9];
    char secret[2 * CII_SIGV4_NAME_MAX + 1];
    uint8_t key[32];
};

typedef struct pair {
    const char *name;
    const char *value;
    size_t order; /* of equal names the one given first comes first */
} pair;

/* One call. */
typedef struct work {
    cii_sigv4 *signer;
    const cii_sigv4_request *request;
    const cii_aws_keys *keys;
    cii_sigv4_signed *out;
    ci_status status; /* the first failure sticks */
    char date[17];    /* 20130524T000000Z; the first 8 are the day */
    const char *payload_hash;
    pair query[CII_SIGV4_PAIRS_MAX + OWN_PAIRS], headers[CII_SIGV4_PAIRS_MAX + OWN_PAIRS];
    size_t query_count, header_count;
} work;

/* --- writing ------------------------------------------------------------------------------------------------------ */

static bool is_unreserved(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

ci_status cii_sigv4_encode(cii_buf *to, const char *data, size_t size, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    char *start, *p;
    ci_status status = size > SIZE_MAX / 3 ? CI_ERR_LIMIT : cii_buf_reserve(to, 3 * size, &start);
    if (status < 0)
        return status;
    p = start;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        if (is_unreserved(c) || (c == '/' && keep_slash)) {
            *p++ = (char)c;
        } else {
            *p++ = '%';
            *p++ = digits[c >> 4];
            *p++ = digits[c & 15];
        }
    }
    cii_buf_commit(to, (size_t)(p - start));
    return CI_OK;
}

static void note(work *w, ci_status status) {
    if (w->status == CI_OK)
        w->status = status;
}

static void put_n(work *w, cii_buf *to, const char *text, size_t size) {
    note(w, cii_buf_append(to, text, size));
}

static void put(work *w, cii_buf *to, const char *text) {
    put_n(w, to, text, strlen(text));
}

static void put_encoded(work *w, cii_buf *to, const char *text) {
    note(w, cii_sigv4_encode(to, text, strlen(text), false));
}

/* Ends the string that began at `start` of the buffer. */
static const char *finish(work *w, cii_buf *buf, size_t start) {
    put_n(w, buf, "", 1);
    return w->status == CI_OK ? buf->data + start : "";
}

/* --- hashes ------------------------------------------------------------------------------------------------------- */

ci_status cii_sigv4_hash(const void *data, size_t size, char ret_hex[65]) {
    uint8_t digest[32];
    if (EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) != 1)
        return CI_ERR_NOMEM;
    cii_hex(digest, sizeof digest, ret_hex);
    return CI_OK;
}

/* `to` may be `key`. */
static bool hmac(const uint8_t *key, size_t key_size, const char *text, size_t size, uint8_t to[32]) {
    uint8_t digest[32];
    bool done = HMAC(EVP_sha256(), key, (int)key_size, (const uint8_t *)text, size, digest, NULL) != NULL;
    if (done)
        memcpy(to, digest, sizeof digest);
    OPENSSL_cleanse(digest, sizeof digest);
    return done;
}

static bool make_key(cii_sigv4 *s, const char *secret, const char *day) {
    char first[4 + sizeof s->secret] = "AWS4";
    size_t size = strlen(secret);
    memcpy(first + 4, secret, size);
    bool done = hmac((const uint8_t *)first, 4 + size, day, 8, s->key) &&
                hmac(s->key, sizeof s->key, s->region, strlen(s->region), s->key) &&
                hmac(s->key, sizeof s->key, s->service, strlen(s->service), s->key) &&
                hmac(s->key, sizeof s->key, "aws4_request", 12, s->key);
    OPENSSL_cleanse(first, sizeof first);
    return done;
}

static ci_status signing_key(cii_sigv4 *s, const char *secret, const char *date, uint8_t ret_key[32]) {
    ci_status status = CI_OK;
    pthread_mutex_lock(&s->lock);
    if (memcmp(s->day, date, 8) != 0 || strcmp(s->secret, secret) != 0) {
        OPENSSL_cleanse(s->secret, sizeof s->secret);
        s->day[0] = '\0'; /* not valid until it is whole */
        if (make_key(s, secret, date)) {
            memcpy(s->day, date, 8);
            memcpy(s->secret, secret, strlen(secret) + 1);
        } else {
            status = CI_ERR_NOMEM;
        }
    }
    memcpy(ret_key, s->key, sizeof s->key);
    pthread_mutex_unlock(&s->lock);
    return status;
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static bool is_plain(const char *text, const char *but) {
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f || strchr(but, *text))
            return false;
    return true;
}

static bool is_token(const char *text) {
    return *text != '\0' && is_plain(text, "\"(),/:;<=>?@[\\]{}");
}

static bool is_header_value(const char *text) {
    for (; *text; text++)
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

static bool is_hash(const char *text) {
    return strcmp(text, CII_SIGV4_UNSIGNED_PAYLOAD) == 0 ||
           (strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64);
}

static const char *const ours[] = {"host", "authorization", "x-amz-date", "x-amz-content-sha256",
                                   "x-amz-security-token"};

/* What proxies and HTTP clients change, add or drop on the way. */
static const char *const unsigned_headers[] = {"accept",
                                               "accept-encoding",
                                               "connection",
                                               "content-length",
                                               "expect",
                                               "keep-alive",
                                               "proxy-authenticate",
                                               "proxy-authorization",
                                               "te",
                                               "trailer",
                                               "upgrade",
                                               "transfer-encoding",
                                               "user-agent",
                                               "x-amzn-trace-id"};

static bool is_one_of(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static ci_status check_keys(const cii_aws_keys *k, ci_error **ret_error) {
    if (!k->id || !*k->id || !is_plain(k->id, ",") || strlen(k->id) > CII_SIGV4_NAME_MAX)
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "credentials: the access key id is not one");
    if (!k->secret || !*k->secret || strlen(k->secret) > 2 * CII_SIGV4_NAME_MAX)
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "credentials: the secret access key is not one");
    if (k->token && !is_plain(k->token, ""))
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "credentials: the session token is not one");
    return CI_OK;
}

static ci_status check_path(const cii_sigv4_request *r, unsigned flags, ci_error **ret_error) {
    if (r->path_size > CII_SIGV4_PATH_MAX)
        return cii_error_set(ret_error, CI_ERR_LIMIT, DOMAIN, "path: %zu bytes, at most %u", r->path_size,
                             CII_SIGV4_PATH_MAX);
    bool valid = r->path_size == 0 || r->path[0] == '/';
    for (size_t i = 0; i < r->path_size && valid && (flags & CII_SIGV4_PATH_ENCODED); i++)
        valid = r->path[i] > ' ' && r->path[i] < 0x7f && r->path[i] != '?' && r->path[i] != '#';
    return valid ? CI_OK : cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "path: not one that can be sent");
}

/* Adds up in *ret_size what the pairs take. */
static ci_status check_pairs(const cii_sigv4_request *r, size_t *ret_size, ci_error **ret_error) {
    size_t size = strlen(r->method) + strlen(r->host);
    for (size_t i = 0; i < r->query_count; i++)
        size += strlen(r->query[i].name) + (r->query[i].value ? strlen(r->query[i].value) : 0);
    for (size_t i = 0; i < r->header_count; i++) {
        const cii_aws_pair *h = &r->headers[i];
        if (!is_token(h->name) || is_one_of(h->name, ours, CII_ELEMENTS(ours)))
            return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "header \"%.64s\": not one that can be given",
                                 h->name);
        if (!is_header_value(h->value))
            return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "header \"%.64s\": its value has control bytes",
                                 h->name);
        size += strlen(h->name) + strlen(h->value);
    }
    *ret_size += size;
    return CI_OK;
}

static ci_status check(const work *w, size_t *ret_size, ci_error **ret_error) {
    const cii_sigv4_request *r = w->request;
    if (!is_token(r->method) || !*r->host || !is_plain(r->host, "/?#@"))
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "%s: not one that can be sent",
                             is_token(r->method) ? "host" : "method");
    if (!is_hash(w->payload_hash))
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "payload_hash: not the hash of a body");
    if (r->query_count > CII_SIGV4_PAIRS_MAX || r->header_count > CII_SIGV4_PAIRS_MAX)
        return cii_error_set(ret_error, CI_ERR_LIMIT, DOMAIN, "%zu parameters and %zu headers, at most %u each",
                             r->query_count, r->header_count, CII_SIGV4_PAIRS_MAX);
    ci_status status = check_keys(w->keys, ret_error);
    if (status == CI_OK)
        status = check_path(r, w->signer->flags, ret_error);
    *ret_size = w->keys->token ? strlen(w->keys->token) : 0;
    if (status == CI_OK)
        status = check_pairs(r, ret_size, ret_error);
    if (status == CI_OK && *ret_size > CII_SIGV4_TEXT_MAX)
        status = cii_error_set(ret_error, CI_ERR_LIMIT, DOMAIN, "parameters, headers and token: %zu bytes, at most %u",
                               *ret_size, CII_SIGV4_TEXT_MAX);
    return status;
}

/* --- the parts of the canonical request --------------------------------------------------------------------------- */

static int compare(const void *a_, const void *b_) {
    const pair *a = a_, *b = b_;
    int order = strcmp(a->name, b->name);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int compare_with_value(const void *a_, const void *b_) {
    const pair *a = a_, *b = b_;
    int order = strcmp(a->name, b->name);
    return order ? order : strcmp(a->value, b->value);
}

static void add_parameter(work *w, const char *name, const char *value) {
    cii_buf *room = &w->out->canonical;
    size_t start = room->size;
    put_encoded(w, room, name);
    const char *encoded_name = finish(w, room, start);
    start = room->size;
    put_encoded(w, room, value ? value : "");
    w->query[w->query_count++] = (pair){encoded_name, finish(w, room, start), 0};
}

static void add_header(work *w, const char *name, const char *value) {
    cii_buf *room = &w->out->canonical;
    size_t start = room->size;
    put(w, room, name);
    for (size_t i = start; i < room->size; i++)
        if (room->data[i] >= 'A' && room->data[i] <= 'Z')
            room->data[i] |= 32;
    w->headers[w->header_count] = (pair){finish(w, room, start), value, w->header_count};
    w->header_count++;
}

/* "host;range;x-amz-date", once the headers are sorted. */
static void put_signed_headers(work *w, cii_buf *to) {
    for (size_t i = 0; i < w->header_count; i++) {
        if (i > 0 && strcmp(w->headers[i].name, w->headers[i - 1].name) == 0)
            continue;
        put(w, to, i > 0 ? ";" : "");
        put(w, to, w->headers[i].name);
    }
}

/* Without white space around it, and one space for each run of it within. */
static void put_trimmed(work *w, cii_buf *to, const char *value) {
    for (bool first = true;; first = false) {
        value += strspn(value, " \t");
        size_t size = strcspn(value, " \t");
        if (size == 0)
            return;
        put(w, to, first ? "" : " ");
        put_n(w, to, value, size);
        value += size;
    }
}

static void put_canonical_headers(work *w, cii_buf *to) {
    for (size_t i = 0; i < w->header_count; i++) {
        bool again = i > 0 && strcmp(w->headers[i].name, w->headers[i - 1].name) == 0;
        put(w, to, again ? "," : i > 0 ? "\n" : "");
        put(w, to, again ? "" : w->headers[i].name);
        put(w, to, again ? "" : ":");
        put_trimmed(w, to, w->headers[i].value);
    }
    put(w, to, "\n");
}

/* Drops empty parts and ".", and with ".." the part before; in place. The size that is left. */
static size_t normalize(char *path, size_t size) {
    size_t kept = 0; /* "/a/b", without a "/" behind */
    bool is_folder = path[size - 1] == '/';
    for (size_t i = 0; i < size;) {
        while (i < size && path[i] == '/')
            i++;
        size_t start = i;
        while (i < size && path[i] != '/')
            i++;
        size_t n = i - start;
        if (n == 0 || (n == 1 && path[start] == '.'))
            continue;
        if (n == 2 && path[start] == '.' && path[start + 1] == '.') {
            while (kept > 0 && path[--kept] != '/')
                ;
            continue;
        }
        path[kept++] = '/';
        memmove(path + kept, path + start, n);
        kept += n;
    }
    if (kept == 0 || is_folder)
        path[kept++] = '/';
    return kept;
}

static void put_canonical_path(work *w, cii_buf *to) {
    const cii_sigv4_request *r = w->request;
    char path[CII_SIGV4_PATH_MAX + 1] = "/";
    size_t size = CII_MAX(r->path_size, (size_t)1);
    if (r->path_size > 0)
        memcpy(path, r->path, r->path_size);
    if (w->signer->flags & CII_SIGV4_NORMALIZE)
        size = normalize(path, size);
    note(w, cii_sigv4_encode(to, path, size, true));
}

/* Path and query as they are sent; the query is the canonical one too. Where it begins in the text is returned. */
static size_t put_target(work *w, cii_buf *to) {
    const cii_sigv4_request *r = w->request;
    if (r->path_size == 0)
        put(w, to, "/");
    else if (w->signer->flags & CII_SIGV4_PATH_ENCODED)
        put_n(w, to, r->path, r->path_size);
    else
        note(w, cii_sigv4_encode(to, r->path, r->path_size, true));
    put(w, to, w->query_count > 0 ? "?" : "");
    size_t query_start = to->size;
    qsort(w->query, w->query_count, sizeof *w->query, compare_with_value);
    for (size_t i = 0; i < w->query_count; i++) {
        put(w, to, i > 0 ? "&" : "");
        put(w, to, w->query[i].name);
        put(w, to, "=");
        put(w, to, w->query[i].value);
    }
    return query_start;
}

static void put_scope(work *w, cii_buf *to) {
    put_n(w, to, w->date, 8);
    put(w, to, "/");
    put(w, to, w->signer->region);
    put(w, to, "/");
    put(w, to, w->signer->service);
    put(w, to, "/aws4_request");
}

/* --- signing ------------------------------------------------------------------------------------------------------ */

static void hash_canonical_request(work *w, const char *query, char ret_hex[65]) {
    cii_buf *to = &w->out->canonical;
    size_t start = to->size;
    put(w, to, w->request->method);
    put(w, to, "\n");
    put_canonical_path(w, to);
    put(w, to, "\n");
    put(w, to, query);
    put(w, to, "\n");
    put_canonical_headers(w, to);
    put(w, to, "\n");
    put(w, to, w->out->signed_headers);
    put(w, to, "\n");
    put(w, to, w->payload_hash);
    if (w->status == CI_OK)
        note(w, cii_sigv4_hash(to->data + start, to->size - start, ret_hex));
}

static void make_signature(work *w, const char *query) {
    cii_buf *to = &w->out->canonical;
    char hash[65] = "", hex[65] = "";
    uint8_t key[32], signature[32];
    hash_canonical_request(w, query, hash);
    size_t start = to->size;
    put(w, to, ALGORITHM "\n");
    put(w, to, w->date);
    put(w, to, "\n");
    put_scope(w, to);
    put(w, to, "\n");
    put(w, to, hash);
    if (w->status == CI_OK)
        note(w, signing_key(w->signer, w->keys->secret, w->date, key));
    if (w->status == CI_OK && !hmac(key, sizeof key, to->data + start, to->size - start, signature))
        note(w, CI_ERR_NOMEM);
    OPENSSL_cleanse(key, sizeof key);
    if (w->status == CI_OK)
        cii_hex(signature, sizeof signature, hex);
    start = w->out->text.size;
    put(w, &w->out->text, hex);
    w->out->signature = finish(w, &w->out->text, start);
}

static void reset(cii_sigv4_signed *s) {
    cii_secret_clear(&s->text);
    cii_secret_clear(&s->canonical);
    *s = (cii_sigv4_signed){.text = s->text, .canonical = s->canonical, .target = "", .signature = ""};
    s->signed_headers = "";
}

/* Checks, makes room, and collects what the caller gave. */
static ci_status begin(work *w, int64_t now_s, ci_error **ret_error) {
    size_t size = 0;
    time_t now = (time_t)now_s;
    struct tm tm;
    reset(w->out);
    ci_status status = check(w, &size, ret_error);
    if (status < 0)
        return status;
    if (now_s < 0 || now_s > INT64_C(253402300799) || !gmtime_r(&now, &tm))
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "time: not in the years 1970 to 9999");
    strftime(w->date, sizeof w->date, "%Y%m%dT%H%M%SZ", &tm);
    /* What is given is written at most twice, encoded thrice over; a path encoded twice; names of headers once more. */
    size += strlen(w->keys->id) + strlen(w->signer->region) + strlen(w->signer->service);
    size_t bound =
        9 * w->request->path_size + 12 * size + 8 * (w->request->query_count + w->request->header_count) + 4096;
    if (cii_buf_reserve(&w->out->text, bound, NULL) < 0 || cii_buf_reserve(&w->out->canonical, bound, NULL) < 0)
        return cii_error_nomem(ret_error);
    for (size_t i = 0; i < w->request->query_count; i++)
        add_parameter(w, w->request->query[i].name, w->request->query[i].value);
    add_header(w, "host", w->request->host);
    for (size_t i = 0; i < w->request->header_count; i++)
        if (!is_one_of(w->request->headers[i].name, unsigned_headers, CII_ELEMENTS(unsigned_headers)))
            add_header(w, w->request->headers[i].name, w->request->headers[i].value);
    return CI_OK;
}

static void sort_headers(work *w) {
    cii_buf *text = &w->out->text;
    qsort(w->headers, w->header_count, sizeof *w->headers, compare);
    size_t start = text->size;
    put_signed_headers(w, text);
    w->out->signed_headers = finish(w, text, start);
}

static ci_status end(work *w, ci_error **ret_error) {
    if (w->status == CI_OK)
        return CI_OK;
    reset(w->out);
    return w->status == CI_ERR_NOMEM ? cii_error_nomem(ret_error)
                                     : cii_error_set(ret_error, w->status, DOMAIN, "sign a request");
}

/* A header of ours, to be sent, its value copied; signed too unless it is the signature itself. */
static void send_header(work *w, const char *name, const char *value, bool sign) {
    cii_buf *text = &w->out->text;
    size_t start = text->size;
    put(w, text, value);
    const char *copy = finish(w, text, start);
    w->out->headers[w->out->header_count++] = (cii_aws_pair){name, copy};
    if (sign)
        add_header(w, name, copy);
}

static bool has_token(const cii_aws_keys *k) {
    return k->token && *k->token;
}

ci_status cii_sigv4_sign(cii_sigv4 *signer, const cii_sigv4_request *request, const cii_aws_keys *keys, int64_t now_s,
                         cii_sigv4_signed *ret_signed, ci_error **ret_error) {
    work w = {.signer = signer, .request = request, .keys = keys, .out = ret_signed};
    w.payload_hash = request->payload_hash ? request->payload_hash : CII_SIGV4_EMPTY_PAYLOAD;
    ci_status status = begin(&w, now_s, ret_error);
    if (status < 0)
        return status;
    cii_buf *text = &ret_signed->text;
    size_t start = text->size;
    size_t query_start = put_target(&w, text);
    ret_signed->target = finish(&w, text, start);
    send_header(&w, "Host", request->host, false); /* is among those to be signed already */
    send_header(&w, "X-Amz-Date", w.date, true);
    if (signer->flags & CII_SIGV4_SEND_HASH)
        send_header(&w, "X-Amz-Content-Sha256", w.payload_hash, true);
    if (has_token(keys))
        send_header(&w, "X-Amz-Security-Token", keys->token, true);
    sort_headers(&w);
    make_signature(&w, ret_signed->target + query_start);
    start = text->size;
    put(&w, text, ALGORITHM " Credential=");
    put(&w, text, keys->id);
    put(&w, text, "/");
    put_scope(&w, text);
    put(&w, text, ", SignedHeaders=");
    put(&w, text, ret_signed->signed_headers);
    put(&w, text, ", Signature=");
    put(&w, text, ret_signed->signature);
    ret_signed->headers[ret_signed->header_count++] = (cii_aws_pair){"Authorization", finish(&w, text, start)};
    return end(&w, ret_error);
}

static void add_presign_parameters(work *w, int64_t expires_s) {
    cii_buf *text = &w->out->text;
    char expires[24];
    size_t start = text->size;
    put(w, text, w->keys->id);
    put(w, text, "/");
    put_scope(w, text);
    const char *credential = finish(w, text, start);
    snprintf(expires, sizeof expires, "%lld", (long long)expires_s);
    add_parameter(w, "X-Amz-Algorithm", ALGORITHM);
    add_parameter(w, "X-Amz-Credential", credential);
    add_parameter(w, "X-Amz-Date", w->date);
    add_parameter(w, "X-Amz-Expires", expires);
    add_parameter(w, "X-Amz-SignedHeaders", w->out->signed_headers);
    if (has_token(w->keys))
        add_parameter(w, "X-Amz-Security-Token", w->keys->token);
}

ci_status cii_sigv4_presign(cii_sigv4 *signer, const cii_sigv4_request *request, const cii_aws_keys *keys,
                            int64_t now_s, int64_t expires_s, cii_sigv4_signed *ret_signed, ci_error **ret_error) {
    work w = {.signer = signer, .request = request, .keys = keys, .out = ret_signed};
    w.payload_hash = request->payload_hash                   ? request->payload_hash
                     : (signer->flags & CII_SIGV4_SEND_HASH) ? CII_SIGV4_UNSIGNED_PAYLOAD
                                                             : CII_SIGV4_EMPTY_PAYLOAD;
    if (expires_s < 1 || expires_s > CII_SIGV4_EXPIRES_MAX_S) {
        reset(ret_signed);
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "expires: %lld s, allowed are 1 to %d",
                             (long long)expires_s, CII_SIGV4_EXPIRES_MAX_S);
    }
    ci_status status = begin(&w, now_s, ret_error);
    if (status < 0)
        return status;
    cii_buf *text = &ret_signed->text;
    send_header(&w, "Host", request->host, false);
    sort_headers(&w);
    add_presign_parameters(&w, expires_s);
    size_t start = text->size;
    size_t query_start = put_target(&w, text);
    const char *query = finish(&w, text, query_start);
    make_signature(&w, query);
    size_t target = text->size;
    put_n(&w, text, text->data + start, strlen(text->data + start));
    put(&w, text, "&X-Amz-Signature=");
    put(&w, text, ret_signed->signature);
    ret_signed->target = finish(&w, text, target);
    return end(&w, ret_error);
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

ci_status cii_sigv4_new(const char *region, const char *service, unsigned flags, cii_sigv4 **ret_signer,
                        ci_error **ret_error) {
    const struct { const char *what, *name; } names[] = {{"region", region}, {"service", service}};
    for (size_t i = 0; i < CII_ELEMENTS(names); i++)
        if (!names[i].name || !is_token(names[i].name) || strlen(names[i].name) > CII_SIGV4_NAME_MAX)
            return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "%s: not the name of one", names[i].what);
    cii_sigv4 *signer = calloc(1, sizeof *signer);
    if (!signer)
        return cii_error_nomem(ret_error);
    memcpy(signer->region, region, strlen(region));
    memcpy(signer->service, service, strlen(service));
    signer->flags = flags;
    pthread_mutex_init(&signer->lock, NULL);
    *ret_signer = signer;
    return CI_OK;
}

void cii_sigv4_free(cii_sigv4 *signer) {
    if (!signer)
        return;
    pthread_mutex_destroy(&signer->lock);
    OPENSSL_cleanse(signer, sizeof *signer);
    free(signer);
}

void cii_sigv4_signed_free(cii_sigv4_signed *s) {
    cii_secret_buf_free(&s->text);
    cii_secret_buf_free(&s->canonical);
    *s = (cii_sigv4_signed){0};
}
