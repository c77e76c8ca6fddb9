/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets that cannot be activated, which must not stop the others. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "activate/activation.h"
#include "base/cleanup.h"

/* The current generation, or -1. */
static int current_open(const struct generation_place *place)
{
	if (place->link_dirfd < 0 || generation_current(place) == 0)
		return -1;
	return openat(place->link_dirfd, place->link_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Makes the file what it is in that generation; false if it does not exist in it. */
static bool file_keep(int generation_dirfd, struct generation_file *file)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int fd = openat(generation_dirfd, file->path,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;

	secret_destroy(&file->content);
	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
	    secret_read(&file->content, fd, (size_t)status.st_size, file->path, &ignored) < 0)
		return false;
	file->mode = status.st_mode & 07777;
	file->uid = status.st_uid;
	file->gid = status.st_gid;
	return true;
}

/* Takes the problem. */
static int failed_add(struct activation *activation, struct activation_origin *origin, bool is_kept,
		      struct error *err)
{
	struct activation_failed *failed = &activation->failed[activation->failed_count++];

	*failed = (struct activation_failed){
		.name = text_format("%s/%s", origin->generator->name, origin->file->name),
		.is_kept = is_kept,
	};
	error_move(&failed->problem, &origin->problem);
	return failed->name ? 0 : error_no_memory(err);
}

static void file_release(struct generation_file *file)
{
	free(file->path);
	secret_destroy(&file->content);
}

int activation_failures_settle(struct activation *activation, const struct generation_place *place,
			       struct error *err)
{
	_cleanup_close_ int dirfd = current_open(place);
	struct generation_files *files = &activation->files;
	const size_t count = activation->secret_count;
	size_t kept = 0;
	int r = 0;

	activation->failed = calloc(count + 1, sizeof(*activation->failed));
	if (!activation->failed)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const bool is_whole = activation->origins[i].problem.code == 0;
		const bool is_kept = is_whole || (dirfd >= 0 && file_keep(dirfd, &files->items[i]));

		if (!is_whole && failed_add(activation, &activation->origins[i], is_kept, err) < 0)
			r = -(int)err->code;
		if (is_kept) {
			files->items[kept] = files->items[i];
			activation->origins[kept++] = activation->origins[i];
		} else {
			file_release(&files->items[i]);
		}
	}
	/* The links. */
	for (size_t i = count; i < files->count; i++)
		files->items[i - (count - kept)] = files->items[i];
	files->count -= count - kept;
	activation->secret_count = kept;
	return r;
}

static bool is_worse(const struct activation_failed *failed, const struct activation_failed *worst)
{
	return !worst || failed->problem.code > worst->problem.code;
}

int activation_failures_report(struct activation *activation, const struct report *report,
			       struct activate_result *result, struct error *err)
{
	struct activation_failed *worst = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < activation->failed_count; i++) {
		if (is_worse(&activation->failed[i], worst))
			worst = &activation->failed[i];
		kept += activation->failed[i].is_kept;
	}
	/* Usually for one reason, such as the identity. */
	if (worst && activation->secret_count == kept)
		return error_move(err, &activation->failed[0].problem);
	for (size_t i = 0; i < activation->failed_count; i++) {
		struct activation_failed *failed = &activation->failed[i];
		_cleanup_free_ char *line = NULL;

		error_wrap(&failed->problem, "%s %s", failed->name,
			   failed->is_kept ? "keeps its previous value" : "is not activated");
		line = failed == worst ? NULL : error_line(&failed->problem);
		if (failed != worst)
			report_message(report, REPORT_WARNING, "%s", line ? line : failed->name);
	}
	if (worst)
		error_move(&result->failure, &worst->problem);
	return 0;
}

void activation_failures_release(struct activation *activation)
{
	for (size_t i = 0; i < activation->failed_count; i++) {
		free(activation->failed[i].name);
		error_clear(&activation->failed[i].problem);
	}
	free(activation->failed);
	for (size_t i = 0; i < activation->secret_count; i++)
		error_clear(&activation->origins[i].problem);
}
