/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit codes of sops 3.13 (cmd/sops/codes in its sources), which scripts look at. `vmcred sops`
 * has them too, instead of the program's own: who replaces sops by it changes nothing else.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_EXIT_CODES_H
#define VMCRED_CLI_VMCRED_SOPS_EXIT_CODES_H

enum sops_exit {
	SOPS_EXIT_GENERIC = 1,
	SOPS_EXIT_INPUT_UNREADABLE = 2,
	SOPS_EXIT_OUTPUT_UNWRITABLE = 3,
	SOPS_EXIT_TREE_UNWRITABLE = 4, /* the output format cannot hold the document */
	SOPS_EXIT_NO_SUCH_TOPIC = 3,   /* of its help, where a verb's verb is not known */
	SOPS_EXIT_SET_FORMAT = 7,
	SOPS_EXIT_CONFLICT = 8,
	SOPS_EXIT_ENCRYPTION = 23,
	SOPS_EXIT_DECRYPTION = 25,
	SOPS_EXIT_KEYS_OF_NO_FILE = 49,
	SOPS_EXIT_MAC = 51,
	SOPS_EXIT_PATH_FORMAT = 91,
	SOPS_EXIT_NO_DOCUMENT = 92,
	SOPS_EXIT_NO_FILE = 100,
	SOPS_EXIT_ORDER_TWICE = 112,
	SOPS_EXIT_NO_KEY = 128,
	SOPS_EXIT_UNCHANGED = 200,
	SOPS_EXIT_EDITOR = 201,
	SOPS_EXIT_ENCRYPTED_ALREADY = 203,
	SOPS_EXIT_SIGNALLED = 255, /* what Go makes of a command that a signal ended */
};

#endif
