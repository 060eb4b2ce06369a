package sluice

import "time"

// Network says how connections to brokers are made and kept. The zero value is right for most.
type Network struct {
	// DialTimeout bounds making a connection (socket.connection.setup.timeout.ms). Zero: 10 s.
	DialTimeout time.Duration

	// IdleTimeout is after how long without a request a connection is closed (connections.max.idle.ms). Zero: 9 minutes.
	IdleTimeout time.Duration

	// KeepAlive is the time between two keep-alive probes of the operating system. Zero: 15 s. -1: none.
	KeepAlive time.Duration

	// MetadataMaxAge is how old the client's knowledge of topics and leaders may get (metadata.max.age.ms), and so how late a
	// new partition, or topic of a Pattern, may be noticed. Zero: 30 s.
	MetadataMaxAge time.Duration

	// ReceiveBufferBytes and SendBufferBytes are the sizes of the socket's buffers (receive.buffer.bytes, send.buffer.bytes).
	// Linux reports twice the value. Zero: the operating system's choice.
	ReceiveBufferBytes int
	SendBufferBytes    int

	// RequestTimeout is how long an answer may take beyond what the request itself allows (request.timeout.ms). Zero: 30 s.
	RequestTimeout time.Duration

	// RetryBackoff is the wait before a request is tried again (retry.backoff.ms); it doubles up to RetryBackoffMax
	// (retry.backoff.max.ms). Zero: 20 ms, up to 2.5 s or RetryBackoff where that is more.
	RetryBackoff    time.Duration
	RetryBackoffMax time.Duration
}
