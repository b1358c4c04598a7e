/* Makes syncs fail on request, as those of a broken disk do.
 *
 * UNDERTONE_FAIL_SYNC names a file. While it does not exist, every sync is the real one. While it does, as many syncs
 * are let through as it has bytes, each of which takes one byte away, and all others fail with EIO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int sync_call(int);

static int sync_or_fail(const char *name, int file) {
    const char *trigger = getenv("UNDERTONE_FAIL_SYNC");
    struct stat found;
    if (trigger != NULL && stat(trigger, &found) == 0) {
        if (found.st_size == 0 || truncate(trigger, found.st_size - 1) != 0) {
            errno = EIO;
            return -1;
        }
    }
    return ((sync_call *)dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return sync_or_fail("fsync", file); }

int fdatasync(int file) { return sync_or_fail("fdatasync", file); }
