/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vars/script/keeper.h"

#define FREE_MAX 10

/* In a child: all numbers below `first_free` are taken, and none from there on but the pipes'. */
static _Noreturn void keeper_start(struct starting *starting, int first_free, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	for (int fd = 0; fd < first_free; fd++) {
		if (fd != null && dup2(null, fd) < 0)
			_exit(EXIT_FAILURE);
	}
	for (int fd = first_free; fd < FREE_MAX; fd++)
		close(fd);
	keeper_run(starting, parent);
}

static void script_run_with(const struct sandbox *sandbox, int first_free)
{
	_cleanup_shell_ struct shell shell = {0};
	_cleanup_error_ struct error err = {0};
	struct report_message message = {0};
	struct starting starting = {
		.sandbox = sandbox, .shell = &shell, .isolation = {.mount = -1}};
	char text[8] = "";
	int output[2], reports[2];
	pid_t parent = getpid(), pid;

	assert_success(shell_prepare(&shell, sandbox, sandbox->folder, &err));
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
	starting.output = fcntl(output[1], F_DUPFD_CLOEXEC, FREE_MAX);
	starting.reports = fcntl(reports[1], F_DUPFD_CLOEXEC, FREE_MAX);
	pid = fork();
	if (pid == 0)
		keeper_start(&starting, first_free, parent);
	close(starting.output);
	close(starting.reports);
	close(output[1]);
	close(reports[1]);
	assert_int_equal(read(reports[0], &message, sizeof(message)), sizeof(message));
	assert_string_equal(message.step, "");
	assert_int_equal(message.status, 0);
	assert_int_equal(read(output[0], text, sizeof(text)), strlen("made\n"));
	assert_string_equal(text, "made\n");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(output[0]);
	close(reports[0]);
}

static void a_script_starts_whichever_descriptors_are_free(void **state)
{
	static const struct sandbox sandbox = {
		.kind = SANDBOX_NONE, .script = "echo made", .folder = "/tmp", .mount = -1};

	(void)state;
	for (int first_free = 0; first_free < FREE_MAX; first_free++)
		script_run_with(&sandbox, first_free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_starts_whichever_descriptors_are_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
