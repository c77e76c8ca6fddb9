/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, found through fanotify(7): searches each file when a writer closes it, even after it was
 * removed, and each new name. Needs root.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "watch.h"

#define CHUNK_SIZE    ((size_t)1024 * 1024)
/* Enough for these tests; other programs may write larger files meanwhile. */
#define FILE_SIZE_MAX ((off_t)64 * 1024 * 1024)
#define EVENTS_SIZE   65536

static int written = -1, named = -1;
static unsigned char chunk[CHUNK_SIZE];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void file_search(int fd)
{
	char link[64], name[PATTERN_SIZE_MAX];
	ssize_t got;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	got = readlink(link, name, sizeof(name) - 1);
	name[got < 0 ? 0 : got] = '\0';
	for (off_t at = 0; at < FILE_SIZE_MAX; at += (off_t)(CHUNK_SIZE - PATTERN_SIZE_MAX)) {
		got = pread(fd, chunk, sizeof(chunk), at);
		if (got <= 0)
			break;
		search(chunk, (size_t)got, "file", name);
		if ((size_t)got < sizeof(chunk))
			break;
	}
	counts.files++;
}

/* FAN_REPORT_DFID_NAME: a file handle of the directory, followed by the name. With names, the
 * kernel does not align the structures. */
static void name_search(const char *record, size_t room)
{
	struct fanotify_event_info_fid info;
	struct file_handle handle;

	if (room <= sizeof(info) + sizeof(handle))
		return;
	memcpy(&info, record, sizeof(info));
	memcpy(&handle, record + sizeof(info), sizeof(handle));
	if (info.hdr.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME)
		return;
	search(record, info.hdr.len, "name",
	       record + sizeof(info) + sizeof(handle) + handle.handle_bytes);
	counts.files++;
}

static void events_read(int fd)
{
	char events[EVENTS_SIZE];
	ssize_t size;

	while ((size = read(fd, events, sizeof(events))) > 0) {
		struct fanotify_event_metadata event;

		for (const char *at = events; at + sizeof(event) <= events + size;
		     at += event.event_len) {
			memcpy(&event, at, sizeof(event));
			if (event.mask & FAN_Q_OVERFLOW)
				counts.lost++;
			if (fd == named)
				name_search(at + event.metadata_len,
					    event.event_len - event.metadata_len);
			if (event.fd < 0)
				continue;
			file_search(event.fd);
			close(event.fd);
		}
	}
}

void files_drain(void)
{
	pthread_mutex_lock(&lock);
	events_read(written);
	events_read(named);
	pthread_mutex_unlock(&lock);
}

static void *files_thread(void *unused)
{
	struct pollfd fds[] = {{.fd = written, .events = POLLIN}, {.fd = named, .events = POLLIN}};

	(void)unused;
	while (poll(fds, 2, -1) > 0)
		files_drain();
	return NULL;
}

void files_watch(char *const *paths)
{
	const unsigned int flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE;
	pthread_t thread;

	written = fanotify_init(flags | FAN_CLASS_NOTIF, O_RDONLY | O_CLOEXEC);
	named = fanotify_init(flags | FAN_REPORT_DFID_NAME, 0);
	if (written < 0 || named < 0)
		err(1, "fanotify");
	for (; *paths; paths++) {
		if (fanotify_mark(written, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CLOSE_WRITE,
				  AT_FDCWD, *paths) < 0)
			err(1, "watching %s", *paths);
		/* File systems without file handles cannot report names. */
		if (fanotify_mark(named, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
				  FAN_CREATE | FAN_MOVED_TO | FAN_ONDIR, AT_FDCWD, *paths) < 0)
			warn("no names of %s", *paths);
	}
	if (pthread_create(&thread, NULL, files_thread, NULL) != 0)
		errx(1, "a thread");
	pthread_detach(thread);
}
