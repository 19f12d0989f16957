/* Replays inputs without a fuzzer: driver FILE-OR-FOLDER…; each file once, and cut and damaged in a few places, so that a
 * small corpus goes further. Ends with 0, or where the target aborts. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static void run_variants(uint8_t *data, size_t size) {
    LLVMFuzzerTestOneInput(data, size);
    for (size_t part = 1; part < 8; part++)
        LLVMFuzzerTestOneInput(data, size * part / 8);
    for (size_t part = 0; part < 16 && size > 0; part++) {
        size_t at = size * part / 16;
        data[at] ^= 0x55;
        LLVMFuzzerTestOneInput(data, size);
        data[at] ^= 0x55;
    }
}

static int run_file(const char *path, off_t size) {
    FILE *file = fopen(path, "rbe");
    uint8_t *data = malloc((size_t)size + 1);
    size_t got = file && data ? fread(data, 1, (size_t)size, file) : 0;
    if (file && got == (size_t)size)
        run_variants(data, got);
    else
        fprintf(stderr, "%s: cannot be read\n", path);
    free(data);
    if (file)
        fclose(file);
    return got == (size_t)size;
}

/* How many inputs were run; -1 when one could not be. */
static int run(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return run_file(path, st.st_size) ? 1 : -1;
    int count = 0;
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && count >= 0 && (entry = readdir(dir)) != NULL;) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        int inner = run(name);
        count = inner < 0 ? -1 : count + inner;
    }
    if (dir)
        closedir(dir);
    return count;
}

int main(int argc, char **argv) {
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = run(argv[i]);
        if (count < 0)
            return 1;
        total += count;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
