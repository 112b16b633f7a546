// SPDX-License-Identifier: GPL-2.0
/*
 * Tracepoints, see trace.h.
 */
#include "helpers.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void ondine_trace(enum ondine_event event, const char *volume, const char *cookie, u64 first,
		  u64 count, int result)
{
	switch (event) {
	case ONDINE_EVENT_SUBMIT:
		trace_ondine_submit(volume, cookie, first, count, result);
		break;
	case ONDINE_EVENT_DELIVER:
		trace_ondine_deliver(volume, cookie, first, count, result);
		break;
	case ONDINE_EVENT_FILL:
		trace_ondine_fill(volume, cookie, first, count, result);
		break;
	case ONDINE_EVENT_COMPLETE:
		trace_ondine_complete(volume, cookie, first, count, result);
		break;
	case ONDINE_EVENT_CANCEL:
		trace_ondine_cancel(volume, cookie, first, count, result);
		break;
	}
}
