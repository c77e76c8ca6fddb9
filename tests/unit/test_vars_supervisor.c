/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vars/script/supervisor.h"

#define FREE_MAX 10

/* In a child: uses all descriptors below `first_free`, and closes the others but the pipes. */
static _Noreturn void supervisor_start(struct supervisor *supervisor, int first_free, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	for (int fd = 0; fd < first_free; fd++) {
		if (fd != null && dup2(null, fd) < 0)
			_exit(EXIT_FAILURE);
	}
	for (int fd = first_free; fd < FREE_MAX; fd++)
		close(fd);
	supervisor_run(supervisor, parent);
}

static void script_run_with(const struct script_process *process, int first_free)
{
	_cleanup_script_command_ struct script_command command = {0};
	_cleanup_error_ struct error err = {0};
	struct supervisor_report report = {0};
	struct supervisor supervisor = {
		.process = process, .command = &command, .namespaces = {.mount = -1}};
	char text[8] = "";
	int output[2], reports[2];
	pid_t parent = getpid(), pid;

	assert_success(script_command_make(&command, process, NULL, &err));
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
	supervisor.output = fcntl(output[1], F_DUPFD_CLOEXEC, FREE_MAX);
	supervisor.reports = fcntl(reports[1], F_DUPFD_CLOEXEC, FREE_MAX);
	pid = fork();
	if (pid == 0)
		supervisor_start(&supervisor, first_free, parent);
	close(supervisor.output);
	close(supervisor.reports);
	close(output[1]);
	close(reports[1]);
	assert_int_equal(read(reports[0], &report, sizeof(report)), sizeof(report));
	assert_string_equal(report.failed, "");
	assert_int_equal(report.status, 0);
	assert_int_equal(read(output[0], text, sizeof(text)), strlen("made\n"));
	assert_string_equal(text, "made\n");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(output[0]);
	close(reports[0]);
}

static void script_starts_whichever_descriptors_are_free(void **state)
{
	static const struct script_process process = {
		.sandbox = SANDBOX_NONE, .script = "echo made", .directory = "/tmp", .mount = -1};

	(void)state;
	for (int first_free = 0; first_free < FREE_MAX; first_free++)
		script_run_with(&process, first_free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(script_starts_whichever_descriptors_are_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
