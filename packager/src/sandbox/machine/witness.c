/*
 * The deterministic machine, third part: what a build opened, and whom it tried to reach, one line each in /proofmark/log.
 *
 * It reports; it never refuses: packager/src/sandbox/witness.rs reads the lines and judges. It is no wall either (the namespaces are):
 * a program can open files by system calls of its own, or write lies into the log, and only fools itself.
 * No file stays open between two lines: a program may close what it does not know, and take its number.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Exists when opened files are wanted. */
#define OPENED "/proofmark/log/opened"
#define ASKED "/proofmark/log/asked"

static int tracing;
static char program[512] = "?";
static char krate[160]; /* for whom the program works: cargo tells build scripts and compilers */

/* Whether this process has said it already; forgetting is harmless. */
static int said(const char *text)
{
    static uint64_t seen[4096];
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    uint64_t *slot = &seen[hash >> 52];
    return __atomic_exchange_n(slot, hash, __ATOMIC_RELAXED) == hash;
}

static size_t put(char *line, size_t at, size_t size, const char *text)
{
    for (; *text && at < size - 1; text++)
        line[at++] = (unsigned char)*text < ' ' ? '?' : *text;
    if (at < size - 1)
        line[at++] = '\t';
    return at;
}

/* KIND, WHAT, PROGRAM, CRATE with tabs between them. One write(2) with O_APPEND: lines of many processes do not mix. */
static void tell(const char *log, const char *kind, const char *what)
{
    char line[5200];
    size_t at = put(line, 0, sizeof line, kind);
    at = put(line, at, sizeof line, what);
    at = put(line, at, sizeof line, program);
    at = put(line, at, sizeof line, krate);
    line[at - 1] = '\n';
    long fd = kernel(SYS_openat, AT_FDCWD, (long)log, O_WRONLY | O_APPEND | O_CLOEXEC | O_CREAT, 0666, 0, 0);
    if (fd >= 0) {
        kernel(SYS_write, fd, (long)line, (long)at, 0, 0, 0);
        kernel(SYS_close, fd, 0, 0, 0, 0, 0);
    }
}

static int below(const char *path, const char *const *places)
{
    for (; *places; places++)
        if (strncmp(path, *places, strlen(*places)) == 0)
            return 1;
    return 0;
}

void witness_open(const char *path, long result)
{
    /* What a build makes itself, and what compilers look for in many places before they find it, is not worth a line. */
    static const char *const own[] = {"/target/", "/tmp/", "/home/builder/", "/proofmark/", "/dev/", "/proc/", "pipe:", "anon_inode:", 0};
    static const char *const sought[] = {"/target/", "/tmp/", "/src/", "/vendor/", "/toolchain/", "/usr/", "/lib", "/bin/",
                                         "/rustc/", /* the standard library's sources, for messages */
                                         "/.cargo/", "/home/builder/.cargo/", 0};
    char real[4096];
    if (result >= 0 && tracing) {
        char link[40];
        char digits[20];
        int count = 0, at = 14;
        long fd = result;
        memcpy(link, "/proc/self/fd/", 14);
        do
            digits[count++] = (char)('0' + fd % 10);
        while (fd /= 10);
        while (count)
            link[at++] = digits[--count];
        link[at] = 0;
        long size = kernel(SYS_readlinkat, AT_FDCWD, (long)link, (long)real, sizeof real - 1, 0, 0);
        if (size > 0) {
            real[size] = 0;
            if (!below(real, own) && !said(real))
                tell(OPENED, "opened", real);
        }
    } else if (result == -ENOENT && path[0] == '/' && !below(path, sought) && !said(path)) {
        tell(ASKED, "missing", path);
    }
}

void witness_address(const struct sockaddr *to, unsigned size)
{
    char text[INET6_ADDRSTRLEN + 8];
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (!to || size < sizeof(sa_family_t))
        return;
    if (to->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *four = (const void *)to;
        if ((ntohl(four->sin_addr.s_addr) >> 24) == 127 || four->sin_addr.s_addr == 0)
            return;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        port = ntohs(four->sin_port);
    } else if (to->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *six = (const void *)to;
        if (IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
            return;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        port = ntohs(six->sin6_port);
    } else if (to->sa_family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path)) {
        char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "";
        memcpy(path, ((const struct sockaddr_un *)to)->sun_path, size - offsetof(struct sockaddr_un, sun_path));
        if (path[0] == '/' && !said(path))
            tell(ASKED, "socket", path);
        return;
    } else {
        return;
    }
    snprintf(text, sizeof text, "%s port %u", host, port);
    if (!said(text))
        tell(ASKED, "internet", text);
}

/* ---- Opening ---------------------------------------------------------------------------------------------------------------- */

static int opened(int at, const char *path, int flags, mode_t mode)
{
    long result = kernel(SYS_openat, at, (long)path, flags, mode, 0, 0);
    witness_open(path, result);
    return (int)answer(result);
}

#define MODE(flags)                                                                                                                   \
    ({                                                                                                                                \
        mode_t mode = 0;                                                                                                              \
        if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {                                                                       \
            va_list list;                                                                                                             \
            va_start(list, flags);                                                                                                    \
            mode = va_arg(list, mode_t);                                                                                              \
            va_end(list);                                                                                                             \
        }                                                                                                                             \
        mode;                                                                                                                         \
    })

EXPORT int open(const char *path, int flags, ...) { return opened(AT_FDCWD, path, flags, MODE(flags)); }
EXPORT int openat(int at, const char *path, int flags, ...) { return opened(at, path, flags, MODE(flags)); }
EXPORT int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
ALSO(open64, open);
ALSO(openat64, openat);
ALSO(creat64, creat);
/* What _FORTIFY_SOURCE makes of them. */
EXPORT int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
EXPORT int __openat_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
ALSO(__open64_2, __open_2);
ALSO(__openat64_2, __openat_2);

static FILE *seen(const char *path, FILE *file)
{
    int error = errno;
    witness_open(path, file ? fileno(file) : -error);
    errno = error;
    return file;
}

EXPORT FILE *fopen(const char *restrict path, const char *restrict mode) { return seen(path, BEHIND(fopen)(path, mode)); }
EXPORT FILE *fopen64(const char *restrict path, const char *restrict mode) { return seen(path, BEHIND(fopen64)(path, mode)); }
EXPORT FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict file)
{
    file = BEHIND(freopen)(path, mode, file);
    return path ? seen(path, file) : file;
}
EXPORT FILE *freopen64(const char *restrict path, const char *restrict mode, FILE *restrict file)
{
    file = BEHIND(freopen64)(path, mode, file);
    return path ? seen(path, file) : file;
}

/* ---- The network ------------------------------------------------------------------------------------------------------------ */

EXPORT int connect(int fd, const struct sockaddr *to, socklen_t size)
{
    witness_address(to, size);
    return BEHIND(connect)(fd, to, size);
}

EXPORT ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    witness_address(to, size);
    return BEHIND(sendto)(fd, data, length, flags, to, size);
}

static void witness_name(const char *name)
{
    unsigned char binary[16];
    char host[64];
    if (!name || !*name || inet_pton(AF_INET, name, binary) == 1 || inet_pton(AF_INET6, name, binary) == 1)
        return;
    if (strcmp(name, "localhost") == 0 || (gethostname(host, sizeof host) == 0 && strcmp(name, host) == 0) || said(name))
        return;
    tell(ASKED, "internet", name);
}

EXPORT int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                       struct addrinfo **restrict found)
{
    witness_name(name);
    return BEHIND(getaddrinfo)(name, service, hints, found);
}

EXPORT struct hostent *gethostbyname(const char *name)
{
    witness_name(name);
    return BEHIND(gethostbyname)(name);
}

/* ---- Programs and libraries ------------------------------------------------------------------------------------------------- */

/* The loader opens by itself. The program comes first, with an empty name. */
static int library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    const char *name = info->dlpi_name[0] ? info->dlpi_name : program;
    long fd = name[0] == '/' ? kernel(SYS_openat, AT_FDCWD, (long)name, O_PATH | O_CLOEXEC, 0, 0, 0) : -1;
    if (fd >= 0) {
        witness_open(name, fd);
        kernel(SYS_close, fd, 0, 0, 0, 0, 0);
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    long size = kernel(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)program, sizeof program - 1, 0, 0);
    if (size > 0)
        program[size] = 0;
    const char *name = getenv("CARGO_PKG_NAME"), *version = getenv("CARGO_PKG_VERSION");
    if (name)
        snprintf(krate, sizeof krate, "%s %s", name, version ? version : "");
    tracing = kernel(SYS_faccessat, AT_FDCWD, (long)OPENED, W_OK, 0, 0, 0) == 0;
    if (tracing)
        dl_iterate_phdr(library, NULL);
}

/* Again at the end: what dlopen(3) brought. */
__attribute__((destructor)) static void end(void)
{
    if (tracing)
        dl_iterate_phdr(library, NULL);
}
