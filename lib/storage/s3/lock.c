/* Whose a session's name is: only among those who use this storage object. */
#include "storage/s3/s3.h"

struct cii_s3_lock {
    cii_s3_lock *next;
    char name[];
};

ci_status cii_s3_lock_take(void *impl, const char *name, void **ret_lock, ci_error **ret_error) {
    cii_s3 *s3 = impl;
    cii_s3_lock *lock = malloc(sizeof *lock + strlen(name) + 1);
    if (!lock)
        return cii_error_nomem(ret_error);
    memcpy(lock->name, name, strlen(name) + 1);
    pthread_mutex_lock(&s3->lock);
    const cii_s3_lock *other = s3->locks;
    while (other && strcmp(other->name, name) != 0)
        other = other->next;
    if (!other) {
        lock->next = s3->locks;
        s3->locks = lock;
    }
    pthread_mutex_unlock(&s3->lock);
    if (other) {
        free(lock);
        return cii_error_set(ret_error, CI_ERR_BUSY, CII_S3_DOMAIN, "\"%s\": another session of this storage has it",
                             name);
    }
    *ret_lock = lock;
    return CI_OK;
}

void cii_s3_lock_give(void *impl, void *held) {
    cii_s3 *s3 = impl;
    pthread_mutex_lock(&s3->lock);
    cii_s3_lock **at = &s3->locks;
    while (*at != held)
        at = &(*at)->next;
    *at = (*at)->next;
    pthread_mutex_unlock(&s3->lock);
    free(held);
}
