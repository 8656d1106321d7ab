/* A program that keeps its init from running until its time is over, and ends well then. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words)
{
	struct sched_param none = { 0 };
	struct timespec begin, now;
	pid_t spinning[8];
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (count != 2 || sched_setscheduler(1, SCHED_IDLE, &none) || sched_setaffinity(1, sizeof(one), &one) ||
	    sched_setaffinity(0, sizeof(one), &one))
		return 2;
	for (int i = 0; i < 8; i++) {
		spinning[i] = fork();
		if (spinning[i] == 0)
			for (;;)
				;
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < atoi(words[1]));
	for (int i = 0; i < 8; i++)
		kill(spinning[i], SIGKILL);
	return 0;
}
