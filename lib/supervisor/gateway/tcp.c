/* TCP. The kernel ends the guest's connections itself, in the session's own network namespace, so that none of TCP is
 * done here: a packet to an address of the internet is turned to a listening socket there, as if it came from GATEWAY_PEER
 * and a port of the flow's own (its alias); what the socket answers is turned back. The connection that is accepted is then
 * joined to one of the host's.
 *
 *     guest:sp -> address:dp     becomes     peer:alias -> guest:LISTEN         and
 *     guest:LISTEN -> peer:alias becomes     address:dp -> guest:sp
 *
 * The first SYN is held until the host's connection stands, so that the guest sees a refusal as one. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "os/fd.h"
#include "supervisor/gateway/gateway.h"

#define SYN_MAX 192        /* of a connection attempt's packet, with what lies before it */
#define CHUNK (256u << 10) /* moved at a time */
#define PIPES_MAX 32
#define ACCEPTS_MAX 64   /* before others have their turn */
#define SMALL 4096       /* copied, not spliced */
#define ROUNDS 8         /* chunks before others have their turn */
#define ALIAS_FIRST 1024 /* ports of the peer */
#define HANDSHAKE_MS 30000
#define EVICT_MS 5000   /* attempts that others may take the place of */
#define CLOSED_MS 60000 /* what the kernel may still have to send of a connection that is over */

typedef enum tcp_state {
    TCP_FREE,
    TCP_CONNECTING, /* the host's connection is on its way */
    TCP_OFFERED,    /* the SYN went to the listener */
    TCP_OPEN,
    TCP_CLOSED /* only addresses are turned */
} tcp_state;

/* One way of a connection: what was read and not yet written. */
typedef struct tcp_way {
    int pipe[2]; /* 0: none */
    size_t held; /* bytes in it */
    uint8_t *rest;
    size_t rest_size;         /* bytes of a message that found no room */
    uint32_t taken;           /* bytes read in all, modulo 2^32 */
    size_t early;             /* bytes that will be read, and have been passed on already */
    bool ending, ended, shut; /* its end has come; was read; was passed on */
    bool urgent;              /* urgent data came, at which reading stops and before which splice(2) does */
} tcp_way;

enum { MOVE_UP = 1, MOVE_DOWN = 2 };

typedef struct tcp_flow tcp_flow;
struct tcp_flow {
    tcp_flow *next;             /* in its bucket, or of those that are free */
    TAILQ_ENTRY(tcp_flow) link; /* of those that are closed */
    source inner, outer;        /* the guest's connection, the host's */
    tcp_way up, down;
    endpoint guest, target;
    int64_t used_ms;
    uint8_t *syn; /* with DEVICE_HEADROOM before it */
    size_t syn_size;
    uint32_t first; /* sequence number of the guest's first byte */
    uint16_t alias;
    tcp_state state;
    bool kept;   /* alive: asked for */
    bool missed; /* an event of the host's connection, before the guest's stood */
    int again;   /* what is to be moved in the next round: MOVE_ bits; then it is among the due */
};

#define EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define BUCKETS 2048 /* a power of two */

static struct {
    tcp_flow flows[GATEWAY_TCP_MAX];
    size_t used;    /* of them, at any time */
    tcp_flow *free; /* and no more */
    TAILQ_HEAD(, tcp_flow) closed;
    size_t offered;
    tcp_flow *by_alias[65536];
    tcp_flow *buckets[BUCKETS];
    uint16_t next_alias;
    tcp_flow *due[GATEWAY_TCP_MAX], *going[GATEWAY_TCP_MAX]; /* have more to move, in the next round and in this */
    size_t due_count;
    int pipes[PIPES_MAX][2]; /* empty ones */
    size_t pipe_count, pipes_out;
    bool paused; /* no descriptors for what waits at the listeners */
} tcp = {.next_alias = ALIAS_FIRST, .closed = TAILQ_HEAD_INITIALIZER(tcp.closed)};

/* --- flows ---------------------------------------------------------------------------------------------------------- */

static tcp_flow **bucket_of(const endpoint *guest, const endpoint *target) {
    return &tcp.buckets[endpoint_hash(guest, target) % BUCKETS];
}

static tcp_flow *find(const packet *p) {
    tcp_flow *f = *bucket_of(&p->source, &p->target);
    while (f != NULL && !(endpoint_equal(&f->guest, &p->source) && endpoint_equal(&f->target, &p->target)))
        f = f->next;
    return f;
}

static void set_state(tcp_flow *f, tcp_state state) {
    if (f->state == TCP_CLOSED)
        TAILQ_REMOVE(&tcp.closed, f, link);
    if (state == TCP_CLOSED)
        TAILQ_INSERT_TAIL(&tcp.closed, f, link);
    tcp.offered += (state == TCP_OFFERED) - (f->state == TCP_OFFERED);
    f->state = state;
}

static void forget(tcp_flow *f) {
    tcp_flow **at = bucket_of(&f->guest, &f->target);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    tcp.by_alias[f->alias] = NULL;
    free(f->syn);
    set_state(f, TCP_FREE);
    f->next = tcp.free;
    tcp.free = f;
}

/* The attempt that has waited for longest, and for long. */
static tcp_flow *find_attempt(void) {
    tcp_flow *oldest = NULL;
    for (tcp_flow *f = tcp.flows; f < tcp.flows + tcp.used; f++)
        if (f->state == TCP_CONNECTING && gw.now_ms - f->used_ms > EVICT_MS &&
            (oldest == NULL || f->used_ms < oldest->used_ms))
            oldest = f;
    return oldest;
}

/* A place for one more: free, or held by the connection that has been over for longest. */
static tcp_flow *find_place(void) {
    if (tcp.free == NULL && tcp.used < GATEWAY_TCP_MAX)
        return &tcp.flows[tcp.used++];
    if (tcp.free == NULL) {
        tcp_flow *over = TAILQ_FIRST(&tcp.closed);
        if (over == NULL && (over = find_attempt()) == NULL)
            return NULL;
        gateway_unwatch(&over->outer);
        forget(over);
    }
    tcp_flow *f = tcp.free;
    tcp.free = f->next;
    return f;
}

static void remember(tcp_flow *f, const packet *p) {
    tcp_flow **bucket = bucket_of(&p->source, &p->target);
    do
        tcp.next_alias = tcp.next_alias == UINT16_MAX ? ALIAS_FIRST : tcp.next_alias + 1;
    while (tcp.by_alias[tcp.next_alias] != NULL);
    *f = (tcp_flow){.next = *bucket,
                    .inner.fd = -1,
                    .outer.fd = -1,
                    .guest = p->source,
                    .target = p->target,
                    .alias = tcp.next_alias,
                    .used_ms = gw.now_ms,
                    .again = f->again};
    *bucket = tcp.by_alias[f->alias] = f;
}

/* --- ending --------------------------------------------------------------------------------------------------------- */

static void drop_held(tcp_way *way);

static void set_option(int fd, int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof value); /* what cannot be set is done without */
}

/* Both connections end; `reset`: as one that broke. What is left to be sent then must be taken within a minute: not before,
 * since who reads slowly may. */
static void close_flow(tcp_flow *f, bool reset) {
    const struct linger at_once = {.l_onoff = 1};
    source *const ends[] = {&f->inner, &f->outer};
    for (size_t i = 0; i < CII_ELEMENTS(ends); i++) {
        if (ends[i]->fd >= 0)
            set_option(ends[i]->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, CLOSED_MS);
        if (reset && ends[i]->fd >= 0)
            setsockopt(ends[i]->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        gateway_unwatch(ends[i]);
    }
    drop_held(&f->up);
    drop_held(&f->down);
    free(TAKE_PTR(f->syn));
    set_state(f, TCP_CLOSED);
}

/* --- moving bytes --------------------------------------------------------------------------------------------------- */

/* The flow is looked at again in this round or the next. */
static void come_again(tcp_flow *f, int what) {
    if (f->again == 0)
        tcp.due[tcp.due_count++] = f;
    f->again |= what;
}

/* Pipes that are empty. A way takes one for what it moves and has it as long as something is in it. The kernel counts their
 * pages for all gateways of a user together, so there are few: who gets none copies. */
static bool take_pipe(tcp_way *way) {
    if (way->pipe[0] > 0)
        return true;
    if (tcp.pipe_count > 0) {
        memcpy(way->pipe, tcp.pipes[--tcp.pipe_count], sizeof way->pipe);
        return true;
    }
    if (tcp.pipes_out == PIPES_MAX || pipe2(way->pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
        way->pipe[0] = 0;
        return false;
    }
    tcp.pipes_out++;
    fcntl(way->pipe[1], F_SETPIPE_SZ, CHUNK);
    return true;
}

static void give_pipe(tcp_way *way) {
    if (way->pipe[0] > 0 && way->held == 0) {
        memcpy(tcp.pipes[tcp.pipe_count++], way->pipe, sizeof way->pipe);
    } else if (way->pipe[0] > 0) {
        close(way->pipe[0]);
        close(way->pipe[1]);
        tcp.pipes_out--;
    }
    way->pipe[0] = way->pipe[1] = 0;
    way->held = 0;
}

/* Whether a call that moves nothing may move something later. */
static bool is_later(ssize_t result) {
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

static void drop_held(tcp_way *way) {
    give_pipe(way);
    free(TAKE_PTR(way->rest));
    way->rest_size = 0;
}

/* Writes what is left of the last message and what the pipe holds. Less than all: goes on when there is room again. False:
 * the connection is broken. */
static bool write_held(tcp_way *way, int to) {
    while (way->rest_size > 0) {
        ssize_t size = send(to, way->rest, way->rest_size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size <= 0)
            return is_later(size);
        way->rest_size -= (size_t)size;
        memmove(way->rest, way->rest + size, way->rest_size);
        if (way->rest_size == 0)
            free(TAKE_PTR(way->rest));
    }
    while (way->held > 0) {
        ssize_t size = splice(way->pipe[0], NULL, to, NULL, way->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (size <= 0)
            return is_later(size);
        way->held -= (size_t)size;
    }
    return true;
}

static bool holds(const tcp_way *way) {
    return way->rest_size > 0 || way->held > 0;
}

/* Writes a message, and keeps what finds no room. */
static bool write_message(tcp_way *way, int to, const uint8_t *data, size_t size) {
    ssize_t written = size > 0 ? send(to, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (written < 0 && !is_later(written))
        return false;
    size -= (size_t)CII_MAX(written, 0);
    if (size == 0)
        return true;
    way->rest = malloc(size);
    if (way->rest == NULL)
        return false;
    memcpy(way->rest, data + CII_MAX(written, 0), size);
    way->rest_size = size;
    return true;
}

/* What is small is copied: one call to read, one to write. Returns what was read, as read(2) does. */
static ssize_t copy_small(tcp_way *way, int from, int to) {
    uint8_t bytes[SMALL];
    ssize_t size = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size <= 0)
        return size;
    size_t early = CII_MIN(way->early, (size_t)size);
    way->early -= early;
    way->taken += (uint32_t)size;
    return write_message(way, to, bytes + early, (size_t)size - early) ? size : -1;
}

/* What is large is moved without a copy. */
static ssize_t fill_pipe(tcp_way *way, int from) {
    ssize_t size = splice(from, NULL, way->pipe[1], NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    way->held = (size_t)CII_MAX(size, 0);
    way->taken += (uint32_t)way->held;
    return size;
}

/* Where both have ended, closing passes it on. */
static void end_way(tcp_way *way, const tcp_way *other, int to) {
    if (!other->shut)
        shutdown(to, SHUT_WR);
    way->shut = true;
    give_pipe(way);
}

/* Moves what has come from one end to the other. Less than was asked for is all there was (epoll(7)), unless the end has come
 * too, of which there is only one event, or urgent data. False: the connection is broken. */
static bool move_way(tcp_flow *f, tcp_way *way, int from, int to) {
    const tcp_way *other = way == &f->up ? &f->down : &f->up;
    for (int round = 0; round < ROUNDS && !way->shut; round++) {
        if (!write_held(way, to))
            return false;
        if (holds(way))
            return true;
        if (way->ended) {
            end_way(way, other, to);
            return true;
        }
        bool small = round == 0 || way->early > 0 || way->urgent || !take_pipe(way);
        ssize_t size = small ? copy_small(way, from, to) : fill_pipe(way, from);
        if (size < 0) {
            bool later = is_later(size);
            give_pipe(way);
            return later;
        }
        way->ended = size == 0;
        if (round == 0 && size > 0 && size < SMALL && !holds(way) && !way->ending && !way->urgent) {
            give_pipe(way);
            return true;
        }
    }
    if (!way->shut)
        come_again(f, way == &f->up ? MOVE_UP : MOVE_DOWN);
    return true;
}

static void move(tcp_flow *f, int what) {
    bool whole = true;
    f->used_ms = gw.now_ms;
    if (what & MOVE_UP)
        whole = move_way(f, &f->up, f->inner.fd, f->outer.fd);
    if (whole && (what & MOVE_DOWN))
        whole = move_way(f, &f->down, f->outer.fd, f->inner.fd);
    if (!whole || (f->up.shut && f->down.shut))
        close_flow(f, !whole);
}

#define ENDS (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

/* What an event says of what is to be read, and no later one will. */
static void note(tcp_way *read, uint32_t events) {
    read->ending |= (events & ENDS) != 0;
    read->urgent |= (events & EPOLLPRI) != 0;
}

/* What an event of an end says there is to move: something to read, its end, or room for what was held. */
static void end_ready(tcp_flow *f, uint32_t events, tcp_way *read, int moves_read, const tcp_way *written,
                      int moves_written) {
    if (read->shut && (events & (EPOLLERR | EPOLLHUP))) { /* its end was passed on, and now it is broken */
        close_flow(f, true);
        return;
    }
    int what = events & (EPOLLIN | ENDS) ? moves_read : 0;
    note(read, events);
    if ((events & EPOLLOUT) && holds(written))
        what |= moves_written;
    move(f, what);
}

bool tcp_again(void) {
    size_t count = tcp.due_count;
    memcpy(tcp.going, tcp.due, count * sizeof(tcp_flow *));
    tcp.due_count = 0;
    for (size_t i = 0; i < count; i++) {
        tcp_flow *f = tcp.going[i];
        int what = f->again;
        f->again = 0;
        if (f->state == TCP_OPEN)
            move(f, what);
    }
    return tcp.due_count > 0;
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

void tcp_tune(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1); /* urgent data is passed on in its place, as other data */
}

/* A host that is gone without a word ends the connection in about two minutes. */
static void keep_alive(int fd) {
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

static void inner_ready(source *s, uint32_t events) {
    tcp_flow *f = (tcp_flow *)(void *)((char *)s - offsetof(tcp_flow, inner));
    if (f->state == TCP_OPEN)
        end_ready(f, events, &f->up, MOVE_UP, &f->down, MOVE_DOWN);
}

/* Answers the held SYN: nobody takes the connection. */
static void fail(tcp_flow *f, int error_number) {
    _Alignas(DEVICE_ALIGN) uint8_t room[DEVICE_HEADROOM + PACKET_HEADERS_MAX];
    packet p;
    if (packet_parse(f->syn + DEVICE_HEADROOM, f->syn_size, &p)) {
        bool no_route = error_number == EHOSTUNREACH || error_number == ENETUNREACH || error_number == ETIMEDOUT;
        size_t size = (no_route ? packet_make_no_route : packet_make_reset)(room + DEVICE_HEADROOM, &p);
        device_send(room + DEVICE_HEADROOM, size, 0);
    }
    close_flow(f, true);
    forget(f);
}

static void turn_in(const tcp_flow *f, packet *p) {
    const endpoint from = {.address = gw.peer[p->v6].address, .port = f->alias};
    const endpoint to = {.address = gw.guest[p->v6].address, .port = CII_NETWORK_LISTEN_PORT};
    device_forward(p, &from, &to);
}

/* The host's connection stands: the held SYN goes to the listener. */
static void offer(tcp_flow *f) {
    packet p;
    _cleanup_free_ uint8_t *syn = TAKE_PTR(f->syn);
    set_state(f, TCP_OFFERED);
    f->used_ms = gw.now_ms;
    if (packet_parse(syn + DEVICE_HEADROOM, f->syn_size, &p)) {
        f->first = packet_sequence(&p) + 1;
        turn_in(f, &p);
    }
}

static void outer_ready(source *s, uint32_t events) {
    tcp_flow *f = (tcp_flow *)(void *)((char *)s - offsetof(tcp_flow, outer));
    int error_number = 0;
    socklen_t size = sizeof error_number;
    socket_address peer;
    if (f->state == TCP_OPEN) {
        end_ready(f, events, &f->down, MOVE_DOWN, &f->up, MOVE_UP);
        return;
    }
    note(&f->down, events);
    f->missed |= (events & (EPOLLIN | ENDS)) != 0;
    if (f->state == TCP_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        if (events & (EPOLLERR | EPOLLHUP))
            getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error_number, &size);
        if (error_number != 0)
            fail(f, error_number);
        else if (getpeername(s->fd, &peer.any, &(socklen_t){sizeof peer}) ==
                 0) /* not an event of who was here before */
            offer(f);
    }
}

/* What the kernel says of the packet (its checksum is partial) lies before it and is kept with it. */
static bool hold_syn(tcp_flow *f, const packet *p) {
    f->syn_size = p->size;
    f->syn = p->size <= SYN_MAX ? malloc(DEVICE_HEADROOM + p->size) : NULL;
    if (f->syn == NULL)
        return false;
    memcpy(f->syn, p->ip - DEVICE_HEADROOM, DEVICE_HEADROOM + p->size);
    return true;
}

static void refuse(const packet *p) {
    _Alignas(DEVICE_ALIGN) uint8_t room[DEVICE_HEADROOM + PACKET_HEADERS_MAX];
    if (!(p->tcp_flags & TCP_RST))
        device_send(room + DEVICE_HEADROOM, packet_make_reset(room + DEVICE_HEADROOM, p), 0);
}

static void open_flow(const packet *p) {
    bool may = gateway_permits(&p->target, "tcp");
    tcp_flow *f = may ? find_place() : NULL;
    if (may && f == NULL)
        gateway_refused("", &p->target, "tcp", "too many connections at a time");
    if (f == NULL) {
        refuse(p);
        return;
    }
    remember(f, p);
    f->inner.ready = inner_ready;
    f->outer.ready = outer_ready;
    set_state(f, TCP_CONNECTING);
    if (!hold_syn(f, p)) {
        refuse(p);
        close_flow(f, true);
        forget(f);
        return;
    }
    f->outer.fd = gateway_connect(&f->target, SOCK_STREAM);
    if (f->outer.fd < 0 || !gateway_watch(&f->outer, EVENTS))
        fail(f, errno);
    else
        tcp_tune(f->outer.fd);
}

void tcp_accept(source *listener, _unused_ uint32_t events) {
    socket_address from;
    socklen_t size = sizeof from;
    for (int i = 0; i < ACCEPTS_MAX && (i == 0 || tcp.offered > 0); i++, size = sizeof from) {
        int fd = accept4(listener->fd, &from.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR) { /* no descriptor left: tcp_expire() goes on */
                gateway_rewatch(listener, 0);
                tcp.paused = true;
            }
            return;
        }
        endpoint peer = endpoint_from(&from);
        tcp_flow *f = tcp.by_alias[peer.port];
        if (f == NULL || !address_equal(&peer.address, &gw.peer[!address_is_v4(&f->target.address)].address) ||
            f->state != TCP_OFFERED) {
            close(fd); /* the guest's own attempt to reach the listener */
            continue;
        }
        f->inner.fd = fd;
        set_state(f, TCP_OPEN);
        if (gateway_watch(&f->inner, EVENTS))
            move(f, f->missed ? MOVE_UP | MOVE_DOWN : MOVE_UP);
        else
            close_flow(f, true);
    }
}

/* --- packets -------------------------------------------------------------------------------------------------------- */

/* What the listener's connections send. */
static void turn_out(packet *p) {
    tcp_flow *f = tcp.by_alias[p->target.port];
    if (f == NULL || address_is_v4(&f->target.address) == p->v6)
        return;
    f->used_ms = gw.now_ms;
    if (f->state == TCP_CLOSED)
        set_state(f, TCP_CLOSED); /* still sends: its place is the last to be taken */
    const endpoint from = f->target, to = f->guest;
    device_forward(p, &from, &to);
}

/* Bytes that are the next of their connection are passed on before the session's own kernel has them: whoever waits for them
 * hears of them sooner. They come out of it once more and are not passed on again; if it does not take them, the guest
 * sends them again, and as many of what it sends then are left out. False: the connection is broken. */
static bool pass_early(tcp_flow *f, const packet *p) {
    tcp_way *up = &f->up;
    if (up->early > 0 || holds(up) || up->ended || packet_sequence(p) != f->first + up->taken)
        return true;
    ssize_t size = send(f->outer.fd, p->payload, p->payload_size, MSG_NOSIGNAL | MSG_DONTWAIT);
    up->early = (size_t)CII_MAX(size, 0);
    return size >= 0 || is_later(size);
}

void tcp_packet(packet *p) {
    bool begins = (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
    if (p->source.port == CII_NETWORK_LISTEN_PORT && address_equal(&p->target.address, &gw.peer[p->v6].address)) {
        turn_out(p);
        return;
    }
    tcp_flow *f = find(p);
    if (f != NULL && begins && f->state == TCP_CLOSED) {
        forget(f); /* the guest uses the port again */
        f = NULL;
    }
    if (f == NULL) {
        if (begins)
            open_flow(p);
        else
            refuse(p);
    } else if (f->state != TCP_CONNECTING) {
        bool open = f->state == TCP_OPEN, small = p->payload_size <= SMALL;
        f->used_ms = gw.now_ms;
        if (open && small && p->payload_size > 0 && !pass_early(f, p)) {
            close_flow(f, true);
            return;
        }
        turn_in(f, p);
        /* What it brought is there already: no need to be told. */
        if (open && !small)
            come_again(f, MOVE_UP);
        else if (open && p->payload_size > 0)
            move(f, MOVE_UP);
    } else if (p->tcp_flags & TCP_RST) {
        close_flow(f, true); /* given up before it stood */
        forget(f);
    }
}

bool tcp_expire(void) {
    bool left = false;
    for (size_t i = 0; i < CII_ELEMENTS(gw.listeners); i++)
        if (tcp.paused && gw.listeners[i].ready != NULL)
            gateway_rewatch(&gw.listeners[i], EPOLLIN);
    tcp.paused = false;
    for (tcp_flow *f = tcp.flows; f < tcp.flows + tcp.used; f++) {
        int64_t age_ms = gw.now_ms - f->used_ms;
        if (f->state == TCP_CONNECTING && age_ms > HANDSHAKE_MS)
            fail(f, ETIMEDOUT);
        if (f->state == TCP_OFFERED && age_ms > HANDSHAKE_MS)
            close_flow(f, true);
        if (f->state == TCP_CLOSED && age_ms > CLOSED_MS)
            forget(f);
        if (f->state == TCP_OPEN && !f->kept) {
            keep_alive(f->outer.fd);
            f->kept = true;
        }
        left |= f->state == TCP_CLOSED || f->state == TCP_OFFERED || f->state == TCP_CONNECTING;
    }
    return left;
}
