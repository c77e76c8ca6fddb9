/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sends, and what a host sends. An accepted request is what its name is written as. */
#include <stdint.h>
#include <stdlib.h>

#include "channel/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A report that was accepted is what its findings are written as. */
static void report_check(struct span bytes, struct span findings)
{
	uint8_t written[CHANNEL_REQUEST_SIZE_MAX];
	size_t size = channel_report_write(written);
	struct channel_finding finding;
	struct error err = {0};

	while (findings.size > 0) {
		if (channel_finding_take(&findings, &finding, &err) < 0)
			abort();
		/* The last byte of a frame is only for CHANNEL_MORE, which such a report has not.
		 */
		if (finding.problem == CHANNEL_MORE ||
		    !channel_report_add(written, &size, &finding))
			return;
	}
	if (!span_equal(bytes, span_of(written, size)))
		abort();
}

static void request_check(struct span bytes)
{
	uint8_t written[CHANNEL_REQUEST_SIZE_MAX];
	struct channel_request request, early;
	struct error err = {0};
	bool is_whole, is_early;
	size_t size;

	if (channel_request_read(bytes, &request, &is_whole, &err) == 0 && is_whole &&
	    request.type) {
		const bool is_get = request.type == CHANNEL_GET;

		if (is_get && credential_name_check(request.credential, &err) < 0)
			abort();
		size = channel_request_write(written, is_get ? request.credential : NULL);
		if (request.proof.unit[0])
			size = channel_proof_add(written, size, &request.proof);
		if (request.type == CHANNEL_REPORT)
			report_check(bytes, request.report);
		else if (!span_equal(bytes, span_of(written, size)))
			abort();
		/* It is not whole earlier. */
		if (channel_request_read(span_of(bytes.data, bytes.size - 1), &early, &is_early,
					 &err) < 0 ||
		    is_early)
			abort();
	}
	error_clear(&err);
}

/* An announcement that was read is written in the same way. */
static void announcement_check(struct span payload)
{
	static uint8_t out[CHANNEL_ANNOUNCE_SIZE_MAX];
	const struct span whole = payload;
	struct channel_version version;
	struct error err = {0};
	size_t size = channel_announce_write(out);

	while (payload.size > 0 && size > 0) {
		if (channel_announce_take(&payload, &version, &err) < 0) {
			error_clear(&err);
			return;
		}
		size = channel_announce_add(out, size, &version);
	}
	if (size > 0 &&
	    !span_equal(whole, span_of(out + CHANNEL_HEADER_SIZE, size - CHANNEL_HEADER_SIZE)))
		abort();
}

static void frames_check(struct span bytes)
{
	struct channel_frame frame;
	struct error err = {0};
	bool is_whole = true;
	uint8_t nonce[CHANNEL_NONCE_SIZE];

	while (is_whole) {
		const struct span before = bytes;

		if (channel_frame_take(&bytes, CHANNEL_HOST_FRAME_MAX, &frame, &is_whole, &err) < 0)
			break;
		if (bytes.size > before.size || is_whole != (bytes.size < before.size))
			abort();
		if (is_whole && (frame.payload.data < before.data ||
				 frame.payload.data + frame.payload.size != bytes.data))
			abort();
		if (!is_whole)
			break;
		(void)channel_hello_read(&frame, nonce, &err);
		error_clear(&err);
		announcement_check(frame.payload);
	}
	error_clear(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	request_check(span_of(data, size));
	frames_check(span_of(data, size));
	return 0;
}
