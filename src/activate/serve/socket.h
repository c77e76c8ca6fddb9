/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection whose process is killed is closed, and systemd would take what was sent until then
 * for the credential. So systemd itself holds a second descriptor of each until it is answered
 * (sd_notify(3), FDSTORE=1), and hands it to the next process, which spoils it.
 */
#ifndef VMCRED_ACTIVATE_SERVE_SOCKET_H
#define VMCRED_ACTIVATE_SERVE_SOCKET_H

#include "activate/activate.h"

/* Where systemd has said how; elsewhere it does nothing. shutdown(2) ends the connection then. */
void serve_socket_keep(int fd);

#endif
