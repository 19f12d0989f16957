/* See tree.h. */
#include "session/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "os/resolve.h"
#include "session/walk.h"

static ci_status push(char ***list, size_t *count, size_t *capacity, char *path) {
    if (!path)
        return CI_ERR_NOMEM;
    if (*count == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 32;
        char **grown = realloc(*list, more * sizeof *grown);
        if (!grown) {
            free(path);
            return CI_ERR_NOMEM;
        }
        *list = grown;
        *capacity = more;
    }
    (*list)[(*count)++] = path;
    return CI_OK;
}

static ci_status take_entry(cii_tree *tree, int folder_fd, const char *folder, const char *name) {
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return CI_OK;
    if (S_ISREG(st.st_mode))
        return push(&tree->files, &tree->file_count, &tree->file_capacity, cii_walk_join(folder, name));
    if (S_ISDIR(st.st_mode))
        return push(&tree->folders, &tree->folder_count, &tree->folder_capacity, cii_walk_join(folder, name));
    tree->left_out_count++;
    return CI_OK;
}

static ci_status read_folder(cii_tree *tree, int root_fd, const char *folder, ci_error **ret_error) {
    int fd = cii_resolve_open(root_fd, *folder ? folder : ".", O_RDONLY | O_DIRECTORY, 0, CII_RESOLVE_NO_LINKS);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        ci_status status = cii_error_errno(ret_error, errno, "session", "read unpacked folder");
        cii_close(fd);
        return status;
    }
    ci_status status = CI_OK;
    for (struct dirent *entry; status == CI_OK && (entry = readdir(dir));)
        status = take_entry(tree, fd, folder, entry->d_name);
    closedir(dir);
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

ci_status cii_tree_read(cii_tree *tree, int root_fd, ci_error **ret_error) {
    *tree = (cii_tree){0};
    ci_status status = read_folder(tree, root_fd, "", ret_error);
    while (status == CI_OK && tree->folder_count > 0) {
        char *folder = tree->folders[--tree->folder_count];
        status = read_folder(tree, root_fd, folder, ret_error);
        free(folder);
    }
    return status;
}

static void free_list(char **list, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void cii_tree_free(cii_tree *tree) {
    free_list(tree->files, tree->file_count);
    free_list(tree->folders, tree->folder_count);
    *tree = (cii_tree){0};
}
