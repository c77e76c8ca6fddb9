/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "channel/channel.h"

/* The vectors of docs/protocol.md. */
static const uint8_t host_hello[] = {0, 0, 0, 24, 1, 'v', 'm', 'c', 'r', 'e', 'd', 1,  0,  1,
				     2, 3, 4, 5,  6, 7,   8,   9,   10,  11,  12,  13, 14, 15};
static const uint8_t request[] = {0, 0, 0, 8, 1, 'v', 'm', 'c', 'r', 'e', 'd', 1,
				  0, 0, 0, 8, 2, 'a', 'p', 'i', '-', 'k', 'e', 'y'};
static const uint8_t value_head[] = {0, 0, 0, 14, 16, 1, 2, 3, 4, 5, 6, 7, 8};
static const uint8_t denied[] = {0, 0, 0, 2, 17, 1};

static const uint8_t announcement[] = {0,   0,   0, 17, 19, 7, 'a', 'p', 'i', '-', 'k',
				       'e', 'y', 1, 2,  3,  4, 5,   6,   7,   8};

#define assert_bytes(out, size, expected)                             \
	do {                                                          \
		assert_int_equal(size, sizeof(expected));             \
		assert_memory_equal(out, expected, sizeof(expected)); \
	} while (0)

static void messages_are_written_as_documented(void **state)
{
	static const uint8_t version[CHANNEL_VALUE_VERSION_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t nonce[CHANNEL_NONCE_SIZE], out[CHANNEL_REQUEST_SIZE_MAX];
	size_t size;

	(void)state;
	for (size_t i = 0; i < sizeof(nonce); i++)
		nonce[i] = (uint8_t)i;
	size = channel_host_hello_write(out, nonce);
	assert_bytes(out, size, host_hello);
	size = channel_request_write(out, "api-key");
	assert_bytes(out, size, request);
	size = channel_value_head_write(out, version, 5);
	assert_bytes(out, size, value_head);
	size = channel_refused_write(out, CHANNEL_DENIED);
	assert_bytes(out, size, denied);
}

static void a_request_is_whole_with_its_last_byte(void **state)
{
	struct channel_request parsed;
	struct error err = {0};
	bool is_whole;

	(void)state;
	for (size_t size = 0; size <= sizeof(request); size++) {
		assert_success(
			channel_request_read(span_of(request, size), &parsed, &is_whole, &err));
		assert_int_equal(is_whole, size == sizeof(request));
	}
	assert_true(parsed.type == CHANNEL_GET);
	assert_string_equal(parsed.credential, "api-key");
}

static const struct channel_proof example_proof = {
	.unit = "microvm@m.service",
	.id = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	.mac = {0xff, 0xfe, 0xfd},
};

static void a_proof_is_read_as_it_is_written(void **state)
{
	uint8_t bytes[CHANNEL_REQUEST_SIZE_MAX];
	const size_t plain = channel_request_write(bytes, "api-key");
	const size_t size = channel_proof_add(bytes, plain, &example_proof);
	struct channel_request parsed;
	struct error err = {0};
	bool is_whole;

	(void)state;
	for (size_t i = 0; i <= size; i++) {
		assert_success(channel_request_read(span_of(bytes, i), &parsed, &is_whole, &err));
		assert_int_equal(is_whole, i == size);
	}
	assert_string_equal(parsed.credential, "api-key");
	assert_string_equal(parsed.proof.unit, example_proof.unit);
	assert_memory_equal(parsed.proof.id, example_proof.id, sizeof(parsed.proof.id));
	assert_memory_equal(parsed.proof.mac, example_proof.mac, sizeof(parsed.proof.mac));
	/* It covers the whole request. */
	assert_true(span_equal(parsed.frame, span_skip(span_of(request, sizeof(request)),
						       CHANNEL_GUEST_HELLO_SIZE)));
}

static void the_longest_request_with_a_proof_fits(void **state)
{
	char name[CREDENTIAL_NAME_SIZE_MAX + 1] = "";
	struct channel_proof proof = example_proof;
	uint8_t bytes[CHANNEL_REQUEST_SIZE_MAX];
	struct channel_request parsed;
	struct error err = {0};
	bool is_whole;
	size_t size;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	memset(proof.unit, 'u', sizeof(proof.unit) - 1);
	size = channel_proof_add(bytes, channel_request_write(bytes, name), &proof);
	assert_success(channel_request_read(span_of(bytes, size), &parsed, &is_whole, &err));
	assert_true(is_whole);
	assert_string_equal(parsed.proof.unit, proof.unit);
	/* A proof has a unit, too. */
	for (size_t i = 1; i <= CHANNEL_ID_SIZE + CHANNEL_KEY_SIZE; i++)
		assert_false(channel_proof_take(span_of(bytes, i), &proof));
	assert_true(channel_proof_take(span_of(bytes, 0), &proof));
}

static void announcements_are_read_as_they_are_written(void **state)
{
	static uint8_t out[CHANNEL_ANNOUNCE_SIZE_MAX];
	static const struct channel_version given = {.credential = "api-key",
						     .version = {1, 2, 3, 4, 5, 6, 7, 8}};
	struct channel_version taken;
	struct error err = {0};
	struct span rest;
	size_t size = channel_announce_write(out), count = 0;

	(void)state;
	size = channel_announce_add(out, size, &given);
	assert_bytes(out, size, announcement);
	rest = span_of(out + CHANNEL_HEADER_SIZE, size - CHANNEL_HEADER_SIZE);
	for (size_t i = 1; i < rest.size; i++) {
		struct span cut = span_of(rest.data, i);

		assert_error(channel_announce_take(&cut, &taken, &err), VMCRED_FAILED,
			     "invalid message: ANNOUNCE ends within an entry");
	}
	assert_success(channel_announce_take(&rest, &taken, &err));
	assert_string_equal(taken.credential, "api-key");
	assert_memory_equal(taken.version, given.version, sizeof(given.version));
	assert_int_equal(rest.size, 0);
	/* It ends with 0 at its limit, not beyond it. */
	while (size > 0 && count++ < CHANNEL_ANNOUNCE_SIZE_MAX)
		size = channel_announce_add(out, size, &given);
	assert_int_equal(count, (CHANNEL_ANNOUNCE_SIZE_MAX - CHANNEL_HEADER_SIZE) / 16);
}

static void the_hello_of_a_host_is_recognized(void **state)
{
	uint8_t bytes[sizeof(host_hello)];
	struct span rest = span_of(host_hello, sizeof(host_hello));
	struct channel_frame frame;
	struct error err = {0};
	uint8_t nonce[CHANNEL_NONCE_SIZE];
	bool is_whole;

	(void)state;
	assert_success(channel_frame_take(&rest, CHANNEL_HOST_FRAME_MAX, &frame, &is_whole, &err));
	assert_true(is_whole);
	assert_int_equal(rest.size, 0);
	assert_success(channel_hello_read(&frame, nonce, &err));
	assert_memory_equal(nonce, host_hello + 12, sizeof(nonce));
	/* Each other type, size, magic and a version 0 is refused. */
	for (size_t i = 4; i <= 11; i++) {
		memcpy(bytes, host_hello, sizeof(bytes));
		bytes[i] = 0;
		rest = span_of(bytes, sizeof(bytes));
		assert_success(
			channel_frame_take(&rest, CHANNEL_HOST_FRAME_MAX, &frame, &is_whole, &err));
		assert_error(channel_hello_read(&frame, nonce, &err), VMCRED_FAILED,
			     "invalid message: the peer is not vmcred");
	}
	frame.payload = span_of(host_hello + 5, 7);
	assert_error(channel_hello_read(&frame, nonce, &err), VMCRED_FAILED,
		     "invalid message: the peer is not vmcred");
}

static void the_size_of_a_frame_is_limited(void **state)
{
	static const struct {
		size_t max;
		uint8_t header[CHANNEL_HEADER_SIZE];
		bool is_valid;
	} cases[] = {
		{512, {0, 0, 0, 0, 1}, false},
		{512, {0, 0, 0, 1, 1}, true},
		{512, {0, 0, 1, 252, 1}, true},
		{512, {0, 0, 1, 253, 1}, false},
		{CHANNEL_HOST_FRAME_MAX, {0, 16, 0, 9, 16}, true}, /* a value of 1 MiB */
		{CHANNEL_HOST_FRAME_MAX, {0, 16, 0, 10, 16}, false},
		{CHANNEL_HOST_FRAME_MAX, {255, 255, 255, 255, 1}, false},
		{CHANNEL_HOST_FRAME_MAX, {128, 0, 0, 0, 1}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = {0};
		uint8_t type;
		size_t size;
		int r = channel_header_read(cases[i].header, cases[i].max, &type, &size, &err);

		assert_int_equal(r, cases[i].is_valid ? 0 : -VMCRED_FAILED);
		error_clear(&err);
	}
}

static void reports_are_read_as_they_are_written(void **state)
{
	static const struct channel_finding given[] = {
		{CHANNEL_CUT, "a"}, {CHANNEL_CHANGED, "b c"}, {CHANNEL_UNEXPECTED, "api-key"}};
	uint8_t out[CHANNEL_REQUEST_SIZE_MAX];
	struct channel_request parsed;
	struct channel_finding taken;
	struct error err = {0};
	bool is_whole;
	size_t size = channel_report_write(out);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_true(channel_report_add(out, &size, &given[i]));
	assert_success(channel_request_read(span_of(out, size), &parsed, &is_whole, &err));
	assert_true(is_whole && parsed.type == CHANNEL_REPORT);
	for (size_t i = 0; i < 3; i++) {
		assert_success(channel_finding_take(&parsed.report, &taken, &err));
		assert_int_equal(taken.problem, given[i].problem);
		assert_string_equal(taken.credential, given[i].credential);
	}
	assert_int_equal(parsed.report.size, 0);
}

static void a_report_that_is_full_says_that_there_is_more(void **state)
{
	static const size_t lengths[] = {1, 2, 3, 100, 254, CREDENTIAL_NAME_SIZE_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct channel_finding finding = {.problem = CHANNEL_MISSING}, taken;
		uint8_t out[CHANNEL_REQUEST_SIZE_MAX];
		struct channel_request parsed;
		struct error err = {0};
		bool is_whole;
		size_t size = channel_report_write(out), count = 1;

		memset(finding.credential, 'x', lengths[i]);
		while (channel_report_add(out, &size, &finding))
			count++;
		assert_success(channel_request_read(span_of(out, size), &parsed, &is_whole, &err));
		assert_true(is_whole && parsed.type == CHANNEL_REPORT);
		for (; count > 1; count--) {
			assert_success(channel_finding_take(&parsed.report, &taken, &err));
			assert_string_equal(taken.credential, finding.credential);
		}
		assert_success(channel_finding_take(&parsed.report, &taken, &err));
		assert_int_equal(taken.problem, CHANNEL_MORE);
		assert_int_equal(parsed.report.size, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_are_read_as_they_are_written),
		cmocka_unit_test(a_report_that_is_full_says_that_there_is_more),
		cmocka_unit_test(messages_are_written_as_documented),
		cmocka_unit_test(a_request_is_whole_with_its_last_byte),
		cmocka_unit_test(a_proof_is_read_as_it_is_written),
		cmocka_unit_test(the_longest_request_with_a_proof_fits),
		cmocka_unit_test(announcements_are_read_as_they_are_written),
		cmocka_unit_test(the_hello_of_a_host_is_recognized),
		cmocka_unit_test(the_size_of_a_frame_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
