package sluice

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ClientOptionsOf are what an app's client is made with, but for what the engine adds.
func (c Config) ClientOptionsOf() []kgo.Opt { return c.clientOptions() }

// Dial makes a connection as an app's client does.
func (c Config) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.connection().dialer().dial(ctx, network, address)
}

// Backoff is the wait after some failures.
func (n *Network) Backoff(failures int) time.Duration {
	full := n.withDefaults()
	return full.backoff(failures)
}

// Extremes set each number of a consumer's to the least and the greatest that is accepted.
func Extremes() map[string]func(*Config) {
	all := make(map[string]func(*Config))
	for i := range settings {
		if s := &settings[i]; s.number != nil && s.of&consumer != 0 {
			for _, v := range []int64{s.number.low, s.number.high} {
				all[s.field+" = "+s.exact(v)] = func(c *Config) { s.number.put(c, v) }
			}
		}
	}
	return all
}

// SettingRow is a setting as docs/configuration.md has it.
type SettingRow struct {
	Part string // common, consumer, producer, security, or field for those without a property
	Name string
	Type string

	Kafka string // its default
	Here  string // what becomes of it
}

// Settings are all of them, in order.
func Settings() []SettingRow {
	var rows []SettingRow
	for i := range settings {
		s := &settings[i]
		row := SettingRow{Part: s.part(), Name: s.name, Type: string(s.kind), Kafka: "none", Here: s.here()}
		if s.kafka != "" {
			row.Kafka = code(s.kafka)
		}
		if s.name == "" {
			row.Name = s.field
		}
		rows = append(rows, row)
	}
	return rows
}

func (s *setting) part() string {
	for prefix, part := range map[string]string{"security.": "security", "sasl.": "security", "ssl.": "security"} {
		if strings.HasPrefix(s.name, prefix) {
			return part
		}
	}
	switch {
	case s.name == "":
		return "field"
	case s.of == common:
		return "common"
	case s.of == consumer:
		return "consumer"
	}
	return "producer"
}

func (s *setting) here() string {
	if s.refused != "" {
		if len(s.accept) > 0 && !slices.Contains(s.accept, "") {
			return "only " + code(s.accept...) + "; refused because " + s.refused
		}
		return "refused because " + s.refused
	}
	text := code(strings.Split(s.field, ", ")...)
	if n := s.number; n != nil && !strings.HasPrefix(s.name, "sasl.") {
		text += fmt.Sprintf(", %s to %s", s.readable(n.low), s.readable(n.high))
	}
	switch {
	case s.ours != "":
		text += ". Default: " + s.ours
	case s.number != nil:
		text += ". Default: " + s.readable(s.number.unset)
	}
	if s.number != nil && s.number.zero != "" {
		text += " (" + code(s.number.zero) + ")"
	}
	if s.number != nil && s.number.why != "" {
		text += "; " + s.number.why
	}
	if s.note != "" {
		text += "; " + s.note
	}
	return text
}

func (s *setting) readable(v int64) string {
	switch {
	case s.kind == milliseconds && v == int64(longestOnWire):
		return "2147483647 ms"
	case s.kind == milliseconds:
		return strings.NewReplacer("ms", " ms", "ns", " ns", "s", " s", "m", " min", "h", " h").Replace(shortDuration(time.Duration(v)))
	case v >= 1<<62:
		return "any"
	case s.kind == bytes && v%(1<<30) == 0 && v > 0:
		return strconv.FormatInt(v>>30, 10) + " GiB"
	case s.kind == bytes && v%(1<<20) == 0 && v > 0:
		return strconv.FormatInt(v>>20, 10) + " MiB"
	case s.kind == bytes && v%(1<<10) == 0 && v > 0:
		return strconv.FormatInt(v>>10, 10) + " KiB"
	}
	return strconv.FormatInt(v, 10)
}

func code(words ...string) string { return "`" + strings.Join(words, "`, `") + "`" }

// ForeignName is another client's setting.
type ForeignName struct{ Name, Client, Answer string }

// ForeignNames are all that are answered.
func ForeignNames() []ForeignName {
	all := make([]ForeignName, len(foreignNames))
	for i, f := range foreignNames {
		all[i] = ForeignName{f.name, f.client, f.answer}
	}
	return all
}
