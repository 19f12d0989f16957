/* What the parts of the guest share. The guest is a process that a zygote forks for a session: it makes the session's
 * namespaces (enter.c), is their PID 1 (init.c), runs commands (command.c) and has kernels run code (kernel.c). It is a
 * program of its own kind: loaded into the zygote's interpreter as a shared object, single-threaded, with one state. */
#ifndef CII_GUEST_GUEST_H
#define CII_GUEST_GUEST_H

#include <sys/types.h>

#include "base/clock.h"
#include "wire/setup.h"

#define GUEST_UID 1000 /* as the session sees itself */
#define GUEST_ROOT "/workspace"
#define GUEST_HOME "/home/user"
#define GUEST_COVERED_MAX 16
#define GUEST_PACKAGES_MAX 4

/* What the session is to be, read from its setup socket. */
typedef struct session_spec {
    uint64_t memory_bytes;
    uint64_t workspace_bytes;
    uint64_t workspace_inodes;
    uint64_t
        inherited_bytes; /* data that a kernel has from the interpreter it is forked from: not the session's doing */
    uint32_t process_count;
    uint32_t open_file_count;
    int network;
    int limits;                           /* CII_LIMIT_ bits */
    uint64_t kernels;                     /* CI_CAP_ bits of the languages whose kernels are kept ready */
    uint32_t uid;                         /* in the zygote's user namespace */
    int setup_fd;                         /* to who wants the session; closed when it has been handed over */
    int control_fd;                       /* calls come here; -1: a spare, which is told later */
    int meminfo_fd;                       /* the file that stands for /proc/meminfo */
    int tree_fd;                          /* detached mount to be the workspace, or -1 */
    int rootfs_fd;                        /* of the system to lay overlays over, or -1: the host's, read-only */
    int channel_fd;                       /* where the session's gateway waits for its network, or -1: it has none */
    int oom_fd;                           /* event file of the memory cgroup, or -1 */
    int cgroup_fds[CII_SETUP_CGROUP_MAX]; /* "0" written here moves the writer */
    size_t cgroup_count;
    char **env;                             /* NULL-ended */
    char *packages[GUEST_PACKAGES_MAX + 1]; /* folders that packages are installed into; NULL-ended */
    char *const *covered; /* what is mounted where the session lays its own /tmp and home over it; NULL-ended */
} session_spec;

/* enter.c: becomes the session's init, or reports to the library and ends. */
void guest_enter(session_spec *spec, const void *filter, size_t filter_size);
/* A spare becomes somebody's session: takes the limits over. */
void guest_adopt(session_spec *spec, const uint8_t *fields, size_t size);
/* The same for a process that runs already. */
void guest_limit_kernel(const session_spec *spec, pid_t pid, bool is_fork);
void session_take_field(session_spec *spec, const cii_wire_field *field);
/* What every process that runs a user's code does first: limits, cgroup, session of its own, no signal blocked and SIGINT
 * as by default. Between fork or vfork and exec: async-signal-safe. */
void guest_confine(const session_spec *spec, bool is_kernel);

/* network.c: the interface of a session that has the internet, whose far end goes to the gateway at `channel_fd`. The
 * network namespace that the process is in becomes the far end's; it leaves in a new one. 0, or -1 with errno. */
int network_make(int channel_fd);
/* Waits until the gateway has it and is walled in. 0, or -1 with errno. */
int network_await(int channel_fd);

/* kill.c: processes are told apart by a tag that they inherit: the soft limit of RLIMIT_LOCKS, which Linux has not used
 * since 2.4.25. So they are found wherever they have re-parented to, and those of other calls are left alone. */
void tag_set(pid_t pid, uint64_t tag);
bool tag_alive(uint64_t tag, pid_t except);
void tag_signal(uint64_t tag, pid_t except, int signal_number);
void tag_kill(uint64_t tag, pid_t except); /* until none is left, in bounded time */

/* --- init.c: the loop and its connections -------------------------------------------------------------------------- */

typedef struct guest guest;

/* A descriptor the loop watches; the owner embeds it. */
typedef struct watch {
    void (*ready)(struct watch *self, uint32_t events);
    int fd;
    uint32_t events; /* 0: not watched */
} watch;
int watch_set(guest *g, watch *w, uint32_t events);
void watch_close(guest *g, watch *w);

/* What is kept of a stream nobody reads now. The oldest goes first. */
#define LOG_MAX (1u << 20)
typedef struct log_ring {
    cii_buf bytes;
    uint64_t dropped;
} log_ring;
void log_append(log_ring *log, const void *data, size_t size);

/* One end of a pipe that processes write to. */
typedef struct stream {
    guest *g;
    struct stream *next; /* in guest.garbage */
    watch watch;
    /* Where its bytes go. */
    void (*sink)(struct stream *self, const void *data, size_t size);
    void (*end)(struct stream *self);
    void *owner;
    uint8_t type; /* CII_WIRE_STDOUT or CII_WIRE_STDERR */
    bool ended;
} stream;
int stream_open(guest *g, stream *s, uint8_t type); /* the write end for the child, or -1 */
void stream_close(stream *s);
void stream_pause(stream *s, bool pause);
/* Reads what is in the pipe now, but no more: somebody may go on writing. */
void stream_drain(stream *s);
/* Goes on reading for those who still write, and throws it away. */
void stream_disown(stream *s);

typedef enum job_state {
    JOB_READING, /* its START has not come whole */
    JOB_QUEUED,  /* waits for its kernel */
    JOB_RUNNING,
    JOB_ENDING, /* a command's leader has ended; its pipes get a moment */
    JOB_TASK,   /* a command whose call is done; its processes may not be */
    JOB_DONE,
} job_state;

typedef struct kernel kernel;

/* One call: its connection, and what runs for it. A task is a job that outlives its connection. */
typedef struct job {
    guest *g;
    struct job *next;
    watch watch; /* the connection */
    cii_wire_reader reader;
    cii_buf out;   /* not sent yet */
    cii_buf start; /* fields of START */
    cii_buf news;  /* fields of DONE that kernels have to add */
    uint64_t tag;
    int64_t started_us;
    uint64_t stdout_bytes; /* sent */
    uint64_t oom_before;
    int kind;
    job_state state;
    bool interrupted;
    kernel *kernel; /* code only */
    struct job *queue_next;
    /* commands only */
    pid_t pid; /* 0: reaped */
    int wait_status;
    int64_t ends_ms;          /* JOB_ENDING: wait no longer */
    uint64_t packages_before; /* packages_stamp() */
    int checks;               /* kernels that have not answered yet what became of their modules; -1: were not asked */
    stream streams[2];
    log_ring logs[2];
} job;

typedef enum kernel_state {
    KERNEL_DOWN,
    KERNEL_STARTING,
    KERNEL_IDLE,
    KERNEL_RUNNING,
} kernel_state;

/* A context: the process that keeps its variables. */
struct kernel {
    guest *g;
    struct kernel *next;
    char *name;     /* language, or language/context */
    char **program; /* started for it, its path before its arguments; NULL: the interpreter forks */
    watch channel;
    cii_wire_reader reader;
    cii_buf out;
    stream *streams[2];
    log_ring background;
    job *job; /* runs now */
    job *queue, *queue_last;
    pid_t pid;
    kernel_state state;
    bool wanted;          /* to be started as soon as nothing else is */
    bool warming;         /* runs code, but is not as fast yet as it will be */
    int64_t settles_ms;   /* an interrupt may still be on its way until then: no new job; 0: none is */
    int64_t repeats_ms;   /* when the interrupt is to be repeated to the cell's programs; 0: never */
    uint64_t oom_before;  /* when it was started */
    uint64_t peak_before; /* memory that init had had then */
    bool used;            /* this process has run code */
    bool killed;          /* it is about to end, with its job */
    bool removed;         /* gone for those who look for it; freed by kernels_sweep() */
    bool lost;            /* variables were lost and no result has said so yet */
    bool ack_wanted;      /* an item waits for its acknowledgement until the connection has taken it */
    uint64_t check_tag;   /* of the command for which it looks whether its modules were replaced; 0: none */
    bool listens;         /* wants interrupts on its channel: no signal reaches its code */
    char *info;           /* JSON of its READY */
};

struct guest {
    session_spec *spec;
    int epoll_fd;
    watch control, signals, setup;
    job *jobs;
    kernel *kernels;
    stream *garbage;
    kernel *fork_wanted; /* leave the loop: the interpreter is to fork for it */
    int fork_fds[3];     /* the child's channel, stdout, stderr */
    uint64_t last_tag;
    uint64_t start_count; /* of jobs and kernels that may write files */
    struct {              /* see guest_activity() */
        uint64_t number, start_count;
        int64_t cpu_ns;
    } activity;
    const char *shell;
};

void job_send(job *j, uint8_t type, const void *data, size_t size);
/* Sends what a log holds, with a word on what it does not, and empties it; but, where more may come, for a character that has
 * begun at its end. */
void job_send_log(job *j, uint8_t type, log_ring *log, bool more_comes);
void job_send_item(job *j, const void *message, size_t size);
bool job_congested(const job *j);

/* How a run ended; the fields of DONE. */
typedef struct done_info {
    const char *name, *message;
    uint64_t task;
    int outcome, exit_code, signal_number;
    bool state_lost, task_running;
} done_info;
void job_done(job *j, const done_info *info);
void job_done_message(job *j, const void *message, size_t size); /* a kernel's own DONE */
/* Fills info from wait(2)'s status; `who` is the process in a sentence. */
void done_of_status(done_info *info, const job *j, int wait_status);
uint64_t oom_count(const session_spec *spec);

/* The text of a field of START; NULL when absent. Not NUL-ended. */
bool job_field(const job *j, uint8_t key, cii_wire_field *ret_field);
char *job_field_str(const job *j, uint8_t key);

/* kernel.c */
/* CI_CAP_ bits of what languages this session has. */
uint64_t kernel_languages(const session_spec *spec);
/* Starts the kernels that the session is to have beforehand; who made it as a spare is told when they are ready. */
void kernels_keep_ready(guest *g);
/* The kernel for a language and a context ("" or NULL: its own), made on wish when there is none. NULL, and why not. */
kernel *kernel_get(guest *g, const char *language, const char *context, bool make, const char **ret_why);
void kernel_submit(kernel *k, job *j);
void kernel_replace(kernel *k, job *j); /* CLEAR, REMOVE */
void kernels_sweep(guest *g);
void kernel_start(kernel *k);
void kernel_ended(kernel *k, int wait_status, uint64_t peak_bytes);
void kernel_stopped(kernel *k);
void kernel_interrupt(kernel *k, job *j);
void kernel_kill(kernel *k, job *j);
void kernel_acknowledge(kernel *k);
void kernel_settle(kernel *k);
void kernel_interrupt_programs(kernel *k);
/* Another number whenever something may have been installed. */
uint64_t packages_stamp(const session_spec *spec);
/* Asks the kernels that have nothing to do which of their modules a command has replaced; how many were asked. */
int kernels_check(guest *g, const job *j);

/* command.c */
void command_start(job *j);
void command_ended(job *j, int wait_status);
void command_tick(job *j);
void command_interrupt(job *j);
void command_kill(job *j);
void process_mark_oom(pid_t pid); /* ahead of init when memory is short */
void command_poll(job *j, job *task, bool stop);
bool task_over(const job *task);

/* activity.c: a number that is the same as last time only if nothing can have written a file since; 0: that cannot be
 * told. `asking` is the job that asks. */
uint64_t guest_activity(guest *g, const job *asking);

#endif
