/* The misbehaving server (tests/http/server.py) for a program's tests, and exchanges driven to their end. */
#ifndef TEST_NET_SERVER_H
#define TEST_NET_SERVER_H

#include "../unit.h"

#include "base/buf.h"
#include "net/http.h"

/* Group set-up and clean-up: one server a program, with a folder of its own that is the program's TMPDIR too. */
int server_start(void **state);
int server_stop(void **state);

extern char http[64];  /* "http://127.0.0.1:PORT" */
extern char https[64]; /* "https://127.0.0.1:PORT" */
extern char ca[128];   /* the file that vouches for it */

/* A URL of the server's that lives until the program ends: URL("/do/%s", x). */
#define URL(...) server_url(http, __VA_ARGS__)
const char *server_url(const char *origin, const char *format, ...) _printf_(2, 3);

/* The first requests that match are mistreated (PUT /rules); a text's slashes are %2F. */
void server_rules(const char *rules);

/* How many requests came for an id, and whether a line of its log holds the text. */
unsigned log_count(const char *id);
bool log_has(const char *id, const char *text);
/* What stands behind the text, to the line's end; malloc'd, NULL: nowhere. */
char *log_value(const char *id, const char *text);
/* On how many connections its requests came. */
unsigned log_connections(const char *id);

/* An operation as a backend has it: a pool of its own unless there is one, a lane, an exchange. */
typedef struct talk {
    cii_http_settings settings;
    cii_http_plan plan;
    cii_http_pool *pool;
    cii_http_lane *lane;
    cii_http_exchange *exchange;
    const cii_http_response *response;
    ci_error *error;
    bool shared; /* the pool is somebody else's */
    bool paused; /* a callback pauses: nothing is waited for, as the library does then */
} talk;

/* Pool, lane, exchange; the status. */
ci_status talk_start(talk *t);
/* Waits on the lane's descriptor and processes, until the exchange is done; the status. Fails when that takes too long. */
ci_status talk_finish(talk *t);
ci_status talk_run(talk *t); /* both */
void talk_end(talk *t);      /* frees all of it */
#define _cleanup_talk_ _cleanup_(talk_end)

/* Where answers go and bodies come from; plan.user. A pattern: byte i is i % 251. */
typedef struct pipe_end {
    uint64_t read, size; /* the source: how much it has given, and gives (0: as much as is asked for) */
    uint64_t written;    /* the sink, which checks the pattern */
    unsigned calls;
    unsigned pause_every; /* the nth call pauses */
    size_t piece;         /* the source gives so many bytes at a time; 0: all that is asked for */
    unsigned rewinds;
    unsigned prepared;
    unsigned heads;
} pipe_end;
int64_t read_pattern(void *user, void *buffer, size_t size);
int32_t rewind_pattern(void *user);
int32_t write_pattern(void *user, const void *data, size_t size);

#endif
