/* A library to be preloaded: it refuses system calls as sandboxes and file systems do.

   REFUSED holds what is refused, such as "linkat rename": names of functions of the C library;
   "tmpfile" stands for open with O_TMPFILE, "create" for open with O_CREAT, "proc" for all that is
   under /proc, "backwards" for positions before the one that a file is at, "memory" for all that
   gives 64 KiB or more of it. REFUSED_ERROR is the error number; paths are concerned that begin with
   REFUSED_UNDER, or are it, if it ends with $. With REFUSED_AT only the n-th such call of a process
   is refused, counted from 1, and a file is made at REFUSED_TOLD that tells it.

   CALLS_LOG is a file that gets a line for each call that writes, names or flushes a file: the call,
   the file's inode or 0, and the name that it gets or the folder that is flushed. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static int calls, has_refused;

/* For a program with many turns: counts from 1 again, and tells whether anything was refused. */
int restart_refusals(void) {
    int was = has_refused;
    calls = has_refused = 0;
    return was;
}

static int is_turn(void) {
    const char *at = getenv("REFUSED_AT"), *told = getenv("REFUSED_TOLD");
    if (!at) return 1;
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) != atoi(at)) return 0;
    has_refused = 1;
    if (told) syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, told, O_CREAT | O_WRONLY, 0600));
    return 1;
}

static int refuses(const char *name) {
    const char *refused = getenv("REFUSED"), *found, *number;
    size_t length = strlen(name);
    for (found = refused; found && (found = strstr(found, name)); found += length)
        if ((found == refused || found[-1] == ' ') && (!found[length] || found[length] == ' ')) {
            if (!is_turn()) return 0;
            number = getenv("REFUSED_ERROR");
            errno = number ? atoi(number) : EPERM;
            return 1;
        }
    return 0;
}

static int is_under(const char *path) {
    const char *begin = getenv("REFUSED_UNDER");
    size_t length = begin ? strlen(begin) : 0;
    if (!path || !length) return path != NULL;
    if (begin[length - 1] == '$') return !strncmp(path, begin, length - 1) && !path[length - 1];
    return !strncmp(path, begin, length);
}

static int is_open_under(int descriptor) {
    char link[64], path[PATH_MAX + 1];
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, PATH_MAX);
    if (length < 0) return 1;
    path[length] = 0;
    return is_under(path);
}

static int is_proc(const char *path) {
    return path && !strncmp(path, "/proc", 5) && refuses("proc") && (errno = ENOENT);
}

static void note_call(const char *name, int descriptor, const char *path) {
    const char *log = getenv("CALLS_LOG");
    char line[PATH_MAX + 64];
    struct stat info = {0};
    int file;
    if (!log || strstr("read pread64 flock fstatvfs64 getxattr", name) || (descriptor >= 0 && fstat(descriptor, &info))) return;
    snprintf(line, sizeof line, "%s %llu %s\n", name, (unsigned long long)info.st_ino, path);
    file = syscall(SYS_openat, AT_FDCWD, log, O_CREAT | O_WRONLY | O_APPEND, 0600);
    syscall(SYS_write, file, line, strlen(line));
    syscall(SYS_close, file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define BY_PATH(type, name, parameters, arguments, path) \
    type name parameters { \
        if (is_under(path) && refuses(#name)) return -1; \
        note_call(#name, -1, path); \
        return REAL(name) arguments; \
    }
#define BY_DESCRIPTOR(type, name, parameters, arguments, descriptor) \
    type name parameters { \
        if (is_open_under(descriptor) && refuses(#name)) return -1; \
        note_call(#name, descriptor, "-"); \
        return REAL(name) arguments; \
    }

int linkat(int a, const char *b, int c, const char *d, int e) {
    if (is_proc(b) || (is_under(d) && refuses("linkat"))) return -1;
    note_call("linkat", -1, d);
    return REAL(linkat)(a, b, c, d, e);
}
BY_PATH(int, link, (const char *a, const char *b), (a, b), b)
BY_PATH(int, rename, (const char *a, const char *b), (a, b), b)
BY_PATH(int, unlink, (const char *a), (a), a)
BY_PATH(int, truncate64, (const char *a, off64_t b), (a, b), a)
BY_PATH(int, chmod, (const char *a, mode_t b), (a, b), a)
BY_PATH(ssize_t, getxattr, (const char *a, const char *b, void *c, size_t d), (a, b, c, d), a)
BY_PATH(int, utimensat, (int a, const char *b, const struct timespec c[2], int d), (a, b, c, d), b)
BY_DESCRIPTOR(int, fchmod, (int a, mode_t b), (a, b), a)
BY_DESCRIPTOR(int, fchown, (int a, uid_t b, gid_t c), (a, b, c), a)
BY_DESCRIPTOR(int, ftruncate, (int a, off_t b), (a, b), a)
BY_DESCRIPTOR(int, ftruncate64, (int a, off64_t b), (a, b), a)
BY_DESCRIPTOR(int, fstatvfs64, (int a, struct statvfs64 *b), (a, b), a)
BY_DESCRIPTOR(int, fsync, (int a), (a), a)
BY_DESCRIPTOR(int, flock, (int a, int b), (a, b), a)
BY_DESCRIPTOR(ssize_t, copy_file_range,
              (int a, off64_t *b, int c, off64_t *d, size_t e, unsigned f), (a, b, c, d, e, f), c)

/* What opens files below a folder's descriptor, and what reads and writes them. */
#define BELOW(type, name, parameters, arguments, folder, path) \
    type name parameters { \
        int concerned = path[0] == '/' || folder == AT_FDCWD ? is_under(path) : is_open_under(folder); \
        if (concerned && refuses(#name)) return -1; \
        note_call(#name, -1, path); \
        return REAL(name) arguments; \
    }
BELOW(int, mkdirat, (int a, const char *b, mode_t c), (a, b, c), a, b)
BELOW(int, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d), c, d)
BELOW(int, unlinkat, (int a, const char *b, int c), (a, b, c), a, b)
BELOW(int, symlinkat, (const char *a, int b, const char *c), (a, b, c), b, c)
BY_PATH(int, mkdir, (const char *a, mode_t b), (a, b), a)
BY_PATH(int, rmdir, (const char *a), (a), a)
BY_PATH(int, symlink, (const char *a, const char *b), (a, b), b)
BY_DESCRIPTOR(ssize_t, read, (int a, void *b, size_t c), (a, b, c), a)
BY_DESCRIPTOR(ssize_t, pread64, (int a, void *b, size_t c, off64_t d), (a, b, c, d), a)
BY_DESCRIPTOR(ssize_t, write, (int a, const void *b, size_t c), (a, b, c), a)
BY_DESCRIPTOR(ssize_t, pwrite64, (int a, const void *b, size_t c, off64_t d), (a, b, c, d), a)

pid_t fork(void) { return refuses("fork") ? -1 : REAL(fork)(); }
int posix_spawn(pid_t *a, const char *b, const posix_spawn_file_actions_t *c,
                const posix_spawnattr_t *d, char *const e[], char *const f[]) {
    return refuses("posix_spawn") ? errno : REAL(posix_spawn)(a, b, c, d, e, f);
}
int socketpair(int a, int b, int c, int d[2]) {
    return refuses("socketpair") ? -1 : REAL(socketpair)(a, b, c, d);
}
int pipe2(int ends[2], int flags) { return refuses("pipe2") ? -1 : REAL(pipe2)(ends, flags); }
int pthread_create(pthread_t *a, const pthread_attr_t *b, void *(*c)(void *), void *d) {
    return refuses("pthread_create") ? EAGAIN : REAL(pthread_create)(a, b, c, d);
}

static int is_refused(const char *path, int flags) {
    if (is_proc(path)) return 1;
    if (!is_under(path)) return 0;
    return ((flags & O_TMPFILE) == O_TMPFILE && refuses("tmpfile")) ||
           ((flags & O_CREAT) && refuses("create")) || refuses("open");
}
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        return is_refused(path, flags) ? -1 : REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

int openat64(int folder, const char *path, int flags, ...) {
    va_list rest;
    mode_t mode = 0;
    int concerned = path[0] == '/' || folder == AT_FDCWD ? is_under(path) : is_open_under(folder);
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (concerned && (((flags & O_CREAT) && refuses("create")) || refuses("open"))) return -1;
    return REAL(openat64)(folder, path, flags, mode);
}

off64_t lseek64(int file, off64_t offset, int whence) {
    off64_t at = REAL(lseek64)(file, 0, SEEK_CUR);
    if (whence == SEEK_SET && offset < at && (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY &&
        is_open_under(file) && refuses("backwards"))
        return -1;
    return REAL(lseek64)(file, offset, whence);
}

int stat(const char *path, struct stat *info) { return is_proc(path) ? -1 : REAL(stat)(path, info); }
int stat64(const char *path, struct stat64 *info) {
    return is_proc(path) ? -1 : REAL(stat64)(path, info);
}
DIR *opendir(const char *path) { return is_proc(path) ? NULL : REAL(opendir)(path); }

static int is_short(size_t size) { return size >= 64 << 10 && refuses("memory"); }
static int cannot_map(size_t size, int flags) {
    return (flags & MAP_SHARED && refuses("mmap")) || (flags & MAP_ANONYMOUS && is_short(size));
}
void *mmap(void *a, size_t b, int c, int flags, int e, off_t f) {
    return cannot_map(b, flags) ? MAP_FAILED : REAL(mmap)(a, b, c, flags, e, f);
}
void *mmap64(void *a, size_t b, int c, int flags, int e, off64_t f) {
    return cannot_map(b, flags) ? MAP_FAILED : REAL(mmap64)(a, b, c, flags, e, f);
}
int memfd_create(const char *name, unsigned flags) {
    return refuses("memfd_create") ? -1 : REAL(memfd_create)(name, flags);
}

#ifdef __GLIBC__ /* dlsym may ask for memory itself */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
/* libdeflate's package ends the process where it gets none (codecs/libdeflate.py says more). */
static int is_of_libdeflate(void *caller) {
    Dl_info found;
    return dladdr(caller, &found) && strstr(found.dli_fname, "_deflate");
}
void *malloc(size_t size) {
    if (size >= 64 << 10 && !is_of_libdeflate(__builtin_return_address(0)) && is_short(size))
        return NULL;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    return is_short(count * size) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) { return is_short(size) ? NULL : __libc_realloc(old, size); }
void *aligned_alloc(size_t to, size_t size) {
    return is_short(size) ? NULL : __libc_memalign(to, size);
}
int posix_memalign(void **made, size_t to, size_t size) {
    *made = aligned_alloc(to, size);
    return *made ? 0 : ENOMEM;
}
#endif
