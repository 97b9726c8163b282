/*
 * The deterministic machine, second part: every file is of the commit's time and the builder's, and a directory is read in the order
 * of its names.
 *
 * A build makes all its files at one moment, then: tools that compare times find nothing newer than anything else.
 * Listings need memory and a lock; readdir(3) may be called only where both are allowed anyway.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- What a file is ------------------------------------------------------------------------------------------------------------- */

/*
 * One owner, one time, and no sign of the file system: how large a directory is, how a file is stored, and that two names share one
 * content is its own affair. Device and inode stay, since programs tell files apart by them.
 */
void machine_settle(struct stat *found)
{
    found->st_atim = found->st_mtim = found->st_ctim = (struct timespec){.tv_sec = machine_time()};
    found->st_uid = found->st_gid = BUILDER;
    found->st_nlink = 1;
    found->st_blksize = 4096;
    if (S_ISDIR(found->st_mode))
        found->st_size = 4096;
    found->st_blocks = (found->st_size + 4095) / 4096 * 8;
}

void machine_settle_x(struct statx *found)
{
    found->stx_atime = found->stx_mtime = found->stx_ctime = found->stx_btime = (struct statx_timestamp){.tv_sec = machine_time()};
    found->stx_uid = found->stx_gid = BUILDER;
    found->stx_nlink = 1;
    found->stx_blksize = 4096;
    if (S_ISDIR(found->stx_mode))
        found->stx_size = 4096;
    found->stx_blocks = (found->stx_size + 4095) / 4096 * 8;
}

/* struct stat is the kernel's own on the processors that machine.h knows. */
static int look(int at, const char *path, struct stat *found, int flags)
{
    long result = kernel(SYS_newfstatat, at, (long)path, (long)found, flags, 0, 0);
    if (result == 0)
        machine_settle(found);
    return (int)answer(result);
}

EXPORT int fstatat(int at, const char *restrict path, struct stat *restrict found, int flags) { return look(at, path, found, flags); }
EXPORT int stat(const char *restrict path, struct stat *restrict found) { return look(AT_FDCWD, path, found, 0); }
EXPORT int lstat(const char *restrict path, struct stat *restrict found) { return look(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW); }
EXPORT int fstat(int fd, struct stat *found) { return look(fd, "", found, AT_EMPTY_PATH); }
ALSO(fstatat64, fstatat);
ALSO(stat64, stat);
ALSO(lstat64, lstat);
ALSO(fstat64, fstat);

/* What a program linked against a C library before 2.33 calls; the first argument is the layout's version, of which there is one. */
EXPORT int __fxstatat(int version, int at, const char *path, struct stat *found, int flags)
{
    (void)version;
    return look(at, path, found, flags);
}
EXPORT int __xstat(int version, const char *path, struct stat *found) { return __fxstatat(version, AT_FDCWD, path, found, 0); }
EXPORT int __lxstat(int version, const char *path, struct stat *found)
{
    return __fxstatat(version, AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW);
}
EXPORT int __fxstat(int version, int fd, struct stat *found) { return __fxstatat(version, fd, "", found, AT_EMPTY_PATH); }
ALSO(__fxstatat64, __fxstatat);
ALSO(__xstat64, __xstat);
ALSO(__lxstat64, __lxstat);
ALSO(__fxstat64, __fxstat);

EXPORT int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict found)
{
    long result = kernel(SYS_statx, at, (long)path, flags, mask, (long)found, 0);
    if (result == 0)
        machine_settle_x(found);
    return (int)answer(result);
}

/* ---- Directories ------------------------------------------------------------------------------------------------------------ */

/* The rest of a directory, read and sorted when it is first asked for. Kept until closed or rewound. */
struct listing {
    struct listing *link;
    DIR *directory;
    struct dirent **entries;
    size_t count, next;
    int error;
};

static struct listing *listings[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct listing **bucket(DIR *directory) { return &listings[(uintptr_t)directory / 64 % 64]; }

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct dirent *const *)a)->d_name, (*(struct dirent *const *)b)->d_name);
}

static void forget(DIR *directory)
{
    pthread_mutex_lock(&lock);
    struct listing **at = bucket(directory);
    while (*at && (*at)->directory != directory)
        at = &(*at)->link;
    struct listing *found = *at;
    if (found)
        *at = found->link;
    pthread_mutex_unlock(&lock);
    if (!found)
        return;
    for (size_t i = 0; i < found->count; i++)
        free(found->entries[i]);
    free(found->entries);
    free(found);
}

static struct listing *read_all(DIR *directory)
{
    struct listing *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->directory = directory;
    int before = errno;
    for (size_t room = 0;;) {
        errno = 0;
        struct dirent *entry = BEHIND(readdir)(directory);
        if (!entry) {
            made->error = errno;
            break;
        }
        if (made->count == room) {
            room = room ? room * 2 : 32;
            struct dirent **grown = realloc(made->entries, room * sizeof *grown);
            if (!grown) {
                made->error = ENOMEM;
                break;
            }
            made->entries = grown;
        }
        struct dirent *copy = malloc(sizeof *copy);
        if (!copy) {
            made->error = ENOMEM;
            break;
        }
        memcpy(copy, entry, entry->d_reclen < sizeof *copy ? entry->d_reclen : sizeof *copy);
        made->entries[made->count++] = copy;
    }
    if (made->count)
        qsort(made->entries, made->count, sizeof *made->entries, by_name);
    /* telldir(3) and seekdir(3) count in entries of the sorted list. */
    for (size_t i = 0; i < made->count; i++)
        made->entries[i]->d_off = (off_t)(i + 1);
    errno = before;
    pthread_mutex_lock(&lock);
    made->link = *bucket(directory);
    *bucket(directory) = made;
    pthread_mutex_unlock(&lock);
    return made;
}

/* Only threads that already race for the same DIR could see it change under them. */
static struct listing *listing(DIR *directory, int make)
{
    pthread_mutex_lock(&lock);
    struct listing *found = *bucket(directory);
    while (found && found->directory != directory)
        found = found->link;
    pthread_mutex_unlock(&lock);
    return found || !make ? found : read_all(directory);
}

EXPORT struct dirent *readdir(DIR *directory)
{
    struct listing *list = listing(directory, 1);
    if (!list)
        return NULL;
    if (list->next < list->count)
        return list->entries[list->next++];
    if (list->error)
        errno = list->error;
    return NULL;
}
ALSO(readdir64, readdir);

EXPORT int readdir_r(DIR *restrict directory, struct dirent *restrict room, struct dirent **restrict entry)
{
    struct listing *list = listing(directory, 1);
    *entry = NULL;
    if (!list)
        return ENOMEM;
    if (list->next == list->count)
        return list->error;
    struct dirent *found = list->entries[list->next++];
    memcpy(room, found, found->d_reclen < sizeof *found ? found->d_reclen : sizeof *found);
    *entry = room;
    return 0;
}
ALSO(readdir64_r, readdir_r);

EXPORT void rewinddir(DIR *directory)
{
    forget(directory);
    BEHIND(rewinddir)(directory);
}

EXPORT long telldir(DIR *directory)
{
    struct listing *list = listing(directory, 0);
    return list ? (long)list->next : 0;
}

EXPORT void seekdir(DIR *directory, long to)
{
    struct listing *list = listing(directory, 1);
    if (list && to >= 0)
        list->next = (size_t)to < list->count ? (size_t)to : list->count;
}

EXPORT int closedir(DIR *directory)
{
    forget(directory);
    return BEHIND(closedir)(directory);
}

/* scandir(3) reads behind our back: without an order of its own it gets that of the names. */
EXPORT int scandirat(int at, const char *restrict path, struct dirent ***restrict list, int (*filter)(const struct dirent *),
                     int (*order)(const struct dirent **, const struct dirent **))
{
    return BEHIND(scandirat)(at, path, list, filter, order ? order : alphasort);
}
EXPORT int scandir(const char *restrict path, struct dirent ***restrict list, int (*filter)(const struct dirent *),
                   int (*order)(const struct dirent **, const struct dirent **))
{
    return BEHIND(scandir)(path, list, filter, order ? order : alphasort);
}
ALSO(scandir64, scandir);
ALSO(scandirat64, scandirat);
