/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/digest/sha256.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "delivery/delivery.h"

#define BEGINNING     "vmcred-delivery-1 "
#define FILE_SIZE_MAX 65536
#define ID_BYTES      16 /* of HMAC-SHA256 */

const char *delivery_state_name(enum delivery_state state)
{
	static const char *const names[DELIVERY_STATES] = {"sent", "delivered", "rejected"};

	return names[state];
}

void delivery_id_write(struct span key, char id[DELIVERY_ID_SIZE + 1])
{
	static const char label[] = "delivery"; /* with its NUL */
	const struct span part = span_of(label, sizeof(label));
	uint8_t mac[SHA256_SIZE];

	hmac_sha256(key, &part, 1, mac);
	base64_encode(span_of(mac, ID_BYTES), BASE64_UNPADDED, id);
	id[DELIVERY_ID_SIZE] = '\0';
}

static int finding_add(struct delivery_report *report, const struct channel_finding *finding,
		       struct error *err)
{
	int r = array_extend(&report->findings, report->count, sizeof(*finding), err);

	if (r == 0)
		report->findings[report->count++] = *finding;
	return r;
}

int delivery_report_parse(struct span payload, struct delivery_report *report, struct error *err)
{
	struct channel_finding finding;
	int r = 0;

	while (r == 0 && payload.size > 0) {
		r = channel_finding_take(&payload, &finding, err);
		if (r == 0)
			r = finding_add(report, &finding, err);
	}
	return r;
}

/* Opens the directory, and creates it with `create`. */
static int directory_open(const char *runtime, bool create, struct error *err)
{
	_cleanup_close_ int dirfd = dir_open(AT_FDCWD, runtime, err), fd = -1;

	if (dirfd < 0)
		return dirfd;
	if (!create)
		return dir_open(dirfd, DELIVERY_DIRECTORY, err);
	fd = dir_make(dirfd, DELIVERY_DIRECTORY, 0755, err);
	/* The service has a umask. */
	if (fd >= 0 && fchmod(fd, 0755) < 0)
		return error_set_errno(err, errno, "creating %s/" DELIVERY_DIRECTORY, runtime);
	return fd_release(&fd);
}

int delivery_report_write(const char *runtime, const char *unit,
			  const struct delivery_report *report, struct error *err)
{
	_cleanup_strings_ struct strings lines = {0};
	_cleanup_close_ int dirfd = -1;
	_cleanup_free_ char *text = NULL;
	int r = strings_add_format(&lines, err, BEGINNING "%s", report->id);

	for (size_t i = 0; r == 0 && i < report->count; i++)
		r = strings_add_format(&lines, err, "%s %s",
				       channel_problem_name(report->findings[i].problem),
				       report->findings[i].credential);
	if (r == 0)
		r = strings_add(&lines, "", err);
	if (r < 0)
		return r;
	text = strings_join(&lines, "\n");
	if (!text)
		return error_no_memory(err);
	dirfd = directory_open(runtime, true, err);
	return dirfd < 0 ? dirfd
			 : file_replace(dirfd, unit, span_of_text(text),
					S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH, err);
}

/* Reads "PROBLEM NAME". */
static int line_read(struct span line, struct delivery_report *report, struct error *err)
{
	struct channel_finding finding = {0};

	for (size_t i = 0; i < CHANNEL_PROBLEMS; i++) {
		const struct span word =
			span_of_text(channel_problem_name((enum channel_problem)i));
		struct span name;

		if (!span_starts_with(line, word) || line.size == word.size ||
		    line.data[word.size] != ' ')
			continue;
		name = span_skip(line, word.size + 1);
		if (name.size > CREDENTIAL_NAME_SIZE_MAX)
			break;
		finding.problem = (enum channel_problem)i;
		memcpy(finding.credential, name.data, name.size);
		return finding_add(report, &finding, err);
	}
	return -VMCRED_INTEGRITY;
}

static int text_read(struct span text, struct delivery_report *report, struct error *err)
{
	const struct span beginning = span_of_text(BEGINNING);
	struct span line;
	int r = 0;

	if (!span_take_line(&text, &line) || !span_starts_with(line, beginning) ||
	    line.size != beginning.size + DELIVERY_ID_SIZE)
		return -VMCRED_INTEGRITY;
	memcpy(report->id, line.data + beginning.size, DELIVERY_ID_SIZE);
	while (r == 0 && span_take_line(&text, &line))
		r = line_read(line, report, err);
	return r;
}

void delivery_report_forget(const char *runtime, const char *unit, const char *id)
{
	_cleanup_delivery_report_ struct delivery_report report = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int dirfd = directory_open(runtime, false, &ignored);
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (dirfd < 0)
		return;
	if (file_read_text(dirfd, unit, FILE_SIZE_MAX, &text, &size, &ignored) < 0 ||
	    text_read(span_of(text, size), &report, &ignored) < 0 || strcmp(report.id, id) != 0)
		(void)unlinkat(dirfd, unit, 0);
}

int delivery_report_read(const char *root, const char *unit, struct delivery_report *report,
			 struct error *err)
{
	_cleanup_free_ char *directory = path_join(root ? root : "/", &DELIVERY_PATH[1]);
	_cleanup_free_ char *path = directory ? path_join(directory, unit) : NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (!path)
		return error_no_memory(err);
	r = file_read_text(AT_FDCWD, path, FILE_SIZE_MAX, &text, &size, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = text_read(span_of(text, size), report, err);
	if (r < 0 && !err->text)
		error_set(err, VMCRED_INTEGRITY, "%s is damaged", path);
	if (r < 0)
		delivery_report_release(report);
	return r;
}

enum delivery_state delivery_report_state(const struct delivery_report *report,
					  const char *credential)
{
	enum delivery_state others = DELIVERY_DELIVERED, all = DELIVERY_DELIVERED;

	if (report->id[0] == '\0')
		return DELIVERY_SENT;
	for (size_t i = 0; i < report->count; i++) {
		const struct channel_finding *finding = &report->findings[i];

		/* A report starts with what is missing or wrong. */
		if (finding->problem == CHANNEL_UNEXPECTED ||
		    (finding->problem == CHANNEL_MORE && all == DELIVERY_DELIVERED))
			continue;
		if (credential && strcmp(finding->credential, credential) == 0)
			return DELIVERY_REJECTED;
		all = DELIVERY_REJECTED;
		/* Then the guest does not know, or did not say, what else is wrong. */
		if (finding->problem == CHANNEL_MORE ||
		    strcmp(finding->credential, DELIVERY_MANIFEST) == 0)
			others = DELIVERY_SENT;
	}
	return credential ? others : all;
}

/* Adds the names with one problem to the text, which is freed without memory. */
static char *problem_add(char *text, const struct delivery_report *report,
			 enum channel_problem problem)
{
	size_t count = 0;

	for (size_t i = 0; text && i < report->count; i++) {
		const struct channel_finding *finding = &report->findings[i];
		char *longer;

		if (finding->problem != problem)
			continue;
		longer = count++ > 0 ? text_format("%s, %s", text, finding->credential)
				     : text_format("%s%s%s%s%s", text, *text ? "; " : "",
						   channel_problem_name(problem),
						   problem == CHANNEL_MORE ? "" : ": ",
						   finding->credential);
		free(text);
		text = longer;
	}
	return text;
}

char *delivery_report_text(const struct delivery_report *report)
{
	char *text = strdup("");

	for (int problem = CHANNEL_CUT; problem < CHANNEL_PROBLEMS; problem++)
		text = problem_add(text, report, (enum channel_problem)problem);
	return problem_add(text, report, CHANNEL_MORE);
}

void delivery_report_release(struct delivery_report *report)
{
	free(report->findings);
	*report = (struct delivery_report){0};
}
