/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of requests, from the kernel's question to its end.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ondine

#if !defined(ONDINE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ONDINE_TRACE_H

#include <linux/tracepoint.h>

/*
 * An OPEN or a READ of the object that the keys `volume` and `cookie` name, for
 * `count` pages from `first` on: none for an OPEN. `result` is 0, or, where the
 * request ends, the negative errno that it ends with. A CLOSE, which nobody waits
 * for, is not traced.
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

/* A request is put into the table: once, and it ends once. */
DEFINE_EVENT(ondine_request, ondine_submit,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

/*
 * The daemon has read its message. Again, if the request was restored, or if the
 * descriptor was closed before the answer came. The OPEN that then brings another
 * descriptor is for READs that are in the table: of it, nothing else is traced.
 */
DEFINE_EVENT(ondine_request, ondine_deliver,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

/* The daemon has answered. */
DEFINE_EVENT(ondine_request, ondine_complete,
	TP_PROTO(const char *volume, const char *cookie, u64 first, u64 count, int result),
	TP_ARGS(volume, cookie, first, count, result));

/*
 * It ends without an answer: session or object are gone, the daemon could not be
 * given the message, or it refuses the object that a READ is of.
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
