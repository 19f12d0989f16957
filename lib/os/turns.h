/* Turns: of those who want the same thing, named by a key, so many have it at once, in the order in which they came. */
#ifndef CII_OS_TURNS_H
#define CII_OS_TURNS_H

#include <pthread.h>

#include "base/error.h"

typedef struct cii_turn cii_turn;

/* Any thread. */
typedef struct cii_turns {
    pthread_mutex_t lock;
    size_t at_once; /* of each key */
    cii_turn *first;
} cii_turns;

void cii_turns_init(cii_turns *turns, size_t at_once);
void cii_turns_destroy(cii_turns *turns); /* when all have been given back */

/* Stands in line with the first call. 1: it is the caller's turn, and *ret_fd -1; 0: not yet, and *ret_fd can be read when
 * it is; it belongs to the turn. */
int32_t cii_turn_take(cii_turns *turns, const char *key, cii_turn **turn, int *ret_fd, ci_error **ret_error);
/* Also one that has not come yet; NULL is fine. *turn is NULL then. */
void cii_turn_give(cii_turns *turns, cii_turn **turn);

#endif
