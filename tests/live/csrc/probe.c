/*
 * The process of a test container: prints what it was given as one JSON object.
 *
 *   probe [--exit N | --sleep] [TEXT ...]
 *
 * Everything that a system call can tell is asked from the kernel directly, so
 * that the answer does not depend on /proc; link texts, mountinfo, cgroup,
 * namespaces and time offsets need /proc and are empty without it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define HIGHEST_FD 4096
#define KEY_SPEC_SESSION_KEYRING (-3)
#define KEYCTL_GET_KEYRING_ID 0
#define KEYCTL_DESCRIBE 6
#define IOPRIO_WHO_PROCESS 1

extern char **environ;

static void quoted(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void key(const char *name)
{
    printf(",\n\"%s\": ", name);
}

static void text_of(const char *name, const char *value)
{
    key(name);
    quoted(value);
}

static void number(const char *name, long long value)
{
    key(name);
    printf("%lld", value);
}

static void list_of(const char *name, char **items)
{
    key(name);
    putchar('[');
    for (char **item = items; *item; item++) {
        if (item != items)
            printf(", ");
        quoted(*item);
    }
    putchar(']');
}

static void file_text(const char *name, const char *path)
{
    static char buffer[1 << 18];
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && length < sizeof buffer - 1) {
        ssize_t got = read(fd, buffer + length, sizeof buffer - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    buffer[length] = 0;
    text_of(name, buffer);
}

static void link_text(const char *path, char *target, size_t size)
{
    ssize_t length = readlink(path, target, size - 1);
    target[length < 0 ? 0 : length] = 0;
}

static void fds(void)
{
    int first = 1;
    key("fds");
    putchar('[');
    for (int fd = 0; fd < HIGHEST_FD; fd++) {
        char path[64], target[4200];
        struct stat st;
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || fstat(fd, &st) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        link_text(path, target, sizeof target);
        printf("%s\n {\"fd\": %d, \"cloexec\": %d, \"status\": %d, \"dev\": %llu, \"ino\": %llu, \"mode\": %u, "
               "\"uid\": %u, \"rdev\": \"%u:%u\", \"tty\": %d, \"link\": ",
               first ? "" : ",", fd, flags & FD_CLOEXEC, fcntl(fd, F_GETFL), (unsigned long long)st.st_dev,
               (unsigned long long)st.st_ino, st.st_mode, st.st_uid, major(st.st_rdev), minor(st.st_rdev), isatty(fd));
        quoted(target);
        putchar('}');
        first = 0;
    }
    putchar(']');
}

static void identity(void)
{
    uid_t uid[3];
    gid_t gid[3], groups[65536];
    int count = getgroups(65536, groups);
    getresuid(&uid[0], &uid[1], &uid[2]);
    getresgid(&gid[0], &gid[1], &gid[2]);
    key("uids");
    printf("[%u, %u, %u]", uid[0], uid[1], uid[2]);
    key("gids");
    printf("[%u, %u, %u]", gid[0], gid[1], gid[2]);
    key("groups");
    putchar('[');
    for (int i = 0; i < count; i++)
        printf("%s%u", i ? ", " : "", groups[i]);
    putchar(']');
    number("pid", getpid());
    number("ppid", getppid());
    number("sid", getsid(0));
    number("pgid", getpgrp());
}

static void capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    unsigned long long bounding = 0, ambient = 0;
    syscall(SYS_capget, &head, data);
    for (int cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            bounding |= 1ULL << cap;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
            ambient |= 1ULL << cap;
    }
#define WORD(field) ((unsigned long long)data[1].field << 32 | data[0].field)
    key("caps");
    printf("{\"effective\": %llu, \"permitted\": %llu, \"inheritable\": %llu, \"bounding\": %llu, \"ambient\": %llu}",
           WORD(effective), WORD(permitted), WORD(inheritable), bounding, ambient);
    number("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    number("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    number("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    int death_signal = 0;
    prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0);
    number("pdeathsig", death_signal);
}

static void signals(void)
{
    unsigned long long blocked = 0, ignored = 0;
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    for (int sig = 1; sig <= 64; sig++) {
        /* The raw structure: the C library hides 32 and 33. */
        struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } action = {0};
        if (sigismember(&set, sig) == 1)
            blocked |= 1ULL << (sig - 1);
        if (syscall(SYS_rt_sigaction, sig, NULL, &action, 8) == 0 && action.handler == (void *)SIG_IGN)
            ignored |= 1ULL << (sig - 1);
    }
    number("blocked", (long long)blocked);
    number("ignored", (long long)ignored);
}

static void limits(void)
{
    static const char *const names[] = {"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE",
                                        "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
    key("rlimits");
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        getrlimit(i, &limit);
        printf("%s\"RLIMIT_%s\": [%llu, %llu]", i ? ", " : "{", names[i], (unsigned long long)limit.rlim_cur,
               (unsigned long long)limit.rlim_max);
    }
    putchar('}');
}

static void scheduling(void)
{
    struct { unsigned size, policy; unsigned long long flags; int nice; unsigned priority;
             unsigned long long runtime, deadline, period; } attr = {0};
    cpu_set_t cpus;
    syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0);
    number("policy", attr.policy);
    number("nice", attr.nice);
    number("priority", attr.priority);
    number("sched_flags", (long long)attr.flags);
    number("ioprio", syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);
    number("cpus", CPU_COUNT(&cpus));
    number("personality", personality(0xffffffff));
}

static void keyring(void)
{
    char description[512] = "";
    long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    if (id > 0)
        syscall(SYS_keyctl, KEYCTL_DESCRIBE, id, description, sizeof description - 1);
    number("keyring", id);
    text_of("keyring_text", description);
}

static void host(void)
{
    static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    struct utsname name;
    struct timespec now;
    char path[64], target[256];
    uname(&name);
    text_of("hostname", name.nodename);
    text_of("domainname", name.domainname);
    text_of("machine", name.machine);
    key("ns");
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        link_text(path, target, sizeof target);
        printf("%s\"%s\": ", i ? ", " : "{", kinds[i]);
        quoted(target);
    }
    putchar('}');
    clock_gettime(CLOCK_MONOTONIC, &now);
    number("monotonic", now.tv_sec);
    clock_gettime(CLOCK_BOOTTIME, &now);
    number("boottime", now.tv_sec);
    file_text("timens_offsets", "/proc/self/timens_offsets");
    file_text("cgroup", "/proc/self/cgroup");
    file_text("mountinfo", "/proc/self/mountinfo");
    file_text("oom_score_adj", "/proc/self/oom_score_adj");
    file_text("status", "/proc/self/status");
}

int main(int argc, char **argv)
{
    char buffer[4200];
    struct winsize size = {0};
    mode_t mask = umask(0);
    umask(mask);
    printf("{\"probe\": 1");
    fds();
    identity();
    capabilities();
    signals();
    limits();
    scheduling();
    keyring();
    host();
    list_of("args", argv);
    list_of("env", environ);
    number("umask", mask);
    prctl(PR_GET_NAME, buffer);
    text_of("comm", buffer);
    link_text("/proc/self/exe", buffer, sizeof buffer);
    text_of("exe", buffer);
    /* The raw call: the library's getcwd hides "(unreachable)". */
    buffer[0] = 0;
    syscall(SYS_getcwd, buffer, sizeof buffer);
    text_of("cwd", buffer);
    ioctl(0, TIOCGWINSZ, &size);
    key("winsize");
    printf("[%d, %d]}\n", size.ws_row, size.ws_col);
    fflush(stdout);
    if (argc > 2 && strcmp(argv[1], "--exit") == 0)
        return atoi(argv[2]);
    if (argc > 1 && strcmp(argv[1], "--sleep") == 0)
        for (;;)
            pause();
    return 0;
}
