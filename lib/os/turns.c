/* See turns.h. */
#include "os/turns.h"

#include <sys/eventfd.h>

/* In the order they came; the first of a key have the turn. */
struct cii_turn {
    cii_turn *next;
    int event_fd; /* rings when its turn has come */
    char key[];
};

void cii_turns_init(cii_turns *turns, size_t at_once) {
    *turns = (cii_turns){.at_once = at_once};
    pthread_mutex_init(&turns->lock, NULL);
}

void cii_turns_destroy(cii_turns *turns) {
    pthread_mutex_destroy(&turns->lock);
}

/* The last one of a key that has the turn; NULL: more might. With the lock held. */
static cii_turn *last_of(const cii_turns *turns, const char *key) {
    size_t count = 0;
    cii_turn *turn = turns->first;
    while (turn && (strcmp(turn->key, key) != 0 || ++count < turns->at_once))
        turn = turn->next;
    return turn;
}

static bool is_ours(const cii_turns *turns, const cii_turn *ours) {
    const cii_turn *last = last_of(turns, ours->key), *turn = turns->first;
    while (turn != ours && turn != last)
        turn = turn->next;
    return turn == ours;
}

static cii_turn *turn_new(cii_turns *turns, const char *key) {
    cii_turn *turn = malloc(sizeof *turn + strlen(key) + 1);
    if (!turn)
        return NULL;
    *turn = (cii_turn){.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    memcpy(turn->key, key, strlen(key) + 1);
    if (turn->event_fd < 0) {
        free(turn);
        return NULL;
    }
    pthread_mutex_lock(&turns->lock);
    cii_turn **at = &turns->first;
    while (*at)
        at = &(*at)->next;
    *at = turn;
    pthread_mutex_unlock(&turns->lock);
    return turn;
}

int32_t cii_turn_take(cii_turns *turns, const char *key, cii_turn **turn, int *ret_fd, ci_error **ret_error) {
    if (!*turn && !(*turn = turn_new(turns, key)))
        return cii_error_errno(ret_error, errno, "os", "wait for a turn");
    pthread_mutex_lock(&turns->lock);
    bool ours = is_ours(turns, *turn);
    pthread_mutex_unlock(&turns->lock);
    *ret_fd = ours ? -1 : (*turn)->event_fd;
    return ours;
}

void cii_turn_give(cii_turns *turns, cii_turn **turn) {
    if (!*turn)
        return;
    pthread_mutex_lock(&turns->lock);
    cii_turn **at = &turns->first;
    while (*at != *turn)
        at = &(*at)->next;
    *at = (*turn)->next;
    const cii_turn *next = last_of(turns, (*turn)->key);
    if (next)
        eventfd_write(next->event_fd, 1);
    pthread_mutex_unlock(&turns->lock);
    cii_close((*turn)->event_fd);
    free(TAKE_PTR(*turn));
}
