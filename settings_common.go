package sluice

import (
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const ofOthers = "metrics come from package metrics, in Prometheus' format; App.Stats and Events tell the same numbers"

// commonSettings are those that Kafka's consumers and producers share.
var commonSettings = []setting{
	{
		name: "bootstrap.servers", of: common, kind: aList, field: "Brokers", ours: "required",
		set: func(c *Config, v string) error {
			for b := range strings.SplitSeq(v, ",") {
				if b = strings.TrimSpace(b); b == "" {
					return errors.New("an empty address; give host:port, host:port …")
				}
				c.Brokers = append(c.Brokers, b)
			}
			return nil
		},
	},
	{
		name: "client.dns.lookup", of: common, kind: aText, kafka: "use_all_dns_ips", accept: []string{"use_all_dns_ips"},
		refused: "every address of a name is always tried; the other way is only of use with Kerberos, which is not supported. " +
			"List the brokers' own names in bootstrap.servers",
	},
	{
		name: "client.id", of: common, kind: aText, field: "ClientID", ours: `"sluice"`,
		set: setText(func(c *Config) *string { return &c.ClientID }),
	},
	{
		name: "config.providers", of: common, kind: aList, accept: []string{""},
		refused: "values are taken as they are written; have the file written with its secrets, or set the field of Config in code",
	},
	{
		name: "connections.max.idle.ms", of: common, kind: milliseconds, kafka: "540000", field: "Network.IdleTimeout",
		number: &number{
			at:    func(c *Config) any { return &c.Network.IdleTimeout },
			unset: int64(9 * time.Minute), low: int64(100 * time.Millisecond), high: int64(15 * time.Minute),
			why: "brokers close idle connections themselves, by default after 10 minutes, so none are kept for ever (-1)",
		},
	},
	{
		name: "enable.metrics.push", of: common, kind: aBoolean, kafka: "true", ours: "true",
		field:  "ClientOptions: kgo.DisableClientMetrics",
		accept: []string{"true"},
		set: func(c *Config, v string) error {
			if !strings.EqualFold(v, "false") {
				return oneOf(v, "true", "false")
			}
			c.ClientOptions = append(c.ClientOptions, kgo.DisableClientMetrics())
			return nil
		},
	},
	{
		name: "interceptor.classes", of: common, kind: aList, accept: []string{""},
		refused: "Java classes cannot run here; Middleware sees each record before its handler, and Events what becomes of it",
	},
	{
		name: "metadata.max.age.ms", of: common, kind: milliseconds, kafka: "300000", field: "Network.MetadataMaxAge",
		number: &number{
			at:    func(c *Config) any { return &c.Network.MetadataMaxAge },
			unset: int64(30 * time.Second), low: int64(10 * time.Millisecond), high: int64(time.Hour),
		},
		note: "a new partition, or a new topic that a pattern matches, is noticed after this time at the latest",
	},
	{
		name: "metadata.recovery.rebootstrap.trigger.ms", of: common, kind: milliseconds, kafka: "300000",
		refused: "the brokers of bootstrap.servers are asked again all the time, in turns with those that are known; " +
			"nothing has to trigger it",
	},
	{
		name: "metadata.recovery.strategy", of: common, kind: aText, kafka: "rebootstrap", accept: []string{"rebootstrap"},
		refused: "the brokers of bootstrap.servers are always asked again when no other answers; leave it out",
	},
	{name: "metric.reporters", of: common, kind: aList, kafka: "JmxReporter", accept: []string{""}, refused: ofOthers},
	{name: "metrics.num.samples", of: common, kind: aCount, kafka: "2", refused: ofOthers},
	{name: "metrics.recording.level", of: common, kind: aText, kafka: "INFO", refused: ofOthers},
	{name: "metrics.sample.window.ms", of: common, kind: milliseconds, kafka: "30000", refused: ofOthers},
	{
		name: "receive.buffer.bytes", of: common, kind: bytes, kafka: "65536, producers 32768", field: "Network.ReceiveBufferBytes",
		ours: "the operating system's choice",
		number: &number{
			at:  func(c *Config) any { return &c.Network.ReceiveBufferBytes },
			low: 1, high: largestBuffer, zero: "-1",
		},
	},
	{
		name: "reconnect.backoff.max.ms", of: common, kind: milliseconds, kafka: "1000",
		refused: "a connection is tried again as a request is: retry.backoff.max.ms bounds that wait, too",
	},
	{
		name: "reconnect.backoff.ms", of: common, kind: milliseconds, kafka: "50",
		refused: "a connection is tried again as a request is: give retry.backoff.ms",
	},
	{
		name: "request.timeout.ms", of: common, kind: milliseconds, kafka: "30000", field: "Network.RequestTimeout",
		number: &number{
			at:    func(c *Config) any { return &c.Network.RequestTimeout },
			unset: int64(30 * time.Second), low: int64(100 * time.Millisecond), high: int64(15 * time.Minute),
		},
		note: "it counts on top of what a request itself allows the broker, as fetch.max.wait.ms does",
	},
	{
		name: "retry.backoff.max.ms", of: common, kind: milliseconds, kafka: "1000", field: "Network.RetryBackoffMax",
		ours: "2.5 s, or Network.RetryBackoff where that is more",
		number: &number{
			at:  func(c *Config) any { return &c.Network.RetryBackoffMax },
			low: int64(time.Millisecond), high: int64(time.Hour),
		},
	},
	{
		name: "retry.backoff.ms", of: common, kind: milliseconds, kafka: "100", field: "Network.RetryBackoff",
		number: &number{
			at:    func(c *Config) any { return &c.Network.RetryBackoff },
			unset: int64(20 * time.Millisecond), low: int64(time.Millisecond), high: int64(time.Hour),
		},
		note: "of requests and connections; a handler's retries have Policy.Retry",
	},
	{
		name: "send.buffer.bytes", of: common, kind: bytes, kafka: "131072", field: "Network.SendBufferBytes",
		ours: "the operating system's choice",
		number: &number{
			at:  func(c *Config) any { return &c.Network.SendBufferBytes },
			low: 1, high: largestBuffer, zero: "-1",
		},
	},
	{
		name: "socket.connection.setup.timeout.max.ms", of: common, kind: milliseconds, kafka: "30000",
		refused: "the limit does not grow with each attempt here: socket.connection.setup.timeout.ms is all of it",
	},
	{
		name: "socket.connection.setup.timeout.ms", of: common, kind: milliseconds, kafka: "10000", field: "Network.DialTimeout",
		number: &number{
			at:    func(c *Config) any { return &c.Network.DialTimeout },
			unset: int64(10 * time.Second), low: int64(time.Millisecond), high: int64(15 * time.Minute),
		},
		note: "with TLS it includes the handshake",
	},
}
