/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/channel.h"

static const uint8_t magic[] = {'v', 'm', 'c', 'r', 'e', 'd'};

#define HELLO_SIZE (sizeof(magic) + 1)

int channel_header_read(const uint8_t header[CHANNEL_HEADER_SIZE], size_t size_max, uint8_t *type,
			size_t *payload_size, struct error *err)
{
	const size_t size = (size_t)header[0] << 24 | (size_t)header[1] << 16 |
			    (size_t)header[2] << 8 | header[3];

	/* The four bytes of the size itself count for the maximum only. */
	if (size == 0 || size > size_max - 4)
		return error_set(err, VMCRED_FAILED, "invalid message: its size is %zu bytes",
				 size);
	*type = header[4];
	*payload_size = size - 1;
	return 0;
}

int channel_frame_take(struct span *bytes, size_t size_max, struct channel_frame *frame,
		       bool *is_whole, struct error *err)
{
	size_t size = 0;
	int r;

	*is_whole = false;
	if (bytes->size < CHANNEL_HEADER_SIZE)
		return 0;
	r = channel_header_read(bytes->data, size_max, &frame->type, &size, err);
	if (r < 0 || bytes->size - CHANNEL_HEADER_SIZE < size)
		return r;
	frame->payload = span_of(bytes->data + CHANNEL_HEADER_SIZE, size);
	*bytes = span_skip(*bytes, CHANNEL_HEADER_SIZE + size);
	*is_whole = true;
	return 0;
}

static int invalid(struct error *err, const char *what)
{
	return error_set(err, VMCRED_FAILED, "invalid message: %s", what);
}

/* `*more` is what follows the version. */
static bool is_hello(const struct channel_frame *frame, struct span *more)
{
	if (frame->type != CHANNEL_HELLO || frame->payload.size < HELLO_SIZE ||
	    memcmp(frame->payload.data, magic, sizeof(magic)) != 0 ||
	    frame->payload.data[sizeof(magic)] == 0)
		return false;
	*more = span_skip(frame->payload, HELLO_SIZE);
	return true;
}

int channel_hello_read(const struct channel_frame *frame, uint8_t nonce[CHANNEL_NONCE_SIZE],
		       struct error *err)
{
	struct span more;

	if (!is_hello(frame, &more) || more.size != CHANNEL_NONCE_SIZE)
		return invalid(err, "the peer is not vmcred");
	memcpy(nonce, more.data, CHANNEL_NONCE_SIZE);
	return 0;
}

static int name_read(struct span name, char out[CREDENTIAL_NAME_SIZE_MAX + 1], struct error *err)
{
	if (name.size > CREDENTIAL_NAME_SIZE_MAX || memchr(name.data, '\0', name.size))
		return invalid(err, "not the name of a credential");
	memcpy(out, name.data, name.size);
	out[name.size] = '\0';
	/* The error would quote the name. */
	if (credential_name_check(out, err) < 0) {
		error_clear(err);
		out[0] = '\0';
		return invalid(err, "not the name of a credential");
	}
	return 0;
}

/* Whether all findings are valid. */
static int report_check(struct span payload, struct error *err)
{
	struct channel_finding finding;
	int r = 0;

	while (r == 0 && payload.size > 0)
		r = channel_finding_take(&payload, &finding, err);
	return r;
}

int channel_request_read(struct span bytes, struct channel_request *request, bool *is_whole,
			 struct error *err)
{
	struct channel_frame hello = {0}, frame = {0};
	struct span more;
	int r = channel_frame_take(&bytes, CHANNEL_GUEST_FRAME_MAX, &hello, is_whole, err);

	*request = (struct channel_request){0};
	if (r < 0 || !*is_whole)
		return r;
	if (!is_hello(&hello, &more))
		return invalid(err, "it does not start with HELLO");
	if (!channel_proof_take(more, &request->proof))
		return invalid(err, "its HELLO has no valid proof");
	request->frame = bytes;
	r = channel_frame_take(&bytes, CHANNEL_GUEST_FRAME_MAX, &frame, is_whole, err);
	if (r < 0 || !*is_whole)
		return r;
	if (bytes.size > 0)
		return invalid(err, "more than one request");
	if (hello.payload.data[sizeof(magic)] != CHANNEL_VERSION || frame.type < CHANNEL_GET ||
	    frame.type > CHANNEL_REPORT)
		return 0;
	request->type = frame.type;
	if (frame.type == CHANNEL_GET)
		return name_read(frame.payload, request->credential, err);
	if (frame.type == CHANNEL_REPORT) {
		request->report = frame.payload;
		return report_check(frame.payload, err);
	}
	return frame.payload.size == 0 ? 0 : invalid(err, "WATCH has no payload");
}

const char *channel_refusal_text(uint8_t reason)
{
	switch (reason) {
	case CHANNEL_DENIED:
		return "the host's declaration does not give it to this VM";
	case CHANNEL_UNAVAILABLE:
		return "the host cannot read it; its journal has the cause";
	case CHANNEL_BUSY:
		return "too many requests";
	case CHANNEL_UNSUPPORTED:
		return "the host has an older version of vmcred";
	case CHANNEL_UNPROVEN:
		return "the guest did not prove which VM it is; restart the VM with "
		       "channelCredentials, so that it gets a channel key";
	default:
		return "the host refused it";
	}
}

static size_t header_write(uint8_t *out, enum channel_type type, size_t payload_size)
{
	const size_t size = payload_size + 1;

	out[0] = (uint8_t)(size >> 24);
	out[1] = (uint8_t)(size >> 16);
	out[2] = (uint8_t)(size >> 8);
	out[3] = (uint8_t)size;
	out[4] = (uint8_t)type;
	return CHANNEL_HEADER_SIZE;
}

static size_t hello_write(uint8_t *out, size_t more)
{
	const size_t size = header_write(out, CHANNEL_HELLO, HELLO_SIZE + more);

	memcpy(out + size, magic, sizeof(magic));
	out[size + sizeof(magic)] = CHANNEL_VERSION;
	return size + HELLO_SIZE;
}

size_t channel_host_hello_write(uint8_t out[CHANNEL_HELLO_SIZE_MAX],
				const uint8_t nonce[CHANNEL_NONCE_SIZE])
{
	const size_t size = hello_write(out, CHANNEL_NONCE_SIZE);

	memcpy(out + size, nonce, CHANNEL_NONCE_SIZE);
	return size + CHANNEL_NONCE_SIZE;
}

size_t channel_value_head_write(uint8_t out[CHANNEL_VALUE_HEAD_SIZE],
				const uint8_t version[CHANNEL_VALUE_VERSION_SIZE], size_t size)
{
	const size_t head = header_write(out, CHANNEL_VALUE, CHANNEL_VALUE_VERSION_SIZE + size);

	memcpy(out + head, version, CHANNEL_VALUE_VERSION_SIZE);
	return head + CHANNEL_VALUE_VERSION_SIZE;
}

size_t channel_refused_write(uint8_t out[CHANNEL_HEADER_SIZE + 1], enum channel_refusal reason)
{
	const size_t size = header_write(out, CHANNEL_REFUSED, 1);

	out[size] = (uint8_t)reason;
	return size + 1;
}

size_t channel_request_write(uint8_t out[CHANNEL_REQUEST_SIZE_MAX], const char *credential)
{
	const struct span name = span_of_text(credential ? credential : "");
	size_t size = hello_write(out, 0);

	size += header_write(out + size, credential ? CHANNEL_GET : CHANNEL_WATCH, name.size);
	memcpy(out + size, name.data, name.size);
	return size + name.size;
}

size_t channel_announce_write(uint8_t out[CHANNEL_ANNOUNCE_SIZE_MAX])
{
	return header_write(out, CHANNEL_ANNOUNCE, 0);
}

size_t channel_announce_add(uint8_t out[CHANNEL_ANNOUNCE_SIZE_MAX], size_t size,
			    const struct channel_version *version)
{
	const struct span name = span_of_text(version->credential);
	const size_t more = 1 + name.size + CHANNEL_VALUE_VERSION_SIZE;

	if (more > CHANNEL_ANNOUNCE_SIZE_MAX - size)
		return 0;
	out[size] = (uint8_t)name.size;
	memcpy(out + size + 1, name.data, name.size);
	memcpy(out + size + 1 + name.size, version->version, CHANNEL_VALUE_VERSION_SIZE);
	header_write(out, CHANNEL_ANNOUNCE, size + more - CHANNEL_HEADER_SIZE);
	return size + more;
}

int channel_announce_take(struct span *payload, struct channel_version *version, struct error *err)
{
	const size_t length = payload->data[0], size = 1 + length + CHANNEL_VALUE_VERSION_SIZE;

	if (payload->size < size)
		return invalid(err, "ANNOUNCE ends within an entry");
	if (name_read(span_of(payload->data + 1, length), version->credential, err) < 0)
		return -(int)err->code;
	memcpy(version->version, payload->data + 1 + length, CHANNEL_VALUE_VERSION_SIZE);
	*payload = span_skip(*payload, size);
	return 0;
}

const char *channel_problem_name(enum channel_problem problem)
{
	static const char *const names[CHANNEL_PROBLEMS] = {"more", "cut", "changed", "missing",
							    "unexpected"};

	return names[problem];
}

size_t channel_report_write(uint8_t out[CHANNEL_REQUEST_SIZE_MAX])
{
	const size_t size = hello_write(out, 0);

	return size + header_write(out + size, CHANNEL_REPORT, 0);
}

bool channel_report_add(uint8_t out[CHANNEL_REQUEST_SIZE_MAX], size_t *size,
			const struct channel_finding *finding)
{
	const size_t start = hello_write(out, 0);
	const struct span name = span_of_text(finding->credential);
	/* The last byte is for CHANNEL_MORE. */
	const bool fits = *size + 2 + name.size < start + CHANNEL_GUEST_FRAME_MAX;

	out[(*size)++] = fits ? (uint8_t)finding->problem : CHANNEL_MORE;
	if (fits) {
		out[(*size)++] = (uint8_t)name.size;
		memcpy(out + *size, name.data, name.size);
		*size += name.size;
	}
	header_write(out + start, CHANNEL_REPORT, *size - start - CHANNEL_HEADER_SIZE);
	return fits;
}

int channel_finding_take(struct span *payload, struct channel_finding *finding, struct error *err)
{
	const uint8_t problem = payload->data[0];
	size_t length;

	*finding = (struct channel_finding){0};
	if (problem >= CHANNEL_PROBLEMS || (problem == CHANNEL_MORE && payload->size > 1))
		return invalid(err, "REPORT has an unknown finding");
	finding->problem = (enum channel_problem)problem;
	*payload = span_skip(*payload, 1);
	if (problem == CHANNEL_MORE)
		return 0;
	length = payload->size > 0 ? payload->data[0] : 0;
	if (payload->size < 1 + length)
		return invalid(err, "REPORT ends within an entry");
	if (name_read(span_of(payload->data + 1, length), finding->credential, err) < 0)
		return -(int)err->code;
	*payload = span_skip(*payload, 1 + length);
	return 0;
}

size_t channel_recorded_write(uint8_t out[CHANNEL_HEADER_SIZE])
{
	return header_write(out, CHANNEL_RECORDED, 0);
}
