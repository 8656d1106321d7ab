/*
 * Changes a name under the runtime's hands, as a hostile neighbour would.
 *
 *   swapper exchange A B     exchanges two names for ever
 *   swapper recreate A       removes and creates the file A for ever
 *   swapper relink A TARGET  replaces the directory A by a link to TARGET and back, for ever
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    cpu_set_t last;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (argc < 3)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CPU_ZERO(&last);
    CPU_SET(cpus - 1, &last);
    sched_setaffinity(0, sizeof last, &last);
    for (;;) {
        if (strcmp(argv[1], "exchange") == 0 && argc > 3) {
            if (renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE) < 0) {
                perror("renameat2");
                return 1;
            }
        } else if (strcmp(argv[1], "recreate") == 0) {
            unlink(argv[2]);
            close(open(argv[2], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
        } else if (strcmp(argv[1], "relink") == 0 && argc > 3) {
            rmdir(argv[2]);
            if (symlink(argv[3], argv[2]) == 0)
                unlink(argv[2]);
            mkdir(argv[2], 0755);
        } else {
            return 2;
        }
    }
}
