/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of requests to the daemon, from submission to completion.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ondine

#if !defined(ONDINE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ONDINE_TRACE_H

#include <linux/tracepoint.h>

/*
 * An OPEN or a READ of the object with the keys @volume and @cookie, for @count
 * pages from @first on; @count is 0 for an OPEN. @result is 0, or the negative
 * errno with which the request has ended. A CLOSE, which has no answer, is not
 * traced.
 */
DECLARE_EVENT_CLASS(ondine_request,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result),
	TP_STRUCT__entry(
		__string(volume, volume)
		__string(cookie, cookie)
		__field(u64, first)
		__field(u64, count)
		__field(int, result)
	),
	TP_fast_assign(
		__assign_str(volume);
		__assign_str(cookie);
		__entry->first = first;
		__entry->count = count;
		__entry->result = result;
	),
	TP_printk("%s %s pages %llu+%llu result %d", __get_str(volume), __get_str(cookie),
		  __entry->first, __entry->count, __entry->result)
);

/* A request is added to the table, once. It also ends once. */
DEFINE_EVENT(ondine_request, ondine_submit,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

/*
 * The daemon has read the message of a request. Traced again if the request was
 * restored, or if the descriptor was closed before the answer. The OPEN that then
 * provides another descriptor serves READs in the table, and has no other events.
 */
DEFINE_EVENT(ondine_request, ondine_deliver,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

/*
 * The daemon has written pages; they become present after the event, so that no
 * read that finds them present, and requests others, is traced before it. Writes are
 * not tied to requests: one may fill pages of several, or of none.
 */
DEFINE_EVENT(ondine_request, ondine_fill,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

/* The daemon has answered the request. */
DEFINE_EVENT(ondine_request, ondine_complete,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

/*
 * The request ended without an answer: the session or the object ended, the
 * message could not be delivered, or the daemon refused the object of a READ.
 */
DEFINE_EVENT(ondine_request, ondine_cancel,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

#endif /* ONDINE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
