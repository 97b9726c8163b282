/*
 * The deterministic machine, first part: time, randomness, processors, memory and names are constants.
 *
 * Real-time clocks stand at the source commit's time; monotonic ones run, or every timeout would hang. It must never fail where the
 * kernel would not, and never answer differently in two builds of one source.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <unistd.h>

void *machine_behind(const char *name) { return dlsym(RTLD_NEXT, name); }

/* ---- Time ------------------------------------------------------------------------------------------------------------------- */

/* Seconds since 1970, from a file, since one library serves every build. */
int64_t machine_time(void)
{
    static int64_t known;
    int64_t time = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (time)
        return time;
    char text[24] = "";
    long fd = kernel(SYS_openat, AT_FDCWD, (long)"/proofmark/clock", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd >= 0) {
        kernel(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
        kernel(SYS_close, fd, 0, 0, 0, 0, 0);
    }
    for (const char *at = text; *at >= '0' && *at <= '9'; at++)
        time = time * 10 + (*at - '0');
    if (!time) {
        static const char says[] = "proofmark: /proofmark/clock: not there, or not a time\n";
        kernel(SYS_write, 2, (long)says, sizeof says - 1, 0, 0, 0);
        kernel(SYS_exit_group, 125, 0, 0, 0, 0, 0);
    }
    __atomic_store_n(&known, time, __ATOMIC_RELAXED);
    return time;
}

static int stands(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI || clock == CLOCK_REALTIME_ALARM;
}

/* The C library's own needs no system call, and compilers look at this clock all the time. Looked up once, since an allocator that is
 * just beginning may ask for the time. */
static int (*running)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) { running = (__typeof__(running))machine_behind("clock_gettime"); }

EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (stands(clock)) {
        *now = (struct timespec){.tv_sec = machine_time()};
        return 0;
    }
    return running ? running(clock, now) : (int)answer(kernel(SYS_clock_gettime, clock, (long)now, 0, 0, 0, 0));
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    *now = (struct timeval){.tv_sec = machine_time()};
    if (zone)
        *(struct timezone *)zone = (struct timezone){0};
    return 0;
}

EXPORT time_t time(time_t *now)
{
    if (now)
        *now = machine_time();
    return machine_time();
}

EXPORT int timespec_get(struct timespec *now, int base)
{
    if (base != TIME_UTC)
        return 0;
    *now = (struct timespec){.tv_sec = machine_time()};
    return base;
}

/* A deadline on the frozen clock, as one on the kernel's: whoever waits "until now plus a second" waits for a second. */
static const struct timespec *shifted(const struct timespec *deadline, struct timespec *room)
{
    struct timespec real, monotonic;
    kernel(SYS_clock_gettime, CLOCK_REALTIME, (long)&real, 0, 0, 0, 0);
    kernel(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&monotonic, 0, 0, 0, 0);
    /* A condition variable may have been told to use the monotonic clock: its deadlines are near to that one. */
    int64_t from_frozen = deadline->tv_sec - machine_time(), from_monotonic = deadline->tv_sec - monotonic.tv_sec;
    if (from_monotonic < 0 ? -from_monotonic < from_frozen : from_monotonic < (from_frozen < 0 ? -from_frozen : from_frozen))
        return deadline;
    *room = *deadline;
    room->tv_sec += real.tv_sec - machine_time();
    if ((room->tv_nsec += real.tv_nsec) >= 1000000000) {
        room->tv_nsec -= 1000000000;
        room->tv_sec++;
    }
    return room;
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                                  const struct timespec *restrict deadline)
{
    struct timespec room;
    return BEHIND(pthread_cond_timedwait)(condition, mutex, shifted(deadline, &room));
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline)
{
    struct timespec room;
    return BEHIND(pthread_mutex_timedlock)(mutex, shifted(deadline, &room));
}

EXPORT int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
    struct timespec room;
    return BEHIND(sem_timedwait)(semaphore, shifted(deadline, &room));
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    struct timespec room;
    if (stands(clock) && (flags & TIMER_ABSTIME))
        until = shifted(until, &room);
    return BEHIND(clock_nanosleep)(clock, flags, until, left);
}

/* ---- Randomness ------------------------------------------------------------------------------------------------------------- */

/*
 * Each thread reads the same stream from its beginning: what it gets does not depend on which thread asked first. The stream goes on,
 * so that whoever looks for a free name finds one.
 */
static __thread uint64_t position __attribute__((tls_model("initial-exec")));

void machine_random(void *to, size_t size)
{
    unsigned char *out = to;
    uint64_t word = 0;
    for (size_t at = 0; at < size; at++) {
        if (at % 8 == 0) { /* splitmix64, Vigna 2015 */
            word = ++position * 0x9e3779b97f4a7c15;
            word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
            word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
            word ^= word >> 31;
        }
        out[at] = (unsigned char)(word >> (at % 8 * 8));
    }
}

EXPORT ssize_t getrandom(void *to, size_t size, unsigned flags)
{
    (void)flags;
    machine_random(to, size);
    return (ssize_t)size;
}

EXPORT int getentropy(void *to, size_t size)
{
    if (size > 256) {
        errno = EIO;
        return -1;
    }
    machine_random(to, size);
    return 0;
}

EXPORT void arc4random_buf(void *to, size_t size) { machine_random(to, size); }

EXPORT uint32_t arc4random(void)
{
    uint32_t value;
    machine_random(&value, sizeof value);
    return value;
}

EXPORT uint32_t arc4random_uniform(uint32_t bound) { return bound ? arc4random() % bound : 0; }

/* ---- Processors, memory, names ---------------------------------------------------------------------------------------------- */

static void processors(void *set, size_t size)
{
    memset(set, 0, size);
    for (size_t processor = 0; processor < PROCESSORS && processor < size * 8; processor++)
        ((unsigned char *)set)[processor / 8] |= (unsigned char)(1u << processor % 8);
}

EXPORT int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set)
{
    (void)process;
    processors(set, size);
    return 0;
}

EXPORT int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
    (void)thread;
    processors(set, size);
    return 0;
}

EXPORT int get_nprocs(void) { return PROCESSORS; }
EXPORT int get_nprocs_conf(void) { return PROCESSORS; }

EXPORT long sysconf(int name)
{
    switch (name) {
    case _SC_NPROCESSORS_CONF:
    case _SC_NPROCESSORS_ONLN:
        return PROCESSORS;
    case _SC_PHYS_PAGES:
        return MEMORY / getpagesize();
    case _SC_AVPHYS_PAGES:
        return MEMORY / 2 / getpagesize();
    default:
        return BEHIND(sysconf)(name);
    }
}

EXPORT int sysinfo(struct sysinfo *info)
{
    *info = (struct sysinfo){.uptime = 1, .totalram = MEMORY, .freeram = MEMORY / 2, .procs = 1, .mem_unit = 1};
    return 0;
}

EXPORT int uname(struct utsname *name)
{
    long result = kernel(SYS_uname, (long)name, 0, 0, 0, 0, 0);
    if (result == 0) {
        strcpy(name->release, KERNEL);
        strcpy(name->version, "#1");
    }
    return (int)answer(result);
}

/* ---- System calls by number, through the C library's door for them ------------------------------------------------------------ */

EXPORT long syscall(long number, ...)
{
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    switch (number) {
    case SYS_getrandom:
        return getrandom((void *)a[0], (size_t)a[1], (unsigned)a[2]);
    case SYS_clock_gettime:
        return clock_gettime((clockid_t)a[0], (struct timespec *)a[1]);
    case SYS_gettimeofday:
        return gettimeofday((struct timeval *)a[0], (void *)a[1]);
#ifdef SYS_time
    case SYS_time:
        return time((time_t *)a[0]);
#endif
    case SYS_uname:
        return uname((struct utsname *)a[0]);
    case SYS_sysinfo:
        return sysinfo((struct sysinfo *)a[0]);
    case SYS_sched_getaffinity: { /* the bare call tells how many bytes it wrote */
        size_t size = (size_t)a[1] < sizeof(cpu_set_t) ? (size_t)a[1] : sizeof(cpu_set_t);
        processors((void *)a[2], size);
        return (long)size;
    }
    }
    long result = kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    switch (number) {
    case SYS_statx:
        if (result == 0)
            machine_settle_x((struct statx *)a[4]);
        break;
    case SYS_newfstatat:
        if (result == 0)
            machine_settle((struct stat *)a[2]);
        break;
    case SYS_openat:
        witness_open((const char *)a[1], result);
        break;
    }
    return answer(result);
}
