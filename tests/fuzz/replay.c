/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target over every file of the folders on the command line, in a build without a fuzzer. Prints the number of files and END;
 * a folder that cannot be read, or has no file, is a failure.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST = 1 << 20 };

static int replay_file(const char *path)
{
    FILE    *file = fopen(path, "rb");
    uint8_t *data = malloc(LARGEST);
    size_t   size;
    int      ok = file != NULL && data != NULL;

    if (ok) {
        size = fread(data, 1, LARGEST, file);
        ok = feof(file) && !ferror(file);
        if (ok)
            LLVMFuzzerTestOneInput(data, size);
    }
    if (!ok)
        fprintf(stderr, "%s: cannot be read\n", path);
    if (file != NULL)
        fclose(file);
    free(data);
    return ok ? 1 : -1;
}

/* How many files, or -1. */
static int replay_folder(const char *folder)
{
    DIR           *dir = opendir(folder);
    struct dirent *entry;
    char           path[4096];
    int            count = 0;

    while (dir != NULL && count >= 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count = replay_file(path) < 0 ? -1 : count + 1;
    }
    if (dir != NULL)
        closedir(dir);
    if (count == 0)
        fprintf(stderr, "%s: no files\n", folder);
    return count > 0 ? count : -1;
}

int main(int argc, char **argv)
{
    int count = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        int n = replay_folder(argv[i]);

        if (n < 0)
            return 1;
        count += n;
    }
    printf("%d files\nEND\n", count);
    return 0;
}
