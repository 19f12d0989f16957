/*
 * The main job in one program: open a session on a workspace that holds an uploaded ZIP, analyse it with Python, run a
 * shell command, and find the chart in the workspace afterwards. ../quickstart.sh builds this and makes the ZIP.
 */
#include <ci/ci.h>

#include <stdio.h>
#include <string.h>

static int32_t print(void *user, int32_t event, const char *mime_type, const void *data, size_t size) {
    (void)user, (void)mime_type;
    if (event != CI_EVENT_ITEM)
        fwrite(data, 1, size, event == CI_EVENT_STDOUT ? stdout : stderr);
    return 0;
}

static int fail(ci_error *error) {
    fprintf(stderr, "quickstart: %s\n%s\n", ci_error_message(error), ci_error_hint(error));
    ci_error_free(error);
    return 1;
}

/* Says what is about to run, runs it, and says what became of its files. Returns 0 when it went well. */
static int run(ci_session *session, const char *title, const char *code, const char *command, const char *output) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.output = print;
    options.output_filename = output;
    ci_result *result;
    ci_error *error = NULL;
    printf("\n--- %s\n", title);
    fflush(stdout);
    ci_status status = code ? ci_execute_code(session, code, SIZE_MAX, &options, &result, &error)
                            : ci_execute_command(session, command, &options, &result, &error);
    if (status != CI_OK)
        return fail(error);
    int failed = ci_result_outcome(result) != CI_OUTCOME_OK;
    if (failed)
        fprintf(stderr, "%s\n",
                ci_result_traceback(result) ? ci_result_traceback(result) : ci_result_error_message(result));
    for (size_t i = 0; i < ci_result_file_count(result, CI_FILES_MAIN); i++) {
        ci_file_info file = CI_FILE_INFO_INIT;
        if (ci_result_file(result, CI_FILES_MAIN, i, &file) == CI_OK)
            printf("[%s %s, %llu bytes]\n", ci_file_status_name(file.status), file.key ? file.key : file.path,
                   (unsigned long long)file.size_bytes);
    }
    printf("[%.1f ms]\n", (double)ci_result_execution_us(result) / 1000);
    ci_result_free(result);
    return failed;
}

static void show_uploads(ci_session *session) {
    ci_result *report;
    if (ci_session_preload_report(session, &report, NULL) != CI_OK)
        return;
    for (size_t i = 0; i < ci_result_file_count(report, CI_FILES_PRELOAD); i++) {
        ci_file_info file = CI_FILE_INFO_INIT;
        if (ci_result_file(report, CI_FILES_PRELOAD, i, &file) == CI_OK && file.target)
            printf("[%s %s into %s/: %u entries]\n", ci_file_status_name(file.status), file.path, file.target,
                   file.entry_count);
    }
    ci_result_free(report);
}

static const char analyse[] = "import glob\n"
                              "import pandas as pd\n"
                              "sales = pd.concat(map(pd.read_csv, sorted(glob.glob('sales/months/*.csv'))))\n"
                              "sales['revenue'] = sales.units * sales.price\n"
                              "sales['month'] = sales.date.str[5:7]\n"
                              "print(f'{len(sales)} rows')\n"
                              "print(sales.pivot_table('revenue', 'shop', 'product', 'sum', margins=True).round(0))\n";

/* A second cell: `sales` is still there. */
static const char draw[] = "import matplotlib.pyplot as plt\n"
                           "table = sales.pivot_table('revenue', 'month', 'shop', 'sum')\n"
                           "table.plot.bar(figsize=(9, 5), title='Revenue in 2025', stacked=True)\n"
                           "plt.tight_layout()\n"
                           "plt.savefig('chart.png', dpi=120)\n"
                           "plt.close()\n"
                           "print('best month:', table.sum(axis=1).idxmax())\n";

static const char shell[] = "cat sales/README.txt && wc -l sales/months/*.csv | tail -1 && ls -l chart.png";

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: quickstart WORKSPACE [PYTHON]\n");
        return 2;
    }
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.workspace_dir = argv[1];
    options.python = argv[2]; /* an environment or interpreter; NULL: the system's */
    ci_session *session;
    ci_error *error = NULL;
    if (ci_session_open(&options, &session, &error) != CI_OK)
        return fail(error);
    printf("Opened a session on %s\n", argv[1]);
    show_uploads(session);
    int failed = run(session, "Python: a table from the uploaded ZIP", analyse, NULL, NULL) ||
                 run(session, "Python: a chart, saved to the workspace", draw, NULL, "chart.png") ||
                 run(session, "Shell, in the same folder", NULL, shell, NULL);
    ci_session_close(session);
    return failed;
}
