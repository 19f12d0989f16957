/* Whose turn it is: with a session's name (locks), and with a key between a look and the write that depends on it (turns).
 * Both only among those who use this storage object. */
#include "storage/s3/s3.h"

#include <stdio.h>
#include <sys/eventfd.h>

/* In the order they came; the first of a key has the turn. */
struct cii_s3_turn {
    cii_s3_turn *next;
    int event_fd; /* of one that waits; -1 */
    char key[];
};

struct cii_s3_lock {
    cii_s3_lock *next;
    char name[];
};

/* With the lock held. */
static cii_s3_turn *first_of(const cii_s3 *s3, const char *key) {
    cii_s3_turn *turn = s3->turns;
    while (turn && strcmp(turn->key, key) != 0)
        turn = turn->next;
    return turn;
}

static cii_s3_turn *turn_new(cii_s3 *s3, const char *key) {
    cii_s3_turn *turn = malloc(sizeof *turn + strlen(key) + 1);
    if (!turn)
        return NULL;
    *turn = (cii_s3_turn){.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    memcpy(turn->key, key, strlen(key) + 1);
    if (turn->event_fd < 0) {
        free(turn);
        return NULL;
    }
    pthread_mutex_lock(&s3->lock);
    cii_s3_turn **at = &s3->turns;
    while (*at)
        at = &(*at)->next;
    *at = turn;
    pthread_mutex_unlock(&s3->lock);
    return turn;
}

int32_t cii_s3_turn_take(cii_s3_task *task, cii_s3_turn **turn, ci_error **ret_error) {
    cii_s3 *s3 = task->s3;
    if (!*turn && !(*turn = turn_new(s3, task->key)))
        return cii_error_errno(ret_error, errno, CII_S3_DOMAIN, "wait for another put");
    pthread_mutex_lock(&s3->lock);
    bool ours = first_of(s3, task->key) == *turn;
    pthread_mutex_unlock(&s3->lock);
    task->wait_fd = ours ? -1 : (*turn)->event_fd;
    return ours;
}

void cii_s3_turn_give(cii_s3_task *task, cii_s3_turn **turn) {
    cii_s3 *s3 = task->s3;
    if (!*turn)
        return;
    task->wait_fd = -1;
    pthread_mutex_lock(&s3->lock);
    cii_s3_turn **at = &s3->turns;
    while (*at != *turn)
        at = &(*at)->next;
    *at = (*turn)->next;
    const cii_s3_turn *next = first_of(s3, (*turn)->key);
    if (next)
        eventfd_write(next->event_fd, 1);
    pthread_mutex_unlock(&s3->lock);
    cii_close((*turn)->event_fd);
    free(TAKE_PTR(*turn));
}

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
