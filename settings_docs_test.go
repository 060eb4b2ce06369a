package sluice_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-go/sluice"
)

// TestGeneratedConfigurationPage holds docs/configuration.md to the table that FromProperties reads; -update writes it (make
// generate).
func TestGeneratedConfigurationPage(t *testing.T) {
	golden(t, "../docs/configuration.md", configurationPage())
}

func configurationPage() string {
	var b strings.Builder
	b.WriteString(configurationHead)
	for _, part := range []struct{ title, of, intro string }{
		{"Consumers and producers", "common", ""},
		{"Consumers", "consumer", ""},
		{"Producers", "producer", "They are in the `ProducerConfig` that `Config.Producer` returns. Dead letters are written by them, too."},
		{"Security", "security", "Values of the type secret are never printed, nor is any value that could be part of one."},
		{"Numbers that Kafka has no property for", "field", "They are set in code."},
	} {
		fmt.Fprintf(&b, "\n## %s\n", part.title)
		if part.intro != "" {
			fmt.Fprintf(&b, "%s\n", part.intro)
		}
		first := "property"
		if part.of == "field" {
			first = "field"
		}
		fmt.Fprintf(&b, "\n| %s | type | Kafka's default | here |\n|---|---|---|---|\n", first)
		for _, s := range sluice.Settings() {
			if s.Part == part.of {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, s.Type, s.Kafka, s.Here)
			}
		}
	}
	b.WriteString(foreignHead)
	for _, n := range sluice.ForeignNames() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", n.Name, n.Client, n.Answer)
	}
	return b.String()
}

const configurationHead = `# Configuration

<!-- Written by "make generate" from the table in settings*.go. Do not edit. -->

Every property of Kafka's consumers and producers, version 4.3, and what becomes of it here. ` + "`sluice.FromProperties`" + ` reads a file of
them, and so does ` + "`kafka: {properties: …}`" + ` of a pipeline and ` + "`--properties`" + ` of the program. In code, set the field that stands for it.

How to read the tables:

- **A field** says what the property sets, what is accepted, and the default here. A property that is left out has this default, not
  Kafka's.
- **refused because …** says why there is no such setting, and what to do instead. Where "only" comes first, that value says what is
  done anyway, and is accepted.
- Fields are those of ` + "`Config`" + `, unless they begin with ` + "`ProducerConfig`" + `.
- A number outside its range, an unknown name, another client's name and two settings that contradict each other are errors: all at once,
  each with line, property, field, value and the way out. Nothing is put right in silence.

## What the usual advice amounts to

**Long polling.** A broker answers a fetch as soon as it has ` + "`fetch.min.bytes`" + ` (` + "`Fetch.MinBytes`" + `), at the latest after ` + "`fetch.max.wait.ms`" + `
(` + "`Fetch.MaxWait`" + `). With the defaults, 1 byte and 500 ms, a record comes at once and an idle topic costs two requests a second. For
fewer and larger answers raise ` + "`fetch.min.bytes`" + `, to 64 KiB or so; the wait is then what a record is late by at most while there is little
traffic. A longer wait alone changes nothing but how many requests an idle topic costs.

**Batch size of a consumer.** How much comes at once is ` + "`max.partition.fetch.bytes`" + ` for a partition and ` + "`fetch.max.bytes`" + ` for an answer. Both are
bytes before decompression. How many records a handler gets at once is another thing: ` + "`BatchRoute.MaxSize`" + `. And what is held in memory is a
third: ` + "`MaxBufferedBytes`" + `. None of them is a number of records in a channel, which says nothing about memory.

**Batch size of a producer.** ` + "`batch.size`" + ` is how large a batch may become, ` + "`linger.ms`" + ` how long it waits for more. Batches also form by themselves,
while others are under way.

**Socket buffers.** ` + "`receive.buffer.bytes`" + ` and ` + "`send.buffer.bytes`" + ` switch off the operating system's own sizing, which is better than a fixed size on most
networks. Set them where a path is long and fast: to its bandwidth times its round trip. Linux caps them at ` + "`net.core.rmem_max`" + ` and
` + "`net.core.wmem_max`" + `, and reports twice the value.

**Session and heartbeat.** ` + "`session.timeout.ms`" + ` is how long a dead member's partitions wait for another. Heartbeats never wait for a handler here, so
a slow handler is no reason to raise it, nor is ` + "`max.poll.interval.ms`" + `. ` + "`heartbeat.interval.ms`" + ` follows the session when it is left out.
`

const foreignHead = `
## Names of other clients
They are answered with ours, and never taken.

| name | client | what is said |
|---|---|---|
`
