/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called as vmcred-generator by systemd, at boot and before each reload: systemd.generator(7).
 * Writes the drop-ins of the VMs' units.
 *
 * An error in the declaration must not stop VMs that ran before it: a VM with an error in its entry
 * gets its last good drop-in, and with any other error all VMs do. The last good ones are in /run.
 * A generator must not write anywhere else: other file systems may not be mounted yet, and systemd
 * makes them read-only for it. vmcred-units.path starts a service that copies them for the next
 * boot.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/vmcred-run/commands.h"

/* A VM's name → {"unit": NAME, "dropin": TEXT}. */
#define GOOD_DIRECTORY "/run/vmcred"
#define GOOD_NAME      "units.json"
#define GOOD_CHANGED   "units.changed" /* exists until it was copied */
#define GOOD_COPY      "/var/lib/vmcred/" GOOD_NAME
#define GOOD_SIZE_MAX  ((size_t)256 * 1024 * 1024)

/* Longer ones are only logged. */
#define DESCRIPTION_SIZE_MAX 4096

struct generator {
	const char *output;
	int dirfd;
	json_t *before, *after; /* the last good drop-ins */
	bool is_logged;         /* the error that is returned */
};

/* A generator's standard error is not logged: systemd.generator(7). */
static void kernel_log(const char *line)
{
	_cleanup_close_ int fd =
		open("/dev/kmsg", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0 && line)
		(void)dprintf(fd, "<3>vmcred-generator[%d]: %s\n", (int)getpid(), line);
}

/* The text of the file, or NULL. */
static json_t *good_load(const char *path)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *text = NULL;
	json_t *good = NULL;

	if (file_read_text(AT_FDCWD, path, GOOD_SIZE_MAX, &text, NULL, &ignored) < 0)
		return NULL;
	(void)json_parse(span_of_text(text), path, &good, &ignored);
	return good;
}

static int good_save(const struct generator *generator, struct error *err)
{
	_cleanup_close_ int dirfd = -1;
	_cleanup_free_ char *text = NULL;

	if (generator->before && json_equal(generator->before, generator->after))
		return 0;
	text = json_dumps(generator->after, JSON_COMPACT);
	if (!text)
		return error_no_memory(err);
	dirfd = dir_make(AT_FDCWD, GOOD_DIRECTORY, 0755, err);
	if (dirfd < 0 || file_replace(dirfd, GOOD_NAME, span_of_text(text), 0644, err) < 0)
		return -(int)err->code;
	return file_replace(dirfd, GOOD_CHANGED, span_of_text(""), 0644, err);
}

/* Needs no `systemctl enable` then. */
static int copy_want(const struct generator *generator, struct error *err)
{
	static const char target[] = "multi-user.target.wants";
	_cleanup_close_ int dirfd = dir_make(generator->dirfd, target, 0755, err);

	if (dirfd < 0)
		return dirfd;
	if (symlinkat("../vmcred-units.path", dirfd, "vmcred-units.path") < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "creating a link in %s/%s", generator->output,
				       target);
	return 0;
}

/* Shown by `systemctl status`, and logged when the unit starts. */
static void problem_print(FILE *stream, const char *name, const char *problem)
{
	if (strlen(problem) > DESCRIPTION_SIZE_MAX)
		return;
	fprintf(stream, "[Unit]\nDescription=MicroVM %s (last good declaration; ", name);
	for (; *problem; problem++) {
		/* A specifier: systemd.unit(5). */
		fputs(*problem == '%' ? "%" : "", stream);
		fputc(iscntrl((unsigned char)*problem) ? ' ' : *problem, stream);
	}
	fputs(")\n", stream);
}

/* Writes the last good drop-in of a VM. Returns 1, or 0 if there is none. */
static int good_write(const struct generator *generator, const char *name, const char *problem,
		      struct error *err)
{
	const json_t *good = json_object_get(generator->before, name);
	const char *unit = json_string_value(json_object_get(good, "unit"));
	const char *dropin = json_string_value(json_object_get(good, "dropin"));
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	size_t size = 0;
	int r;

	if (!dropin || !unit || !config_is_unit(unit, ".service"))
		return 0;
	stream = open_memstream(&text, &size);
	if (!stream)
		return error_no_memory(err);
	fputs(dropin, stream);
	problem_print(stream, name, problem);
	if (fflush(stream) != 0 || ferror(stream))
		return error_no_memory(err);
	r = unit_dropin_write(generator->dirfd, generator->output, unit, text, err);
	return r < 0 ? r : 1;
}

static int good_add(const struct generator *generator, const char *name, json_t *good,
		    struct error *err)
{
	return json_object_set_new(generator->after, name, good) == 0 ? 0 : error_no_memory(err);
}

/* An error in the VM's entry. */
static int broken_write(const struct generator *generator, const struct config_vm *vm,
			struct error *err)
{
	json_t *good = json_object_get(generator->before, vm->name);
	int r = good_write(generator, vm->name, vm->problem, err);
	_cleanup_free_ char *line =
		text_format("%s %s: %s", vm->unit,
			    r > 0 ? "keeps its last good drop-in" : "has no drop-in", vm->problem);

	kernel_log(line);
	return r > 0 ? good_add(generator, vm->name, json_incref(good), err) : r;
}

static int dropin_write(const struct generator *generator, const struct config *config,
			const struct config_vm *vm, struct error *err)
{
	_cleanup_free_ char *text = config_vm_dropin(config, vm, NULL);
	int r = text ? unit_dropin_write(generator->dirfd, generator->output, vm->unit, text, err)
		     : error_no_memory(err);

	return r < 0 ? r
		     : good_add(generator, vm->name,
				json_pack("{s:s, s:s}", "unit", vm->unit, "dropin", text), err);
}

/* Returns VMCRED_USAGE after an error in an entry. */
static int entries_write(struct generator *generator, const struct config *config,
			 struct error *err)
{
	const char *problem = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		if (!config->vms[i].problem)
			continue;
		problem = config->vms[i].problem;
		r = broken_write(generator, &config->vms[i], err);
	}
	/* Later, because an earlier drop-in may be that of another VM's unit by now. */
	for (size_t i = 0; r == 0 && i < config->vm_count; i++) {
		if (!config->vms[i].problem)
			r = dropin_write(generator, config, &config->vms[i], err);
	}
	if (r == 0 && config->vm_count > 0)
		r = good_save(generator, err);
	if (r == 0 && config->vm_count > 0)
		r = copy_want(generator, err);
	generator->is_logged = r == 0 && problem;
	return generator->is_logged ? error_set(err, VMCRED_USAGE, "%s", problem) : r;
}

/* An error outside the entries of VMs, which is set. */
static int all_broken_write(const struct generator *generator, struct error *err)
{
	_cleanup_free_ char *problem = error_line(err);
	const char *name;
	json_t *good;
	int count = 0;

	json_object_foreach(generator->before, name, good)
	{
		_cleanup_error_ struct error ignored = {0};

		if (problem && good_write(generator, name, problem, &ignored) > 0)
			count++;
	}
	return count > 0 ? error_wrap(err, "keeping the last good drop-ins of all VMs (%d)", count)
			 : -(int)err->code;
}

static void generator_release(struct generator *generator)
{
	json_decref(generator->before);
	json_decref(generator->after);
	if (generator->dirfd >= 0)
		close(generator->dirfd);
}

static int generator_run(struct generator *generator, int argc, char **argv, struct error *err)
{
	_cleanup_config_ struct config config = {0};
	int r;

	if (argc != 4)
		return error_set(err, VMCRED_USAGE, "a systemd generator needs three directories");
	/* Without a declaration there is nothing to generate. */
	if (access(VMCRED_CONFIG_PATH, F_OK) < 0)
		return 0;
	/* The directories for normal, early and late units. */
	generator->output = argv[1];
	generator->dirfd = dir_make(AT_FDCWD, argv[1], 0755, err);
	if (generator->dirfd < 0)
		return generator->dirfd;
	generator->before = good_load(GOOD_DIRECTORY "/" GOOD_NAME);
	if (!generator->before)
		generator->before = good_load(GOOD_COPY);
	generator->after = json_object();
	if (!generator->after)
		return error_no_memory(err);
	r = config_load_file_as(VMCRED_CONFIG_PATH, CONFIG_ENTRIES | CONFIG_LENIENT, &config, err);
	if (r == 0)
		r = config_vms_choose(&config, NULL, err);
	return r < 0 ? all_broken_write(generator, err) : entries_write(generator, &config, err);
}

int command_generator(struct cli *cli, int argc, char **argv, struct error *err)
{
	__attribute__((cleanup(generator_release))) struct generator generator = {.dirfd = -1};
	int r = generator_run(&generator, argc, argv, err);

	(void)cli;
	if (r < 0 && !generator.is_logged) {
		_cleanup_free_ char *line = error_line(err);

		kernel_log(line);
	}
	return r;
}
