/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/request.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define RANDOM_DIGITS     "0123456789abcdef"
#define RANDOM_DIGITS_MAX 16 /* of a 64-bit number */
#define MARK              "/unit/"

int serve_request_check_peer(int fd, struct serve_request *request, struct error *err)
{
	struct ucred *peer = &request->peer;
	socklen_t size = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0)
		return error_set_errno(err, errno, "reading the peer's credentials");
	/* systemd connects as PID 1, or from a child that has not yet dropped its privileges. */
	if (peer->uid != 0 && peer->pid != 1)
		return error_set(err, VMCRED_USAGE, "user %u is not root", (unsigned int)peer->uid);
	return 0;
}

int serve_request_read_address(int fd, struct serve_request *request, struct error *err)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0)
		return error_set_errno(err, errno, "reading the peer's address");
	return serve_address_parse(&address, size, &request->asked, err);
}

static int not_systemd(struct error *err)
{
	error_set(err, VMCRED_FAILED, "the peer's address is not one of systemd's");
	return error_hint(err, "the socket is for LoadCredential= of the VMs' units");
}

int serve_address_parse(const struct sockaddr_un *address, socklen_t size,
			struct serve_address *parsed, struct error *err)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path) + 1;
	char text[SERVE_ADDRESS_MAX + 1] = "";
	const char *unit, *credential;
	size_t length, digits;

	*parsed = (struct serve_address){0};
	if (size <= head || size > sizeof(*address) || address->sun_family != AF_UNIX ||
	    address->sun_path[0] != '\0')
		return not_systemd(err);
	length = size - head;
	memcpy(text, address->sun_path + 1, length);
	parsed->is_full = length == SERVE_ADDRESS_MAX;
	/* Only printable ASCII reaches the log; units and credentials have no other names. */
	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return not_systemd(err);
	}
	digits = strspn(text, RANDOM_DIGITS);
	if (digits == 0 || digits > RANDOM_DIGITS_MAX ||
	    strncmp(text + digits, MARK, strlen(MARK)) != 0)
		return not_systemd(err);
	unit = text + digits + strlen(MARK);
	credential = strchr(unit, '/');
	if (!credential && parsed->is_full) {
		error_set(err, VMCRED_FAILED,
			  "the unit's name is too long for the address of systemd's socket");
		return error_hint(err, "use a unit with a shorter name");
	}
	if (!credential || credential == unit)
		return not_systemd(err);
	credential++;
	if ((*credential == '\0' && !parsed->is_full) || strchr(credential, '/'))
		return not_systemd(err);
	memcpy(parsed->unit, unit, (size_t)(credential - 1 - unit));
	memcpy(parsed->credential, credential, strlen(credential));
	return 0;
}

static int load_find(const struct config_vm *vm, const struct serve_address *address,
		     const struct config_load **load, struct error *err)
{
	const size_t length = strlen(address->credential);
	size_t count = 0;

	for (size_t i = 0; i < vm->load_count; i++) {
		const char *name = vm->loads[i].credential;

		if (address->is_full ? strncmp(name, address->credential, length) == 0
				     : strcmp(name, address->credential) == 0) {
			*load = &vm->loads[i];
			count++;
		}
	}
	if (count == 1)
		return 0;
	if (vm->problem)
		return error_set(err, VMCRED_USAGE, "%s", vm->problem);
	if (count == 0)
		return error_set(err, VMCRED_USAGE, "not in loadCredentials of the VM %s",
				 vm->name);
	error_set(err, VMCRED_USAGE, "%zu credentials of the VM %s start with this truncated name",
		  count, vm->name);
	return error_hint(err, "use shorter names for the credentials or the unit");
}

int serve_request_grant(const struct config *config, const char *machine,
			const struct serve_address *address, struct serve_grant *grant,
			struct error *err)
{
	const struct config_generator *generator;
	const struct config_file *file;
	int r;

	grant->vm = config_vm_of_unit(config, address->unit);
	if (!grant->vm) {
		error_set(err, VMCRED_USAGE, "no VM in %s has this unit", config->path);
		return error_hint(err, "a VM's unit is microvm@VM.service, or the value of `unit`");
	}
	r = load_find(grant->vm, address, &grant->load, err);
	if (r < 0)
		return r;
	if (!grant->load->generator)
		return error_set(err, VMCRED_USAGE,
				 "declared as the file %s, not as a secret of the store",
				 grant->load->source);
	generator = config_generator_find(config, grant->load->generator, machine);
	file = generator ? config_file_find(generator, grant->load->file) : NULL;
	if (!file || !file->deploy || !config_generator_is_for(generator, machine))
		return error_set(err, VMCRED_USAGE, "%s is not deployed on the machine %s",
				 grant->load->source, machine);
	grant->location =
		(struct vars_location){generator->share ? NULL : machine, generator, file};
	return 0;
}
