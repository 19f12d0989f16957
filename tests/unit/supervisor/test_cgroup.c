/* The control groups of sessions hold the limits they were given, also those they are given later. */
#include <fcntl.h>
#include <unistd.h>

#include "unit.h"

#include "os/fd.h"
#include "supervisor/supervisor.h"

#define SESSION 7
#define MIB (UINT64_C(1) << 20)

typedef struct groups {
    cgroup_root root;
    cgroup_fds fds;
} groups;

static int make_group(void **state) {
    static groups g;
    g = (groups){.fds.oom = -1};
    *state = &g;
    cgroup_open(&g.root);
    return cgroup_make(&g.root, SESSION, 256 * MIB, 20, &g.fds);
}

static int remove_group(void **state) {
    groups *g = *state;
    cgroup_fds_close(&g->fds);
    bool gone = cgroup_remove(&g->root, SESSION);
    cgroup_close(&g->root);
    return gone ? 0 : -1;
}

/* What a file of the session's group says, as a number; -1 without the file. */
static int64_t read_number(int tree, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "s%d/%s", SESSION, name);
    _cleanup_free_ char *text = cii_fd_read_file(tree, path, 64, NULL);
    return text != NULL ? strtoll(text, NULL, 10) : -1;
}

static void assert_limits(const groups *g, int64_t memory_bytes, int64_t process_count) {
    for (size_t i = 0; i < g->root.count; i++) {
        int fd = g->root.trees[i].fd;
        if (g->root.trees[i].pids)
            assert_int_equal(read_number(fd, "pids.max"), process_count);
        if (!g->root.trees[i].memory)
            continue;
        if (g->root.trees[i].v2) {
            assert_int_equal(read_number(fd, "memory.max"), memory_bytes);
            assert_true(read_number(fd, "memory.swap.max") <= 0);
        } else {
            int64_t with_swap = read_number(fd, "memory.memsw.limit_in_bytes");
            assert_int_equal(read_number(fd, "memory.limit_in_bytes"), memory_bytes);
            assert_true(with_swap == -1 || with_swap == memory_bytes);
        }
    }
}

static void skip_without_groups(const groups *g) {
    if (getenv("CI_TEST_CGROUPS") != NULL)
        assert_int_equal(g->root.limits, CII_LIMIT_MEMORY_CGROUP | CII_LIMIT_PIDS_CGROUP);
    if (g->root.limits == 0)
        skip();
}

static void a_group_holds_the_limits_it_was_made_with(void **state) {
    skip_without_groups(*state);
    assert_limits(*state, 256 * MIB, 20);
}

static void limits_can_be_raised_and_lowered(void **state) {
    groups *g = *state;
    skip_without_groups(g);
    static const uint64_t memory[] = {4096 * MIB, 64 * MIB, 8192 * MIB, 8192 * MIB, 256 * MIB};
    for (size_t i = 0; i < CII_ELEMENTS(memory); i++) {
        assert_int_equal(cgroup_limit(&g->root, SESSION, memory[i], (uint32_t)(10 + i)), 0);
        assert_limits(g, (int64_t)memory[i], (int64_t)(10 + i));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_group_holds_the_limits_it_was_made_with, make_group, remove_group),
        cmocka_unit_test_setup_teardown(limits_can_be_raised_and_lowered, make_group, remove_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
