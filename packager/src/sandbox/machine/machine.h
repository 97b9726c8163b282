/*
 * What the parts of the deterministic machine share: system calls without the C library, and the words of the trade.
 *
 * The library is loaded into every dynamic program inside the sandbox (by /etc/ld.so.preload), into any thread, signal handler or
 * half-made child. So nothing here allocates, locks or buffers unless it says so, and everything goes straight to the kernel.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

/* A second name of an exported function. 64-bit Linux has one layout for `x` and `x64`. */
#define ALSO(alias, name) __asm__(".globl " #alias "\n.type " #alias ", @function\n.set " #alias ", " #name)

/* The function of that name behind ours: the C library's. dlsym(3) may allocate, so only callers that may do so use this. */
#define BEHIND(name)                                                                                                                  \
    ({                                                                                                                                \
        static __typeof__(&name) found;                                                                                               \
        __typeof__(&name) behind = __atomic_load_n(&found, __ATOMIC_ACQUIRE);                                                         \
        if (!behind)                                                                                                                  \
            __atomic_store_n(&found, behind = (__typeof__(&name))machine_behind(#name), __ATOMIC_RELEASE);                            \
        behind;                                                                                                                       \
    })

/* One system call; a failure is the negative errno. */
static inline long kernel(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "the deterministic machine does not know the system calls of this processor"
#endif
}

/* The C library's way to say the same. */
static inline long answer(long result)
{
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

/* machine.c */
void *machine_behind(const char *name);
int64_t machine_time(void);
void machine_random(void *to, size_t size);

/* files.c: what stat(2) and statx(2) may say. */
struct stat;
struct statx;
void machine_settle(struct stat *found);
void machine_settle_x(struct statx *found);

/* witness.c: a look at what has just happened; errno stays. Each may be called anywhere. */
void witness_open(const char *path, long result);
struct sockaddr;
void witness_address(const struct sockaddr *to, unsigned size);

#endif
