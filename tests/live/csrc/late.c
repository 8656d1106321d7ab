/*
 * Second half of interp: once the runtime's program runs nowhere any more, tries
 * to open it for writing again, and to write only if it is a memfd.
 *
 *   late /proc/self/fd/N
 *
 * Prints "late: refused ERRNO", "late: memfd refused ERRNO", "late: memfd WRITTEN"
 * or "late: OPENED TEXT".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char target[4200] = "";
    if (argc < 2)
        return 2;
    usleep(300000);
    ssize_t length = readlink(argv[1], target, sizeof target - 1);
    target[length < 0 ? 0 : length] = 0;
    int fd = open(argv[1], O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        printf("late: refused %s (%s)\n", strerror(errno), target);
    else if (strncmp(target, "/memfd:", 7) != 0)
        printf("late: OPENED %s\n", target);
    else if (write(fd, "", 1) == 1)
        printf("late: memfd WRITTEN\n");
    else
        printf("late: memfd refused %s\n", strerror(errno));
    return 0;
}
