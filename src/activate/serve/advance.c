/* SPDX-License-Identifier: Apache-2.0 */
/* An answer from its request to its end, as far as its peer allows each time. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "activate/serve/server.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "delivery/delivery.h"

#define VALUE_KEEP_MS ((int64_t)30 * 1000)
/* Peers that read in small parts, in turns, have it decrypted ten times a second at most. */
#define VALUE_TURN_MS ((int64_t)100)

void server_event_report(struct server *server, const struct serve_answer *answer,
			 enum serve_result result, const struct error *reason)
{
	const struct serve_request *request = &answer->request;
	const bool is_whole = request->credential[0], is_known = request->asked.unit[0];
	const struct serve_event event = {
		.result = result,
		.unit = is_known ? request->asked.unit : NULL,
		.credential = is_whole                       ? request->credential
			      : request->asked.credential[0] ? request->asked.credential
							     : NULL,
		.is_cut = !is_whole && request->asked.is_full,
		.process = request->peer.pid,
		.user = request->peer.uid,
		.is_guest = request->is_guest,
		.cid = request->cid,
		.reason = reason,
	};

	if (result == SERVE_TURNED_AWAY && !is_known) {
		allowance_update(&server->unknown_lines, UNKNOWN_LINES_MAX, UNKNOWN_LINES_SECOND,
				 clock_now_ms());
		if (server->unknown_lines.left <= 0)
			return;
		server->unknown_lines.left--;
	}
	server->options->on_event(server->options, &event);
}

void server_value_forget(struct server *server)
{
	secret_destroy(&server->value);
	server->value_fd = -1;
}

bool server_answer_is_waiting(const struct server *server, const struct serve_answer *answer,
			      int64_t now)
{
	return answer->request.credential[0] && !answer->is_refused && server->value_fd >= 0 &&
	       server->value_fd != answer->fd && now < server->value_turn;
}

bool server_answer_is_reading(const struct serve_answer *answer)
{
	return answer->guest && !answer->guest->is_watching && !answer->is_refused &&
	       !answer->request.asked.credential[0];
}

void server_answer_refuse(struct server *server, struct serve_answer *answer,
			  const struct error *reason)
{
	struct serve_guest *guest = answer->guest;

	server_event_report(server, answer, SERVE_REFUSED, reason);
	answer->is_refused = true;
	/* In the middle of a value, only the end of the connection can tell the guest. */
	if (guest && answer->sent == 0)
		guest->head_size = channel_refused_write(
			guest->head,
			reason->code == VMCRED_USAGE ? CHANNEL_DENIED : CHANNEL_UNAVAILABLE);
}

void server_answer_end(struct server *server, struct serve_answer *answer, enum serve_progress how)
{
	_cleanup_error_ struct error reason = {0};
	const bool is_asked = answer->request.asked.credential[0];

	if (answer->guest && answer->guest->is_watching)
		server->watchers--;
	else if (!answer->is_refused && how != SERVE_DONE) {
		error_set(&reason, VMCRED_FAILED, "%s",
			  how == SERVE_LATE ? "it took too long"
					    : "the peer closed the connection too early");
		server_event_report(server, answer, is_asked ? SERVE_HUNG_UP : SERVE_TURNED_AWAY,
				    &reason);
	} else if (!answer->is_refused && answer->is_left_out) {
		error_set(&reason, VMCRED_MISSING, "it is optional and not in the store");
		server_event_report(server, answer, SERVE_LEFT_OUT, &reason);
	} else if (!answer->is_refused) {
		server_event_report(server, answer, SERVE_GAVE, NULL);
	}
	if (server->value_fd == answer->fd)
		server_value_forget(server);
	serve_answer_close(answer);
}

/* Whether two guests share their limits: the same unit or, before it is known, the same CID. */
static bool is_same_guest(const struct serve_request *a, const struct serve_request *b)
{
	return strcmp(a->asked.unit, b->asked.unit) == 0 && (a->asked.unit[0] || a->cid == b->cid);
}

bool server_guest_admit(struct server *server, const struct serve_answer *answer)
{
	_cleanup_error_ struct error err = {0};
	const struct serve_request *request = &answer->request;
	struct serve_limit *limit;
	size_t guests = 0, own = 0;
	char cid[32];

	/* A unit's name has no space. */
	snprintf(cid, sizeof(cid), "CID %u", request->cid);
	limit = serve_limit_get(&server->limits, request->asked.unit[0] ? request->asked.unit : cid,
				clock_now_ms());
	for (size_t i = 0; i < server->count; i++) {
		const struct serve_answer *other = &server->answers[i];

		if (other == answer || other->fd < 0 || !other->request.is_guest)
			continue;
		guests++;
		own += is_same_guest(&other->request, request);
	}
	if (limit && limit->allowance.left > 0 && own < GUEST_CONNECTIONS_MAX &&
	    guests < server->options->answers_max / 2) {
		limit->allowance.left--;
		return true;
	}
	/* Once until it has been quiet for a while. */
	if (limit && !limit->is_reported) {
		error_set(&err, VMCRED_FAILED, "too many requests");
		server_event_report(server, answer, SERVE_TURNED_AWAY, &err);
		limit->is_reported = true;
	}
	return false;
}

static int value_read(struct server *server, struct serve_answer *answer, struct secret *value,
		      struct error *err)
{
	int r = serve_source_read(&server->source, &answer->request, value, &answer->is_left_out,
				  err);

	if (r == 0 && answer->sent > 0 && value->size != answer->size)
		r = error_set(err, VMCRED_FAILED, "the secret changed while it was sent");
	if (answer->guest) {
		answer->guest->cost += GUEST_DOCUMENT_BYTES + value->size;
		serve_limit_charge(&server->limits, answer->request.asked.unit, answer->guest);
	}
	answer->size = value->size;
	return r;
}

/* What precedes the value in its frame. */
static int head_write(struct serve_answer *answer, const struct secret *value, struct error *err)
{
	struct serve_guest *guest = answer->guest;
	uint8_t version[CHANNEL_VALUE_VERSION_SIZE];
	int r;

	if (!guest || guest->head_size > 0)
		return 0;
	r = serve_key_version(guest->key, answer->request.credential, secret_span(value), version,
			      err);
	if (r == 0)
		guest->head_size = channel_value_head_write(guest->head, version, value->size);
	return r;
}

/* Keeps a guest's report for those who read it (delivery/delivery.h), and logs it. */
static void report_take(struct server *server, struct serve_answer *answer, struct span findings)
{
	_cleanup_delivery_report_ struct delivery_report report = {0};
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *text = NULL;
	struct serve_guest *guest = answer->guest;
	const char *unit = answer->request.asked.unit;
	int r = delivery_report_parse(findings, &report, &err);

	delivery_id_write(span_of(guest->key, sizeof(guest->key)), report.id);
	if (r == 0)
		r = delivery_report_write(server->options->runtime, unit, &report, &err);
	if (r < 0) {
		error_wrap(&err, "keeping its report");
		server_answer_refuse(server, answer, &err);
		return;
	}
	text = delivery_report_text(&report);
	if (!text || *text)
		error_set(&err, VMCRED_INTEGRITY, "%s", text ? text : "out of memory");
	server_event_report(server, answer,
			    delivery_report_state(&report, NULL) == DELIVERY_DELIVERED
				    ? SERVE_CONFIRMED
				    : SERVE_REJECTED,
			    err.text ? &err : NULL);
	/* The answer has no value. */
	answer->is_refused = true;
	guest->head_size = channel_recorded_write(guest->head);
}

static void refuse(struct serve_answer *answer, enum channel_refusal reason)
{
	struct serve_guest *guest = answer->guest;

	answer->is_refused = true;
	guest->head_size = channel_refused_write(guest->head, reason);
}

/* Checks the proof, which says which unit's guest asks. Otherwise the answer is a refusal. */
static bool unit_prove(struct server *server, struct serve_answer *answer,
		       const struct channel_request *request)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret boot_key = {0};
	struct serve_guest *guest = answer->guest;
	char *unit = answer->request.asked.unit;
	const bool is_known = unit[0];
	struct serve_unit_key unit_key = {0};
	int r = serve_key_read(server->options->runtime, &boot_key, &err);

	if (r == 0)
		r = serve_key_prove(&boot_key, guest->nonce, request, &unit_key, &err);
	if (r == 0 && is_known && strcmp(unit, unit_key.unit) != 0)
		r = error_set(&err, VMCRED_FAILED, "it has the channel key of another unit");
	if (r < 0) {
		server_event_report(server, answer, SERVE_TURNED_AWAY, &err);
		refuse(answer, CHANNEL_UNPROVEN);
		return false;
	}
	guest->is_unproven = false;
	memcpy(guest->key, unit_key.key, sizeof(guest->key));
	memcpy(unit, unit_key.unit, sizeof(unit_key.unit));
	memory_wipe(&unit_key, sizeof(unit_key));
	if (is_known || server_guest_admit(server, answer))
		return true;
	refuse(answer, CHANNEL_BUSY);
	return false;
}

/* Reads a guest's request, which may have arrived in part. */
static enum serve_arrival request_read(struct server *server, struct serve_answer *answer)
{
	_cleanup_error_ struct error err = {0};
	struct serve_guest *guest = answer->guest;
	struct channel_request request;
	enum serve_arrival arrival = serve_guest_read(answer->fd, guest, &request, &err);

	if (arrival == SERVE_INVALID) {
		server_event_report(server, answer, SERVE_TURNED_AWAY, &err);
		answer->is_refused = true;
	}
	if (arrival != SERVE_REQUEST)
		return arrival;
	if (guest->is_unproven && !unit_prove(server, answer, &request))
		return arrival;
	guest->deadline = clock_now_ms() + GUEST_ANSWER_MS;
	if (request.type == CHANNEL_WATCH) {
		report_message(server->report, REPORT_INFO, "the guest of %s watches for changes",
			       answer->request.asked.unit);
		guest->is_watching = true;
		guest->deadline = INT64_MAX;
		guest->round = server->round - 1;
		server->watchers++;
		server->is_behind = true;
		return arrival;
	}
	if (request.type == CHANNEL_GET) {
		memcpy(answer->request.asked.credential, request.credential,
		       sizeof(request.credential));
		return arrival;
	}
	if (request.type == CHANNEL_REPORT) {
		report_take(server, answer, request.report);
		return arrival;
	}
	error_set(&err, VMCRED_FAILED, "it needs a newer vmcred");
	server_event_report(server, answer, SERVE_TURNED_AWAY, &err);
	refuse(answer, CHANNEL_UNSUPPORTED);
	return arrival;
}

bool server_watcher_advance(struct server *server, struct serve_answer *answer, int64_t until)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ uint8_t *announce = NULL;
	struct serve_guest *guest = answer->guest;
	const char *unit = answer->request.asked.unit;
	bool is_complete = true;
	size_t size = 0;
	int r = serve_source_announce(&server->source, unit, guest, until, &is_complete, &announce,
				      &size, &err);

	serve_limit_charge(&server->limits, unit, guest);
	if (r == 0 && !is_complete) {
		server->is_behind = true;
		server->behind_fd = answer->fd;
		return false;
	}
	guest->round = server->round;
	/* A guest that has not read the last one connects again, and gets them all. */
	if (r == 0 && size > 0 &&
	    send(answer->fd, announce, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
		r = error_set(&err, VMCRED_FAILED, "the guest does not read");
	if (r < 0) {
		server_event_report(server, answer, SERVE_TURNED_AWAY, &err);
		server_answer_end(server, answer, SERVE_GONE);
		return true;
	}
	if (size > 0 && guest->has_announced)
		report_message(server->report, REPORT_INFO, "announced changes to the guest of %s",
			       unit);
	guest->has_announced |= size > 0;
	return false;
}

static bool has_hung_up(int fd)
{
	struct pollfd polled = {.fd = fd};

	return poll(&polled, 1, 0) == 1 && (polled.revents & (POLLHUP | POLLERR));
}

bool server_answer_advance(struct server *server, struct serve_answer *answer)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret fresh = {0};
	const bool has_value = server->value_fd == answer->fd;
	enum serve_progress progress;
	int64_t now;

	/* Decrypt nothing for a peer that is gone. */
	if (has_hung_up(answer->fd)) {
		server_answer_end(server, answer, SERVE_GONE);
		return true;
	}
	if (server_answer_is_reading(answer)) {
		const enum serve_arrival arrival = request_read(server, answer);

		if (arrival == SERVE_PART ||
		    (arrival == SERVE_REQUEST && answer->guest->is_watching))
			return false;
		if (arrival != SERVE_REQUEST) {
			server_answer_end(server, answer, SERVE_GONE);
			return true;
		}
	}
	if (!answer->is_refused && !has_value &&
	    (value_read(server, answer, &fresh, &err) < 0 || head_write(answer, &fresh, &err) < 0))
		server_answer_refuse(server, answer, &err);
	progress = serve_answer_send(answer, secret_span(has_value ? &server->value : &fresh));
	if (progress != SERVE_WAITS) {
		server_answer_end(server, answer, progress);
		return true;
	}
	now = clock_now_ms();
	if (!answer->is_refused && !has_value && !server_answer_is_waiting(server, answer, now)) {
		server_value_forget(server);
		secret_move(&server->value, &fresh);
		server->value_fd = answer->fd;
		server->value_until = now + VALUE_KEEP_MS;
		server->value_turn = now + VALUE_TURN_MS;
	}
	return false;
}
