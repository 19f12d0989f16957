/* What is kept between searches, and who searches.
 *
 *     get() -> kept and good: handed out
 *           -> nobody searches: a search, which the caller is to drive
 *           -> somebody does, and what is kept is still valid: handed out; else: a wait for that search's end
 *
 * An operation holds its object, which lives until the last of them is freed. All waits are woken when the search ends, well
 * or not, or is given up; a failure is told to each of them. The lock is never held while anything runs. */
#include "aws/credentials.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#include "aws/resolve.h"
#include "aws/secret.h"
#include "base/str.h"

#define EARLY_S 900 /* before they expire, credentials are fetched anew; of short-lived ones a quarter of their life */
#define AGAIN_AFTER_S 60 /* when that failed and the old ones are still valid */

struct cii_aws_identity {
    atomic_uint references;
    aws_found found;
    cii_aws_keys keys;
    char *source;
};

typedef struct search search;
typedef struct waiter waiter;

struct cii_aws_credentials {
    atomic_uint references;
    cii_aws_credentials_options options; /* whose strings are ours */
    char **environment;
    bool is_given;        /* the keys, by option: there is nothing to search */
    pthread_mutex_t lock; /* of what follows */
    cii_aws_identity *kept;
    bool is_rejected;  /* the kept one: a server did not take it */
    int64_t refresh_s; /* when to look for the next; 0: never */
    search *search;    /* NULL: nobody searches */
    waiter *waiters;
};

struct search {
    ci_op base;
    cii_aws_credentials *owner;
    aws_resolver *resolver;
};

struct waiter {
    ci_op base;
    cii_aws_credentials *owner;
    waiter *next; /* of those not woken yet */
    int event_fd;
    bool is_woken;
    ci_status status;
    ci_error *error;
};

/* --- identities --------------------------------------------------------------------------------------------------- */

static cii_aws_identity *identity_ref(cii_aws_identity *i) {
    atomic_fetch_add(&i->references, 1);
    return i;
}

void cii_aws_identity_unref(cii_aws_identity *i) {
    if (!i || atomic_fetch_sub(&i->references, 1) != 1)
        return;
    cii_found_free(&i->found);
    free(i->source);
    free(i);
}

/* Takes what was found. */
static cii_aws_identity *identity_new(aws_found *found, const char *source) {
    cii_aws_identity *i = calloc(1, sizeof *i);
    if (!i || !(i->source = strdup(source))) {
        free(i);
        return NULL;
    }
    atomic_init(&i->references, 1);
    i->found = *found;
    *found = (aws_found){0};
    i->keys = (cii_aws_keys){i->found.id, i->found.secret, i->found.token};
    return i;
}

const cii_aws_keys *cii_aws_identity_keys(const cii_aws_identity *i) {
    return &i->keys;
}

const char *cii_aws_identity_source(const cii_aws_identity *i) {
    return i->source;
}

int64_t cii_aws_identity_expires_s(const cii_aws_identity *i) {
    return i->found.expires_s;
}

/* --- the object --------------------------------------------------------------------------------------------------- */

static int64_t now_s(const cii_aws_credentials *c) {
    return c->options.now_s ? c->options.now_s(c->options.now_user) : (int64_t)time(NULL);
}

static cii_aws_credentials *credentials_ref(cii_aws_credentials *c) {
    atomic_fetch_add(&c->references, 1);
    return c;
}

void cii_aws_credentials_free(cii_aws_credentials *c) {
    if (!c || atomic_fetch_sub(&c->references, 1) != 1)
        return;
    cii_aws_identity_unref(c->kept);
    for (char **e = c->environment; e && *e; e++) /* which may have keys in it */
        OPENSSL_cleanse(*e, strlen(*e));
    cii_strv_free(c->environment);
    free((char *)c->options.profile);
    free((char *)c->options.region);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static ci_status keep_given(cii_aws_credentials *c, const cii_aws_keys *keys, ci_error **ret_error) {
    aws_found found = {0};
    ci_status status = cii_found_set(&found, keys->id, keys->secret, keys->token, 0, ret_error);
    if (status < 0)
        return cii_error_wrap(ret_error, status, "credentials given by option");
    c->is_given = true;
    c->kept = identity_new(&found, "options");
    cii_found_free(&found);
    return c->kept ? CI_OK : cii_error_nomem(ret_error);
}

ci_status cii_aws_credentials_new(const cii_aws_credentials_options *options, cii_aws_credentials **ret_credentials,
                                  ci_error **ret_error) {
    cii_aws_credentials *c = calloc(1, sizeof *c);
    if (!c)
        return cii_error_nomem(ret_error);
    atomic_init(&c->references, 1);
    pthread_mutex_init(&c->lock, NULL);
    c->options = *options;
    c->options.profile = options->profile ? strdup(options->profile) : NULL;
    c->options.region = options->region ? strdup(options->region) : NULL;
    c->environment = cii_strv_copy(options->environment);
    c->options.environment = (const char *const *)c->environment;
    c->options.keys = NULL;
    ci_status status = CI_OK;
    if (!c->environment || !c->options.profile != !options->profile || !c->options.region != !options->region)
        status = cii_error_nomem(ret_error);
    else if (options->keys)
        status = keep_given(c, options->keys, ret_error);
    if (status < 0)
        cii_aws_credentials_free(c);
    else
        *ret_credentials = c;
    return status;
}

void cii_aws_credentials_reject(cii_aws_credentials *c, const cii_aws_identity *identity) {
    pthread_mutex_lock(&c->lock);
    if (c->kept == identity && !c->is_given)
        c->is_rejected = true;
    pthread_mutex_unlock(&c->lock);
}

/* --- with the lock held ------------------------------------------------------------------------------------------- */

static void wake_all(cii_aws_credentials *c, ci_status status, const ci_error *error) {
    for (waiter *w = TAKE_PTR(c->waiters), *next; w; w = next) {
        next = w->next;
        w->is_woken = true;
        w->status = status;
        w->error = cii_error_copy(error);
        eventfd_write(w->event_fd, 1);
    }
}

static bool is_valid(const cii_aws_credentials *c, int64_t now) {
    return c->kept && !c->is_rejected && (c->kept->found.expires_s == 0 || now < c->kept->found.expires_s);
}

static void keep(cii_aws_credentials *c, cii_aws_identity *identity, int64_t now) {
    int64_t expires_s = identity->found.expires_s, life_s = expires_s - now;
    cii_aws_identity_unref(c->kept);
    c->kept = identity;
    c->is_rejected = false;
    c->refresh_s = expires_s > 0 ? expires_s - CII_MIN((int64_t)EARLY_S, life_s / 4) : 0;
}

/* --- searching ---------------------------------------------------------------------------------------------------- */

static ci_status take_found(search *s, cii_aws_identity **ret_identity, ci_error **ret_error) {
    aws_resolver *r = s->resolver;
    if (r->found.expires_s > 0 && r->found.expires_s <= now_s(s->owner))
        return cii_error_set(ret_error, CI_ERR_PERMISSION, AWS_DOMAIN, "no credentials: %s: they have expired",
                             r->name);
    *ret_identity = identity_new(&r->found, r->name);
    return *ret_identity ? CI_OK : cii_error_nomem(ret_error);
}

/* Ends the search. What is still valid is used on when it failed, and the failure kept for itself. */
static int32_t search_end(search *s, ci_status status, cii_aws_identity *identity, ci_error **error,
                          ci_error **ret_error) {
    cii_aws_credentials *c = s->owner;
    int64_t now = now_s(c);
    pthread_mutex_lock(&c->lock);
    if (status == CI_OK) {
        keep(c, identity, now);
    } else if (is_valid(c, now)) {
        c->refresh_s = now + AGAIN_AFTER_S;
        status = CI_OK;
    }
    c->search = NULL;
    wake_all(c, status, status < 0 ? *error : NULL);
    pthread_mutex_unlock(&c->lock);
    if (status == CI_OK)
        return 1;
    if (ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(*error);
    }
    return status;
}

static int32_t search_process(ci_op *op, ci_error **ret_error) {
    search *s = (search *)op;
    _cleanup_error_ ci_error *error = NULL;
    cii_aws_identity *identity = NULL;
    int32_t done = s->resolver->base.ops->process(&s->resolver->base, &error);
    if (done == 0)
        return 0;
    ci_status status = done < 0 ? done : take_found(s, &identity, &error);
    return search_end(s, status, identity, &error, ret_error);
}

static int32_t search_fd(ci_op *op) {
    ci_op *inner = &((search *)op)->resolver->base;
    return inner->ops->fd(inner);
}

static void search_free(ci_op *op) {
    search *s = (search *)op;
    pthread_mutex_lock(&s->owner->lock);
    if (s->owner->search == s) { /* given up: the next to ask takes over */
        s->owner->search = NULL;
        wake_all(s->owner, CI_OK, NULL);
    }
    pthread_mutex_unlock(&s->owner->lock);
    s->resolver->base.ops->free(&s->resolver->base);
    cii_aws_credentials_free(s->owner);
    free(s);
}

static const ci_op_ops search_ops = {
    .struct_size = sizeof search_ops, .fd = search_fd, .process = search_process, .free = search_free};

static search *search_new(cii_aws_credentials *c) {
    search *s = calloc(1, sizeof *s);
    if (!s || !(s->resolver = cii_resolve_new(&c->options, now_s(c)))) {
        free(s);
        return NULL;
    }
    s->base.ops = &search_ops;
    s->owner = credentials_ref(c);
    return s;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static int32_t waiter_fd(ci_op *op) {
    return ((waiter *)op)->event_fd;
}

static int32_t waiter_process(ci_op *op, ci_error **ret_error) {
    waiter *w = (waiter *)op;
    pthread_mutex_lock(&w->owner->lock);
    bool is_woken = w->is_woken;
    pthread_mutex_unlock(&w->owner->lock);
    if (!is_woken)
        return 0;
    if (w->status == CI_OK)
        return 1;
    if (ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(w->error);
    }
    return w->status;
}

static void waiter_free(ci_op *op) {
    waiter *w = (waiter *)op;
    pthread_mutex_lock(&w->owner->lock);
    for (waiter **at = &w->owner->waiters; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    pthread_mutex_unlock(&w->owner->lock);
    ci_error_free(w->error);
    cii_close(w->event_fd);
    cii_aws_credentials_free(w->owner);
    free(w);
}

static const ci_op_ops waiter_ops = {
    .struct_size = sizeof waiter_ops, .fd = waiter_fd, .process = waiter_process, .free = waiter_free};

static waiter *waiter_new(cii_aws_credentials *c) {
    waiter *w = calloc(1, sizeof *w);
    if (!w || (w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        free(w);
        return NULL;
    }
    w->base.ops = &waiter_ops;
    w->owner = credentials_ref(c);
    w->next = c->waiters;
    c->waiters = w;
    return w;
}

/* --- getting ------------------------------------------------------------------------------------------------------ */

/* One of identity and operation; neither: no memory. */
static void get(cii_aws_credentials *c, cii_aws_identity **ret_identity, ci_op **ret_op) {
    int64_t now = now_s(c);
    bool valid = is_valid(c, now);
    if (valid && (c->search || c->refresh_s == 0 || now < c->refresh_s)) {
        *ret_identity = identity_ref(c->kept);
    } else if (c->search) {
        waiter *w = waiter_new(c);
        *ret_op = w ? &w->base : NULL;
    } else {
        c->search = search_new(c);
        *ret_op = c->search ? &c->search->base : NULL;
    }
}

ci_status cii_aws_credentials_get(cii_aws_credentials *c, cii_aws_identity **ret_identity, ci_op **ret_op,
                                  ci_error **ret_error) {
    cii_aws_identity *identity = NULL;
    ci_op *op = NULL;
    pthread_mutex_lock(&c->lock);
    get(c, &identity, &op);
    pthread_mutex_unlock(&c->lock);
    if (!identity && !op)
        return cii_error_nomem(ret_error);
    *ret_identity = identity;
    *ret_op = op;
    return CI_OK;
}
