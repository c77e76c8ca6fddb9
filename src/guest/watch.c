/* SPDX-License-Identifier: Apache-2.0 */
/* Restarts or reloads the units that have an older version than the host. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/program.h"
#include "guest/guest.h"
#include "guest/host.h"
#include "guest/record.h"

#define PAUSE_MAX_MS 10000 /* before another connection */
#define PAUSE_MIN_MS 500
#define JITTER_MS    300   /* before restarts: the host may announce to many guests at once */
#define RETRY_MS     60000 /* a restart that failed */
#define RESTART_MS   10000 /* then the other units have their turn */
#define POLL_MS      50

#define UNIT_TEXT_SIZE 256 /* of unit_show() */
#define INACTIVE       "ActiveState=inactive"

struct announced {
	struct channel_version *versions; /* owned */
	size_t count;
};

static void announced_destroy(struct announced *announced)
{
	free(announced->versions);
}

/* A random part of `ms`, and at least half of it if `is_pause`. */
static void pause_ms(unsigned int ms, bool is_pause)
{
	uint32_t random = 0;
	struct timespec time;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	ms = is_pause ? ms / 2 + random % (ms / 2) : random % ms;
	time = (struct timespec){ms / 1000, (long)(ms % 1000) * 1000000};
	while (nanosleep(&time, &time) < 0 && errno == EINTR) {
	}
}

enum outcome {
	DONE,
	FAILED,
	UNFINISHED, /* systemd continues */
};

static enum outcome systemctl_run(const char *verb, const char *unit)
{
	static const struct timespec time = {.tv_nsec = POLL_MS * 1000000L};
	char *argv[] = {(char *)"systemctl", (char *)verb, (char *)"--", (char *)unit, NULL};
	const struct program program = {.file = argv[0], .argv = argv, .fds = PROGRAM_OUR_FDS};
	_cleanup_error_ struct error ignored = {0};
	int status = -1;
	pid_t pid = 0;

	if (program_start(&program, &pid, &ignored) < 0)
		return FAILED;
	for (int ms = 0; waitpid(pid, &status, WNOHANG) == 0; ms += POLL_MS) {
		if (ms >= RESTART_MS)
			kill(pid, SIGKILL);
		(void)nanosleep(&time, NULL);
	}
	return status == 0 ? DONE : WIFSIGNALED(status) ? UNFINISHED : FAILED;
}

/* Reads what decides how the unit gets new values: lines "PROPERTY=value", or "". */
static void unit_show(const char *unit, char *text, size_t size)
{
	char *argv[] = {(char *)"systemctl",
			(char *)"show",
			(char *)"--property=ActiveState,CanReload,RefreshOnReload,RefuseManualStop",
			(char *)"--",
			(char *)unit,
			NULL};
	const struct program program = {
		.file = argv[0], .argv = argv, .fds = {-1, -1, STDERR_FILENO}};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_fclose_ FILE *output = NULL;
	pid_t pid = 0;

	text[0] = '\0';
	if (program_start_reading(&program, &output, &pid, &ignored) < 0)
		return;
	text[fread(text, 1, size - 1, output)] = '\0';
	(void)program_end_reading(&output, pid, argv[0], &ignored);
}

static bool unit_is_inactive(const char *unit)
{
	char shown[UNIT_TEXT_SIZE];

	unit_show(unit, shown, sizeof(shown));
	return strstr(shown, INACTIVE);
}

/* A unit that does not run is left alone, but for one that has failed: perhaps its last restart
 * did, while the host did not answer, and try-restart would do nothing. Since version 260, systemd
 * loads credentials again for a reload if RefreshOnReload= has "credentials"; otherwise a reload
 * would keep the old ones. */
static bool unit_refresh(const char *unit, const struct report *report)
{
	char shown[UNIT_TEXT_SIZE];
	bool is_reload, is_failed;
	enum outcome outcome;

	unit_show(unit, shown, sizeof(shown));
	/* Perhaps by an unfinished restart. */
	if (strstr(shown, "ActiveState=deactivating"))
		return false;
	if (strstr(shown, INACTIVE))
		return true;
	is_failed = strstr(shown, "ActiveState=failed");
	is_reload = !is_failed && strstr(shown, "CanReload=yes") && strstr(shown, "credentials");
	if (!is_reload && strstr(shown, "RefuseManualStop=yes")) {
		report_message(report, REPORT_WARNING,
			       "%s keeps its old credentials: it has RefuseManualStop=yes", unit);
		return true;
	}
	outcome = systemctl_run(is_failed   ? "restart"
				: is_reload ? "try-reload-or-restart"
					    : "try-restart",
				unit);
	if (outcome == DONE) {
		report_message(report, REPORT_INFO, "%s %s: its credentials changed",
			       is_reload ? "reloaded" : "restarted", unit);
		return true;
	}
	report_message(report, REPORT_WARNING, "%s %s %s in %d s",
		       is_reload ? "reloading" : "restarting", unit,
		       outcome == FAILED ? "failed: trying again"
					 : "is not finished: checking again",
		       RETRY_MS / 1000);
	return false;
}

static int announced_parse(struct span payload, struct announced *announced, struct error *err)
{
	/* Each entry has more bytes than that. */
	const size_t max = payload.size / CHANNEL_VALUE_VERSION_SIZE + 1;
	struct channel_version *versions = calloc(max, sizeof(*versions));
	size_t count = 0;

	if (!versions)
		return error_no_memory(err);
	while (payload.size > 0) {
		if (channel_announce_take(&payload, &versions[count], err) < 0) {
			free(versions);
			return -(int)err->code;
		}
		count++;
	}
	announced_destroy(announced);
	*announced = (struct announced){versions, count};
	return 0;
}

/* Waits for an announcement, or until it is time to try failed restarts again. */
static int announcement_read(int fd, struct announced *announced, struct error *err)
{
	_cleanup_secret_ struct secret payload = {0};
	struct pollfd polled = {.fd = fd, .events = POLLIN};
	uint8_t type = 0;
	int r;

	if (poll(&polled, 1, RETRY_MS) == 0)
		return 0;
	r = host_frame_read(fd, &type, &payload, err);
	if (r < 0)
		return r;
	if (type == CHANNEL_REFUSED && payload.size == 1)
		return error_set(err, VMCRED_FAILED, "%s", channel_refusal_text(payload.data[0]));
	if (type != CHANNEL_ANNOUNCE || payload.size > CHANNEL_ANNOUNCE_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "invalid message: not an announcement");
	return announced_parse(secret_span(&payload), announced, err);
}

/* Watches until the connection ends, which is an error. */
static int session_run(const char *host, bool *was_announced, const struct report *report,
		       struct error *err)
{
	static const struct record_unit_ops ops = {unit_refresh, unit_is_inactive};
	__attribute__((cleanup(announced_destroy))) struct announced announced = {0};
	uint8_t request[CHANNEL_REQUEST_SIZE_MAX];
	const size_t size = channel_request_write(request, NULL);
	uint8_t nonce[CHANNEL_NONCE_SIZE] = {0};
	_cleanup_close_ int fd = host_connect(host, nonce, err);
	int r = fd < 0 ? fd : host_request(fd, nonce, span_of(request, size), err);

	while (r == 0) {
		r = announcement_read(fd, &announced, err);
		if (r < 0)
			break;
		*was_announced = true;
		pause_ms(JITTER_MS, false);
		r = record_restart(announced.versions, announced.count, &ops, report, err);
	}
	return r;
}

int guest_watch(const char *host, const struct report *report)
{
	unsigned int wait = PAUSE_MIN_MS;
	bool is_reported = false;

	for (;;) {
		_cleanup_error_ struct error err = {0};
		_cleanup_free_ char *line = NULL;
		bool was_announced = false;

		(void)session_run(host, &was_announced, report, &err);
		if (was_announced) {
			wait = PAUSE_MIN_MS;
			is_reported = false;
		}
		line = error_line(&err);
		if (!is_reported)
			report_message(report, REPORT_WARNING, "watching: %s: connecting again",
				       line ? line : "out of memory");
		is_reported = true;
		pause_ms(wait, true);
		wait = 2 * wait < PAUSE_MAX_MS ? 2 * wait : PAUSE_MAX_MS;
	}
}
