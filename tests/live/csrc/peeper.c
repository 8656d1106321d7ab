/*
 * A hostile inhabitant: looks at every other process of its /proc as fast as it
 * can, and prints each object that it gets hold of, one line each:
 *
 *   COMM HOW NUMBER DEV INO MODE LINK
 *
 * HOW is cwd, root, exe, fd (by /proc), getfd (by pidfd_getfd), mem, ptrace.
 * COMM is read after the object was got, so it was got no later than that.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char comm[64];

static void name_of(int pid)
{
    char path[64];
    int fd;
    ssize_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    fd = open(path, O_RDONLY);
    if (fd >= 0) {
        n = read(fd, comm, sizeof comm - 1);
        close(fd);
    }
    comm[n > 0 ? n - 1 : 0] = 0;
}

static void report(int pid, const char *how, int number, int fd)
{
    char path[64], link[4096];
    struct stat st;
    ssize_t n;
    name_of(pid);
    if (fstat(fd, &st) < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink(path, link, sizeof link - 1);
    link[n < 0 ? 0 : n] = 0;
    printf("%s %s %d %llu %llu %o %s\n", comm, how, number, (unsigned long long)st.st_dev,
           (unsigned long long)st.st_ino, st.st_mode, link);
}

static void look(int pid)
{
    static const char *const names[] = {"cwd", "root", "exe"};
    char path[320];
    int fd, pidfd;
    DIR *list;
    struct dirent *entry;

    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
        fd = open(path, O_PATH);
        if (fd >= 0) {
            report(pid, names[i], -1, fd);
            close(fd);
        }
    }
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    list = opendir(path);
    while (list && (entry = readdir(list))) {
        snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, entry->d_name);
        fd = entry->d_name[0] == '.' ? -1 : open(path, O_PATH);
        if (fd >= 0) {
            report(pid, "fd", atoi(entry->d_name), fd);
            close(fd);
        }
    }
    if (list)
        closedir(list);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    for (int i = 0; i < 24 && pidfd >= 0; i++) {
        fd = (int)syscall(SYS_pidfd_getfd, pidfd, i, 0);
        if (fd >= 0) {
            report(pid, "getfd", i, fd);
            close(fd);
        }
    }
    if (pidfd >= 0)
        close(pidfd);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    fd = open(path, O_RDWR);
    if (fd >= 0) {
        report(pid, "mem", -1, fd);
        close(fd);
    }
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        name_of(pid);
        printf("%s ptrace -1 0 0 0 -\n", comm);
        ptrace(PTRACE_INTERRUPT, pid, 0, 0);
        waitpid(pid, NULL, __WALL);
        ptrace(PTRACE_DETACH, pid, 0, 0);
    }
}

int main(void)
{
    int self = getpid();
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        DIR *list = opendir("/proc");
        struct dirent *entry;
        if (!list)
            return 1;
        while ((entry = readdir(list))) {
            int pid = atoi(entry->d_name);
            if (pid > 1 && pid != self)
                look(pid);
        }
        closedir(list);
        fflush(stdout);
    }
}
