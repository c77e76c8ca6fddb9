/* SPDX-License-Identifier: Apache-2.0 */
#include "load/load.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define RANDOM_DIGITS     "0123456789abcdef"
#define RANDOM_DIGITS_MAX 16 /* of a 64-bit number */
#define MARK              "/unit/"

int load_peer_check(int fd, struct ucred *peer, struct error *err)
{
	socklen_t size = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0)
		return error_set_errno(err, errno, "reading the peer's credentials");
	/* systemd connects as PID 1, or from a child that has not yet dropped its privileges. */
	if (peer->uid != 0 && peer->pid != 1)
		return error_set(err, VMCRED_USAGE, "user %u is not root", (unsigned int)peer->uid);
	return 0;
}

int load_address_read(int fd, struct load_address *address, struct error *err)
{
	struct sockaddr_un peer = {0};
	socklen_t size = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
		return error_set_errno(err, errno, "reading the peer's address");
	return load_address_parse(&peer, size, address, err);
}

static int not_systemd(struct error *err)
{
	error_set(err, VMCRED_FAILED, "the peer's address is not one of systemd's");
	return error_hint(err, "the socket is for LoadCredential= of units");
}

int load_address_parse(const struct sockaddr_un *address, socklen_t size,
		       struct load_address *parsed, struct error *err)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path) + 1;
	char text[LOAD_ADDRESS_MAX + 1] = "";
	const char *unit, *credential;
	size_t length, digits;

	*parsed = (struct load_address){0};
	if (size <= head || size > sizeof(*address) || address->sun_family != AF_UNIX ||
	    address->sun_path[0] != '\0')
		return not_systemd(err);
	length = size - head;
	memcpy(text, address->sun_path + 1, length);
	parsed->is_full = length == LOAD_ADDRESS_MAX;
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
