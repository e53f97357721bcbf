package web

// The reasons for which the routes refuse, as a problem detail tells them to
// programs. What a stream is refused for is counted besides: see [RefusalReasons].
const (
	// The request.
	rejectMethod          = "method"
	rejectPath            = "path"
	rejectTopic           = "topic" // as of stream.RejectReasons
	rejectQuery           = "query"
	rejectSubject         = "subject"
	rejectClose           = "close"
	rejectMin             = "min"
	rejectLimit           = "limit"
	rejectSort            = "sort"
	rejectTraceID         = "trace_id"
	rejectBody            = "body"
	rejectBodySize        = "body_size"
	rejectContentType     = "content_type"
	rejectContentEncoding = "content_encoding"

	// Who asks, and from where.
	rejectHost          = "host"
	rejectOrigin        = "origin"
	rejectPlayForwarded = "play_forwarded"
	rejectPlayRemote    = "play_remote"
	rejectPlayOrigin    = "play_origin"
	rejectStreams       = "streams"
	rejectPublishOff    = "publish_off"
	rejectTicketOff     = "ticket_off"

	// How much is asked for.
	rejectPublishRate          = "publish_rate"
	rejectMaxRequests          = "max_requests"
	rejectMaxRequestsPerClient = "max_requests_per_client"
	rejectMaxSockets           = "max_sockets"
	rejectMaxSocketsPerClient  = "max_sockets_per_client"
	rejectMaxWatchers          = "max_watchers"
	rejectMaxTopics            = "max_topics"

	// The topic, its broker, and faults.
	rejectEvent    = "event"
	rejectHistory  = "history"
	rejectEnded    = "ended"
	rejectBroker   = "broker"
	rejectInternal = "internal"
)
