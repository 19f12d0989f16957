/* The S3 storage: made of a URL, options, and what AWS's clients read; and where its bucket is. */
#include "storage/s3/s3.h"

#include "base/options.h"
#include "base/path.h"
#include "base/str.h"

#define PART_BYTES ((uint64_t)8 << 20)
#define PART_BYTES_MIN ((uint64_t)5 << 20) /* what S3 takes, but for the last */
#define PART_BYTES_MAX ((uint64_t)5 << 30)
#define PARALLEL 3u
#define PARALLEL_MAX 64u
#define ATTEMPTS 3u
#define PLACES_MAX 8 /* no bucket moves so often */
#define SWEEP_AT_END_MS 5000

extern char **environ;

/* --- places ------------------------------------------------------------------------------------------------------- */

static void place_free(cii_s3_place *place) {
    if (!place)
        return;
    free(place->region);
    free(place->host);
    free(place->path);
    cii_sigv4_free(place->signer);
    free(place);
}

/* The path as the signer wants it, which encodes it itself. */
static char *decode_path(const char *path) {
    char *decoded = strdup(path), *to = decoded;
    uint8_t byte;
    for (const char *from = path; decoded && *from; from++) {
        bool escaped = *from == '%' && cii_s3_hex_byte(from + 1, &byte) && byte != 0;
        *to++ = escaped ? (char)byte : *from;
        from += escaped ? 2 : 0;
    }
    if (decoded)
        *to = '\0';
    return decoded;
}

static ci_status place_fill(const cii_s3 *s3, const char *region, cii_s3_place *place, ci_error **ret_error) {
    _cleanup_endpoint_ cii_aws_endpoint service = {0};
    _cleanup_endpoint_ cii_aws_endpoint bucket = {0};
    ci_status status = CI_OK;
    if (!s3->endpoint.is_custom) /* another region has another host */
        status = cii_aws_endpoint_resolve(s3->settings, "s3", NULL, region, cii_aws_endpoint_flags(s3->settings, "s3"),
                                          &service, ret_error);
    if (status == CI_OK)
        status = cii_aws_bucket_endpoint(s3->endpoint.is_custom ? &s3->endpoint : &service, s3->bucket, s3->style,
                                         &bucket, ret_error);
    if (status == CI_OK)
        status = cii_sigv4_new(region, "s3", CII_SIGV4_S3, &place->signer, ret_error);
    if (status < 0)
        return status;
    place->is_tls = bucket.is_tls;
    place->host = TAKE_PTR(bucket.host);
    place->path = decode_path(bucket.path);
    place->region = strdup(region);
    return place->path && place->region ? CI_OK : cii_error_nomem(ret_error);
}

cii_s3_place *cii_s3_place_now(cii_s3 *s3) {
    pthread_mutex_lock(&s3->lock);
    cii_s3_place *place = s3->places;
    pthread_mutex_unlock(&s3->lock);
    return place;
}

/* With the lock held: brings the region's place to the front; NULL: there is none, or too many. */
static cii_s3_place *bring(cii_s3 *s3, const char *region, size_t *ret_count) {
    *ret_count = 0;
    for (cii_s3_place **at = &s3->places; *at; at = &(*at)->next, ++*ret_count) {
        cii_s3_place *place = *at;
        if (strcmp(place->region, region) != 0)
            continue;
        *at = place->next;
        place->next = s3->places;
        s3->places = place;
        return place;
    }
    return NULL;
}

ci_status cii_s3_place_move(cii_s3 *s3, const char *region, ci_error **ret_error) {
    size_t count;
    if (!cii_aws_region_valid(region))
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN, "region: \"%.80s\" is not one", region);
    cii_s3_place *made = calloc(1, sizeof *made);
    ci_status status = made ? place_fill(s3, region, made, ret_error) : cii_error_nomem(ret_error);
    if (status == CI_OK) {
        pthread_mutex_lock(&s3->lock);
        const cii_s3_place *known = bring(s3, region, &count);
        if (!known && count < PLACES_MAX) {
            made->next = s3->places;
            s3->places = TAKE_PTR(made);
        } else if (!known) {
            status = cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_S3_DOMAIN, "the bucket is in too many regions");
        }
        pthread_mutex_unlock(&s3->lock);
    }
    place_free(made);
    return status;
}

/* --- making it ---------------------------------------------------------------------------------------------------- */

static void s3_free(void *impl) {
    cii_s3 *s3 = impl;
    if (!s3)
        return;
    if (s3->pool)
        cii_s3_sweep(s3, SWEEP_AT_END_MS);
    cii_http_pool_free(s3->pool);
    cii_aws_credentials_free(s3->credentials);
    cii_aws_http_free(s3->http);
    cii_aws_settings_free(s3->settings);
    cii_aws_endpoint_free(&s3->endpoint);
    for (cii_s3_place *place; (place = s3->places);) {
        s3->places = place->next;
        place_free(place);
    }
    cii_s3_page_free(s3->page);
    free(s3->bucket);
    free(s3->prefix);
    free(s3->name);
    free(s3->records);
    cii_turns_destroy(&s3->turns);
    pthread_mutex_destroy(&s3->lock);
    free(s3);
}

static void s3_free_p(cii_s3 **s3) {
    s3_free(*s3);
}

/* "s3://BUCKET/PREFIX"; slashes at the prefix's end do not count. */
static ci_status take_url(cii_s3 *s3, const char *url, ci_error **ret_error) {
    if (!cii_str_starts(url, "s3://"))
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN,
                             "url: must be s3://BUCKET or s3://BUCKET/PREFIX");
    const char *bucket = url + 5, *prefix = bucket + strcspn(bucket, "/");
    s3->bucket = strndup(bucket, (size_t)(prefix - bucket));
    prefix += *prefix == '/';
    size_t size = strlen(prefix);
    while (size > 0 && prefix[size - 1] == '/')
        size--;
    s3->prefix = cii_str_printf("%.*s%s", (int)size, prefix, size > 0 ? "/" : "");
    if (!s3->bucket || !s3->prefix)
        return cii_error_nomem(ret_error);
    return cii_key_check(s3->prefix, true, "url: prefix", ret_error);
}

static ci_status check_options(const ci_storage_s3_options *o, ci_error **ret_error) {
    const char *wrong = NULL;
    if (!o->access_key_id != !o->secret_access_key)
        wrong = "access_key_id and secret_access_key: both or neither";
    else if (o->session_token && !o->access_key_id)
        wrong = "session_token: only with access_key_id and secret_access_key";
    else if (o->part_bytes && (o->part_bytes < PART_BYTES_MIN || o->part_bytes > PART_BYTES_MAX))
        wrong = "part_bytes: 5 MiB at least, 5 GiB at most";
    else if (o->parallel > PARALLEL_MAX)
        wrong = "parallel: 64 at most";
    else if (o->addressing < CI_S3_ADDRESSING_AUTO || o->addressing > CI_S3_ADDRESSING_VIRTUAL)
        wrong = "addressing: not one of CI_S3_ADDRESSING_…";
    return wrong ? cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN, "%s", wrong) : CI_OK;
}

static const char *setting(const cii_s3 *s3, const char *variable, const char *key) {
    const char *value = cii_aws_env(cii_aws_settings_env(s3->settings), variable);
    return value ? value : cii_aws_settings_get(s3->settings, cii_aws_settings_profile(s3->settings), key);
}

static ci_status make_pool(cii_s3 *s3, const ci_storage_s3_options *o, ci_error **ret_error) {
    ci_status status = cii_aws_http_new(s3->settings, o->ca_file, o->proxy, &s3->http, ret_error);
    if (status < 0)
        return status;
    cii_http_settings settings = cii_aws_http_settings(s3->http, s3->endpoint.is_tls);
    settings.connect_ms = o->connect_timeout_ms;
    settings.idle_ms = o->idle_timeout_ms;
    return cii_http_pool_new(&settings, &s3->pool, ret_error);
}

static ci_status make_credentials(cii_s3 *s3, const ci_storage_s3_options *o, ci_error **ret_error) {
    const cii_aws_keys keys = {o->access_key_id, o->secret_access_key, o->session_token};
    const cii_aws_credentials_options options = {.keys = o->access_key_id ? &keys : NULL,
                                                 .profile = o->profile,
                                                 .region = o->region,
                                                 .environment = cii_aws_settings_env(s3->settings),
                                                 .fetch = cii_aws_http_fetch,
                                                 .fetch_user = s3->http};
    return cii_aws_credentials_new(&options, &s3->credentials, ret_error);
}

/* Where nobody says a region, S3's first one, which names the bucket's in its answer. */
static ci_status find_bucket(cii_s3 *s3, const ci_storage_s3_options *o, ci_error **ret_error) {
    const char *region = cii_aws_region(s3->settings, o->region);
    unsigned flags = cii_aws_endpoint_flags(s3->settings, "s3");
    s3->style = o->addressing == CI_S3_ADDRESSING_PATH      ? CII_AWS_STYLE_PATH
                : o->addressing == CI_S3_ADDRESSING_VIRTUAL ? CII_AWS_STYLE_VIRTUAL
                                                            : cii_aws_settings_style(s3->settings);
    region = region ? region : "us-east-1";
    ci_status status =
        cii_aws_endpoint_resolve(s3->settings, "s3", o->endpoint, region, flags, &s3->endpoint, ret_error);
    return status < 0 ? status : cii_s3_place_move(s3, region, ret_error);
}

static uint32_t attempts_of(const cii_s3 *s3, uint32_t option) {
    const char *text = option ? NULL : setting(s3, "AWS_MAX_ATTEMPTS", "max_attempts");
    unsigned long attempts = text ? strtoul(text, NULL, 10) : option;
    return attempts > 0 && attempts <= 100 ? (uint32_t)attempts : ATTEMPTS;
}

static ci_status s3_describe(void *impl, char **ret_text) {
    const cii_s3 *s3 = impl;
    char *text = atomic_load(&s3->lacks_records)
                     ? cii_str_printf("%s (uploads go unrecorded: %s is not this user's alone, or cannot be made)",
                                      s3->name, s3->records)
                     : strdup(s3->name);
    if (!text)
        return CI_ERR_NOMEM;
    *ret_text = text;
    return CI_OK;
}

static ci_status make_name(cii_s3 *s3, ci_error **ret_error) {
    const cii_aws_endpoint *e = &s3->endpoint;
    s3->name = cii_str_printf("s3://%s/%s at %s://%s%s", s3->bucket, s3->prefix, e->is_tls ? "https" : "http", e->host,
                              e->path);
    s3->records = cii_s3_records_path(cii_aws_env((const char *const *)environ, "TMPDIR"));
    return s3->name && s3->records ? CI_OK : cii_error_nomem(ret_error);
}

static const ci_storage_ops s3_ops = {
    .struct_size = sizeof s3_ops,
    .name = "s3",
    .free = s3_free,
    .get = cii_s3_get,
    .put = cii_s3_put,
    .list = cii_s3_list,
    .stat = cii_s3_stat,
    .remove = cii_s3_remove,
    .lock = cii_s3_lock_take,
    .unlock = cii_s3_lock_give,
    .describe = s3_describe,
    .remove_many = cii_s3_remove_many,
};

ci_status ci_storage_s3_new(const char *url, const ci_storage_s3_options *options, ci_storage **ret_storage,
                            ci_error **ret_error) {
    ci_storage_s3_options o;
    if (!url || !ret_storage)
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_S3_DOMAIN, "%s: NULL", url ? "ret_storage" : "url");
    ci_status status = cii_options_copy(&o, sizeof o, options, "ci_storage_s3_options", ret_error);
    if (status == CI_OK)
        status = check_options(&o, ret_error);
    if (status < 0)
        return status;
    _cleanup_(s3_free_p) cii_s3 *s3 = calloc(1, sizeof *s3);
    if (!s3)
        return cii_error_nomem(ret_error);
    pthread_mutex_init(&s3->lock, NULL);
    cii_turns_init(&s3->turns, 1);
    s3->part_bytes = o.part_bytes ? o.part_bytes : PART_BYTES;
    s3->parallel = o.parallel ? o.parallel : PARALLEL;
    status = take_url(s3, url, ret_error);
    if (status == CI_OK)
        status = cii_aws_settings_load(o.no_environment ? NULL : (const char *const *)environ, o.profile, &s3->settings,
                                       ret_error);
    if (status == CI_OK)
        status = find_bucket(s3, &o, ret_error);
    if (status == CI_OK)
        status = make_name(s3, ret_error);
    if (status == CI_OK)
        status = make_pool(s3, &o, ret_error);
    if (status == CI_OK)
        status = make_credentials(s3, &o, ret_error);
    if (status < 0)
        return status;
    s3->attempts = attempts_of(s3, o.attempts);
    status = ci_storage_new(&s3_ops, s3, ret_storage, ret_error);
    if (status == CI_OK)
        s3 = NULL;
    return status;
}
