/*
 * Makes the system call getpgid, which the tests' profile refuses, in many ways.
 *
 *   asker arguments|numbers|names|forks|threads|killed|signals N
 *
 * The exit status is 0.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void ask(long argument)
{
    syscall(SYS_getpgid, argument);
}

static void *thread(void *none)
{
    for (int i = 0; i < 20; i++)
        ask(i);
    return none;
}

static void on_alarm(int number)
{
    (void)number;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 1;

    if (strcmp(what, "arguments") == 0) {
        for (long i = 0; i < count; i++)
            ask(i << 20 | i);
    } else if (strcmp(what, "numbers") == 0) {
        for (long i = 0; i < count; i++)
            syscall(100000 + i);
    } else if (strcmp(what, "names") == 0) {
        for (long i = 0; i < count; i++) {
            char name[32]; /* the kernel takes the first 15 */

            snprintf(name, sizeof(name), "n%ld", i);
            prctl(PR_SET_NAME, name);
            ask(0);
        }
    } else if (strcmp(what, "forks") == 0) {
        for (long i = 0; i < count; i++)
            if (fork() == 0) {
                ask(i);
                _exit(0);
            }
        while (wait(NULL) > 0)
            ;
    } else if (strcmp(what, "threads") == 0) {
        pthread_t one[8];

        for (int i = 0; i < 8; i++)
            if (pthread_create(&one[i], NULL, thread, NULL))
                return 1;
        for (int i = 0; i < 8; i++)
            pthread_join(one[i], NULL);
    } else if (strcmp(what, "killed") == 0) {
        for (long i = 0; i < count; i++) {
            pid_t child = fork();

            if (child == 0)
                for (;;)
                    ask(i);
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
        ask(0);
    } else if (strcmp(what, "signals") == 0) {
        struct itimerval often = { { 0, 200 }, { 0, 200 } };

        signal(SIGALRM, on_alarm);
        setitimer(ITIMER_REAL, &often, NULL);
        for (long i = 0; i < count; i++)
            ask(i);
    } else {
        return 2;
    }
    return 0;
}
