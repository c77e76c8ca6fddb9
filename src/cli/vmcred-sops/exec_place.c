/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/exec_place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#define NAME_DEFAULT "tmp-file" /* as sops calls it */

/* Waits for a reader, hands it the text, and ends. Cancelled where nobody comes. */
static void *fifo_write(void *argument)
{
	const struct exec_place *place = argument;
	_cleanup_error_ struct error ignored = {0};
	int fd = open(place->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	/* Who stops reading early has seen enough: no SIGPIPE, it is blocked in this thread. */
	(void)fd_write(fd, secret_span(place->text), place->path, &ignored);
	close(fd);
	return NULL;
}

static int fifo_make(struct exec_place *place, const char *name, struct error *err)
{
	sigset_t all, before;
	int r;

	if (mkfifoat(place->folder.dirfd, name, S_IRUSR | S_IWUSR) < 0)
		return error_set_errno(err, errno, "making a FIFO");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&place->writer, NULL, fifo_write, place);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return error_set_errno(err, r, "starting a thread");
	place->writing = true;
	return 0;
}

int exec_place_make(struct exec_place *place, const char *name, const struct secret *text,
		    bool fifo, struct error *err)
{
	int r = memory_directory_make(&place->folder, "the decrypted file", err);

	if (r < 0)
		return r;
	if (!name)
		name = NAME_DEFAULT;
	place->text = text;
	place->path = path_join(place->folder.path, name);
	if (!place->path)
		return error_no_memory(err);
	if (fifo)
		return fifo_make(place, name, err);
	return file_write_new(place->folder.dirfd, name, secret_span(text), S_IRUSR | S_IWUSR, err);
}

void exec_place_remove(struct exec_place *place)
{
	if (place->writing) {
		(void)pthread_cancel(place->writer);
		(void)pthread_join(place->writer, NULL);
	}
	memory_directory_remove(&place->folder);
	free(place->path);
	*place = (struct exec_place)EXEC_PLACE_NONE;
}
