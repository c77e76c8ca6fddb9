/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/notify.h"
#include "vmm/quotation.h"
#include "vmm/words.h"

#define SECRET "0123456789abcdefghijklmnopqrstuvwxyz!ABCDEFGHIJ"

/* A list of one credential, K, and a plain string. */
static void list_fill(struct oem_list *list, const char *value)
{
	struct error err = {0};

	assert_success(oem_list_add_credential(list, "K", span_of_text(value), &err));
	assert_success(
		oem_list_add_literal(list, OEM_STATIC, span_of_text("PLAIN=string"), NULL, &err));
}

static void what_repeats_a_value_is_recognised(void **state)
{
	static const struct {
		const char *value, *text;
		bool found;
	} cases[] = {
		{"abcd", "xabcdx", true},
		{"abcd", "abc d", false},
		/* Too short to mean anything. */
		{"abc", "abc", false},
		{SECRET, "is " SECRET "!", true},
		{SECRET, "a b c", false},
		/* 31 bytes of it from any place; what is shorter may be missed. */
		{SECRET, "\\n123456789abcdefghijklmnopqrstuv", true},
		{SECRET, "ghijklmnopqrstuvwxyz!ABCDEFGHIJ", true},
		{SECRET, "0123456789abcde", false},
		{"v", "a PLAIN=string here", true},
		{"v", "PLAIN = string", false},
		{"v", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct oem_list list = {0};

		list_fill(&list, cases[i].value);
		assert_int_equal(quotation_found(span_of_text(cases[i].text), &list),
				 cases[i].found);
		oem_list_destroy(&list);
	}
}

struct listener {
	struct words words;
	struct oem_list list;
	int vmm;  /* the VMM's end */
	int ours; /* where what is passed on can be read */
	int to;
};

static void line_ignore(const struct report *report, enum report_level level, const char *text)
{
	(void)report;
	(void)level;
	(void)text;
}

static const struct report quiet = {.level = REPORT_DEBUG, .line = line_ignore};

static void listener_open(struct listener *listener)
{
	struct error err = {0};
	int ends[2];

	*listener = (struct listener){.words = WORDS_NONE};
	list_fill(&listener->list, SECRET);
	assert_success(
		words_create(&listener->words, &listener->list, &quiet, &listener->vmm, &err));
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	listener->ours = ends[0];
	listener->to = ends[1];
	listener->words.to = listener->to;
}

static void listener_close(struct listener *listener)
{
	words_destroy(&listener->words);
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

static void lines_are_passed_on_when_they_are_whole(void **state)
{
	struct listener listener;

	(void)state;
	listener_open(&listener);
	say(&listener, "one\ntw");
	words_pass(&listener.words);
	assert_heard(&listener, "one\n");
	say(&listener, "o\n\nthree");
	words_pass(&listener.words);
	assert_heard(&listener, "two\n\n");
	words_trust(&listener.words);
	assert_heard(&listener, "three");
	/* What comes now is not looked at. */
	say(&listener, SECRET);
	words_pass(&listener.words);
	assert_heard(&listener, SECRET);
	listener_close(&listener);
}

static void a_line_that_repeats_a_secret_is_left_out_and_its_neighbours_are_not(void **state)
{
	struct listener listener;
	struct error err = {0};

	(void)state;
	listener_open(&listener);
	say(&listener, "one\nit is " SECRET "\ntwo\nand " SECRET);
	words_pass(&listener.words);
	words_finish(&listener.words);
	assert_heard(&listener, "one\ntwo\n");
	error_set(&err, VMCRED_FAILED, "it ended");
	words_quote(&listener.words, &err);
	assert_error(-(int)err.code, VMCRED_FAILED, "it ended: it said: one two");
	listener_close(&listener);
}

static void a_secret_that_comes_in_pieces_is_recognised(void **state)
{
	struct listener listener;

	(void)state;
	listener_open(&listener);
	for (const char *c = SECRET; *c; c++) {
		assert_int_equal(write(listener.vmm, c, 1), 1);
		words_pass(&listener.words);
	}
	say(&listener, "\n");
	words_pass(&listener.words);
	assert_heard(&listener, "");
	listener_close(&listener);
}

static void an_error_quotes_the_end_of_what_was_said_on_one_printable_line(void **state)
{
	struct listener listener;
	struct error err = {0};

	(void)state;
	listener_open(&listener);
	error_set(&err, VMCRED_FAILED, "it ended");
	words_quote(&listener.words, &err);
	assert_null(err.hint);
	for (int i = 0; i < 400; i++)
		say(&listener, "noise\n");
	say(&listener, "\n \t the\n\n\tend\033[2J\n");
	words_finish(&listener.words);
	words_quote(&listener.words, &err);
	assert_true(strlen(err.hint) <= WORDS_QUOTED_MAX + strlen("it said: "));
	assert_non_null(strstr(err.hint, "noise noise the end?[2J"));
	assert_string_equal(strstr(err.hint, "the end"), "the end?[2J");
	error_clear(&err);
	listener_close(&listener);
}

static void where_nothing_more_is_taken_nothing_is_lost(void **state)
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
		say(&listener, "words\n");
	words_pass(&listener.words);
	assert_int_equal(words_poll(&listener.words).fd, listener.to);
	while (heard < filled + said) {
		got = read(listener.ours, filling, sizeof(filling));
		assert_true(got > 0);
		heard += (size_t)got;
		words_pass(&listener.words);
	}
	assert_int_equal(words_poll(&listener.words).fd, listener.words.from);
	close(listener.vmm);
	listener.vmm = -1;
	words_pass(&listener.words);
	assert_int_equal(words_poll(&listener.words).fd, -1);
	listener_close(&listener);
}

static void a_line_without_end_is_left_out_and_takes_no_more_memory(void **state)
{
	struct listener listener;
	char filling[4096];

	(void)state;
	listener_open(&listener);
	memset(filling, '-', sizeof(filling));
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(write(listener.vmm, filling, sizeof(filling)), sizeof(filling));
		words_pass(&listener.words);
	}
	assert_true(listener.words.held.capacity < (size_t)1024 * 1024);
	say(&listener, "\nafter it\n");
	words_pass(&listener.words);
	assert_heard(&listener, "after it\n");
	listener_close(&listener);
}

static void of_a_guests_message_only_some_fields_pass(void **state)
{
	static const struct {
		const char *message, *passes;
	} cases[] = {
		{"", ""},
		{"READY=1", "READY=1"},
		{"READY=1\n", "READY=1"},
		{"STATUS=a b=c\nMAINPID=1\nREADY=1", "STATUS=a b=c\nREADY=1"},
		{"\n\nX_SYSTEMD_UNIT_ACTIVE=a\n\n", "X_SYSTEMD_UNIT_ACTIVE=a"},
		{"STATUS=\n", "STATUS="},
		{"STATUS=a\rMAINPID=2", ""},
		{"FDSTORE=1\nFDNAME=READY=1", ""},
		{"STATUS=\xc3\xa9\xe2\x80\xa6", "STATUS=\xc3\xa9\xe2\x80\xa6"},
		{"STATUS=\xc2\x9b", ""},
		{"STATUS=\xe9", ""},
		{"READY=12\nREADY=1x\nREADY=", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[NOTIFY_MESSAGE_MAX];
		size_t size = notify_filter(span_of_text(cases[i].message), out);

		assert_span_equal(span_of(out, size), cases[i].passes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_repeats_a_value_is_recognised),
		cmocka_unit_test(lines_are_passed_on_when_they_are_whole),
		cmocka_unit_test(
			a_line_that_repeats_a_secret_is_left_out_and_its_neighbours_are_not),
		cmocka_unit_test(a_secret_that_comes_in_pieces_is_recognised),
		cmocka_unit_test(an_error_quotes_the_end_of_what_was_said_on_one_printable_line),
		cmocka_unit_test(where_nothing_more_is_taken_nothing_is_lost),
		cmocka_unit_test(a_line_without_end_is_left_out_and_takes_no_more_memory),
		cmocka_unit_test(of_a_guests_message_only_some_fields_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
