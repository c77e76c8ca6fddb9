/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/repetition/repetition.h"
#include "forms.h"
#include "vmm/stderr_relay.h"

#define SECRET "0123456789abcdefghijklmnopqrstuvwxyz!ABCDEFGHIJ"

/* A list of one credential, K, and a plain string. */
static void list_fill(struct oem_list *list, struct span value)
{
	struct error err = {0};

	assert_success(oem_list_add_credential(list, "K", value, &err));
	assert_success(
		oem_list_add_literal(list, OEM_STATIC, span_of_text("PLAIN=string"), NULL, &err));
}

struct listener {
	struct stderr_relay relay;
	struct oem_list list;
	int vmm;  /* the VMM's end */
	int ours; /* reads what is forwarded */
	int to;
};

static void line_ignore(const struct report *report, enum report_level level, const char *text)
{
	(void)report;
	(void)level;
	(void)text;
}

static const struct report quiet = {.level = REPORT_DEBUG, .line = line_ignore};

static void listener_open_with(struct listener *listener, struct span secret)
{
	struct error err = {0};
	int ends[2];

	*listener = (struct listener){.relay = STDERR_RELAY_NONE};
	list_fill(&listener->list, secret);
	assert_success(stderr_relay_create(&listener->relay, &listener->list, "--expose=log",
					   &quiet, &listener->vmm, &err));
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	listener->ours = ends[0];
	listener->to = ends[1];
	listener->relay.to = listener->to;
}

static void listener_open(struct listener *listener)
{
	listener_open_with(listener, span_of_text(SECRET));
}

static void listener_close(struct listener *listener)
{
	stderr_relay_destroy(&listener->relay);
	oem_list_destroy(&listener->list);
	if (listener->vmm >= 0)
		close(listener->vmm);
	close(listener->ours);
	close(listener->to);
}

static void say(const struct listener *listener, const char *text)
{
	assert_int_equal(write(listener->vmm, text, strlen(text)), strlen(text));
}

#define assert_heard(listener, text)                                                   \
	do {                                                                           \
		char heard[8192] = "";                                                 \
		ssize_t heard_size = read((listener)->ours, heard, sizeof(heard) - 1); \
		assert_string_equal(heard_size < 0 ? "" : heard, text);                \
	} while (0)

static void complete_lines_are_forwarded(void **state)
{
	struct listener listener;

	(void)state;
	listener_open(&listener);
	say(&listener, "one\ntw");
	stderr_relay_forward(&listener.relay);
	assert_heard(&listener, "one\n");
	say(&listener, "o\n\nthree");
	stderr_relay_forward(&listener.relay);
	assert_heard(&listener, "two\n\n");
	stderr_relay_trust(&listener.relay);
	assert_heard(&listener, "three");
	/* Not checked any more. */
	say(&listener, SECRET);
	stderr_relay_forward(&listener.relay);
	assert_heard(&listener, SECRET);
	listener_close(&listener);
}

static void only_the_line_that_repeats_a_secret_is_hidden(void **state)
{
	struct listener listener;
	struct error err = {0};

	(void)state;
	listener_open(&listener);
	say(&listener, "one\nit is " SECRET "\ntwo\nand " SECRET);
	stderr_relay_forward(&listener.relay);
	stderr_relay_finish(&listener.relay);
	assert_heard(&listener, "one\ntwo\n");
	error_set(&err, VMCRED_FAILED, "it ended");
	stderr_relay_quote(&listener.relay, &err);
	assert_error(-(int)err.code, VMCRED_FAILED, "it ended: its output: one two");
	listener_close(&listener);
}

static void a_secret_that_arrives_in_pieces_is_recognised(void **state)
{
	struct listener listener;

	(void)state;
	listener_open(&listener);
	for (const char *c = SECRET; *c; c++) {
		assert_int_equal(write(listener.vmm, c, 1), 1);
		stderr_relay_forward(&listener.relay);
	}
	say(&listener, "\n");
	stderr_relay_forward(&listener.relay);
	assert_heard(&listener, "");
	listener_close(&listener);
}

/* Whether a window of the secret is in the text, which is compared as it is. */
static bool window_is_in(const char *text, size_t size, struct span secret)
{
	for (size_t i = 0; i + REPETITION_SIZE <= secret.size; i++) {
		if (memmem(text, size, secret.data + i, REPETITION_SIZE))
			return true;
	}
	return false;
}

/* What is forwarded of a text that arrives in two pieces, then of its end. */
static size_t forwarded(struct span secret, struct span text, size_t split, char *heard,
			size_t heard_max)
{
	struct listener listener;
	ssize_t got;

	listener_open_with(&listener, secret);
	assert_int_equal(write(listener.vmm, text.data, split), split);
	stderr_relay_forward(&listener.relay);
	assert_int_equal(write(listener.vmm, text.data + split, text.size - split),
			 text.size - split);
	stderr_relay_finish(&listener.relay);
	got = read(listener.ours, heard, heard_max);
	assert_true(got >= 0);
	assert_false(window_is_in(listener.relay.quoted, listener.relay.quoted_size, secret));
	listener_close(&listener);
	return (size_t)got;
}

static void no_form_of_a_secret_is_forwarded_wherever_it_is_split(void **state)
{
	(void)state;
	srandom(3);
	for (size_t i = 0; i < 4 * FORM_COUNT; i++) {
		const struct form *form = &forms[i / 4];
		uint8_t secret[SECRET_SIZE_MAX];
		bool utf8 = secret_random((int)i % 4, 20, secret);
		struct text text = {.size = 0};

		if (form->needs_utf8 && !utf8)
			continue;
		text_add(&text, "before\nerror: ");
		form->add(span_of(secret, 20), &text);
		text_add(&text, ".\nafter\n");
		for (size_t split = 0; split <= text.size; split++) {
			char heard[FORM_SIZE_MAX];
			size_t size = forwarded(span_of(secret, 20), span_of(text.bytes, text.size),
						split, heard, sizeof(heard));
			/* Line breaks in the secret leave a part that is shorter than a window. */
			bool whole = !memchr(secret, '\n', 20);

			if (whole && (size != strlen("before\nafter\n") ||
				      memcmp(heard, "before\nafter\n", size) != 0))
				fail_msg("%s, split at %zu: %.*s", form->name, split, (int)size,
					 heard);
			assert_false(window_is_in(heard, size, span_of(secret, 20)));
		}
	}
}

static void a_secret_on_several_short_lines_is_recognised(void **state)
{
	static const char *const texts[] = {"hun\nter-\ntwo-\n3456\n", "h\nu\nn\nt\ne\nr\nt\nw\n",
					    "68\n75\n6e\n0a\n74\n65\n72\n2d\n"};
	const struct span secret = span_of_text("hun\nter-\ntwo-\n3456");

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char heard[FORM_SIZE_MAX];
		size_t size = forwarded(secret, span_of_text(texts[i]), 1, heard, sizeof(heard));

		assert_true(size < strlen(texts[i]));
		assert_false(window_is_in(heard, size, secret));
	}
}

static void an_error_quotes_the_end_of_the_output_on_one_printable_line(void **state)
{
	struct listener listener;
	struct error err = {0};

	(void)state;
	listener_open(&listener);
	error_set(&err, VMCRED_FAILED, "it ended");
	stderr_relay_quote(&listener.relay, &err);
	assert_null(err.hint);
	for (int i = 0; i < 400; i++)
		say(&listener, "noise\n");
	say(&listener, "\n \t the\n\n\tend\033[2J\n");
	stderr_relay_finish(&listener.relay);
	stderr_relay_quote(&listener.relay, &err);
	assert_true(strlen(err.hint) <= STDERR_QUOTED_MAX + strlen("its output: "));
	assert_non_null(strstr(err.hint, "noise noise the end?[2J"));
	assert_string_equal(strstr(err.hint, "the end"), "the end?[2J");
	error_clear(&err);
	listener_close(&listener);
}

static void a_full_standard_error_loses_nothing(void **state)
{
	struct listener listener;
	char filling[4096];
	size_t filled = 0, said = 0, heard = 0;
	ssize_t got;

	(void)state;
	listener_open(&listener);
	memset(filling, '-', sizeof(filling));
	while ((got = write(listener.to, filling, sizeof(filling))) > 0)
		filled += (size_t)got;
	for (; said < 9000; said += 6)
		say(&listener, "lines\n");
	stderr_relay_forward(&listener.relay);
	assert_int_equal(stderr_relay_poll(&listener.relay).fd, listener.to);
	while (heard < filled + said) {
		got = read(listener.ours, filling, sizeof(filling));
		assert_true(got > 0);
		heard += (size_t)got;
		stderr_relay_forward(&listener.relay);
	}
	assert_int_equal(stderr_relay_poll(&listener.relay).fd, listener.relay.from);
	close(listener.vmm);
	listener.vmm = -1;
	stderr_relay_forward(&listener.relay);
	assert_int_equal(stderr_relay_poll(&listener.relay).fd, -1);
	listener_close(&listener);
}

static void a_line_without_end_is_hidden_and_uses_limited_memory(void **state)
{
	struct listener listener;
	char filling[4096];

	(void)state;
	listener_open(&listener);
	memset(filling, '-', sizeof(filling));
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(write(listener.vmm, filling, sizeof(filling)), sizeof(filling));
		stderr_relay_forward(&listener.relay);
	}
	assert_true(listener.relay.pending.capacity < (size_t)1024 * 1024);
	say(&listener, "\nafter it\n");
	stderr_relay_forward(&listener.relay);
	assert_heard(&listener, "after it\n");
	listener_close(&listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complete_lines_are_forwarded),
		cmocka_unit_test(only_the_line_that_repeats_a_secret_is_hidden),
		cmocka_unit_test(a_secret_that_arrives_in_pieces_is_recognised),
		cmocka_unit_test(no_form_of_a_secret_is_forwarded_wherever_it_is_split),
		cmocka_unit_test(a_secret_on_several_short_lines_is_recognised),
		cmocka_unit_test(an_error_quotes_the_end_of_the_output_on_one_printable_line),
		cmocka_unit_test(a_full_standard_error_loses_nothing),
		cmocka_unit_test(a_line_without_end_is_hidden_and_uses_limited_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
