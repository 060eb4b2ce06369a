package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// Environment looks a variable up.
type Environment = yamlfile.Environment

// Problems is every mistake in a file.
type Problems = yamlfile.Problems

type field = yamlfile.Field

// reader reads a pipeline file.
type reader struct {
	*yamlfile.Reader

	language *language // of its expressions; nil before the first
}

// Load reads a pipeline file. Its error is of type Problems and holds every mistake.
func Load(file string, env Environment) (*Spec, error) {
	text, err := yamlfile.Open(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text, env)
}

// Parse is Load for a text in memory. Paths in it are relative to the file's folder.
func Parse(file string, text []byte, env Environment) (*Spec, error) {
	yaml, root, err := yamlfile.Read(file, text, env)
	if err != nil {
		return nil, err
	}
	r := &reader{Reader: yaml}
	spec := r.pipeline(root)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return spec, nil
}

func (r *reader) pipeline(root field) *Spec {
	top, _ := r.Object(root, "name", "kafka", "source", "decode", "transform", "sink", "delivery", "retry", "dead_letter", "commit")
	s := &Spec{File: r.File}
	r.Require(top["name"], "name the pipeline; it is the consumer group too, unless source.group says otherwise")
	s.Name = r.Text(top["name"])
	r.kafka(s, top["kafka"])
	r.source(s, top["source"])
	r.decode(s, top["decode"])
	r.transform(s, top["transform"])
	r.delivery(s, top["delivery"])
	r.sink(s, top["sink"])
	r.deadLetter(s, top["dead_letter"])
	r.retry(s, top["retry"], top["dead_letter"])
	r.commit(s, top["commit"])
	return s
}

func (r *reader) kafka(s *Spec, f field) {
	kafka, _ := r.Object(f, "brokers", "properties")
	if path := r.Text(kafka["properties"]); path != "" {
		s.Kafka = r.properties(kafka["properties"], path)
	}
	if kafka["brokers"].Present() {
		if kafka["properties"].Present() {
			r.Badf(kafka["brokers"], "give brokers or properties, not both; the properties file names them as bootstrap.servers")
		}
		s.Kafka.Brokers = r.Texts(kafka["brokers"])
	}
}

func (r *reader) properties(f field, path string) sluice.Config {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.File), path)
	}
	cfg, err := LoadProperties(path, "")
	for _, e := range Flatten(err) {
		r.Badf(f, "%v", e)
	}
	return cfg
}

// LoadProperties reads a file with Kafka's own names for settings. One of defaults, lines of such a file, holds where the file
// gives none of them.
func LoadProperties(path, defaults string) (sluice.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return sluice.Config{}, err
	}
	// A name that is there twice is a mistake, so this fails where the file gives it itself.
	if cfg, err := sluice.FromProperties(strings.NewReader(defaults + string(text))); err == nil {
		return cfg, nil
	}
	cfg, err := sluice.FromProperties(bytes.NewReader(text))
	var named []error
	for _, e := range Flatten(err) {
		named = append(named, fmt.Errorf("%s: %w", path, e))
	}
	return cfg, errors.Join(named...)
}

// Flatten returns the errors that errors.Join put together, and any other error as it is.
func Flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	parts := joined.Unwrap()
	texts := make([]string, len(parts))
	for i, e := range parts {
		texts[i] = e.Error()
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err} // fmt.Errorf with several %w
	}
	var out []error
	for _, e := range parts {
		out = append(out, Flatten(e)...)
	}
	return out
}

func (r *reader) source(s *Spec, f field) {
	r.Require(f, "say what to read: source: {topics: [...]}")
	source, _ := r.Object(f, "topics", "group", "ordering", "start")
	if f.Present() {
		r.Require(source["topics"], "name at least one topic")
	}
	s.Topics = r.Texts(source["topics"])
	for i, t := range s.Topics {
		if t != "" && slices.Index(s.Topics, t) < i {
			r.Badf(source["topics"], "%q is named twice", t)
		}
	}
	s.Group = r.Text(source["group"])
	s.groupAt = source["group"]
	s.orderingAt = source["ordering"]
	ordering := r.Choice(s.orderingAt, "partition", "key", "unordered")
	s.Ordering = map[string]sluice.Ordering{"key": sluice.ByKey, "unordered": sluice.Unordered}[ordering]
	s.HasStart = source["start"].Present()
	s.Start = r.start(source["start"])
}

func (r *reader) start(f field) sluice.Start {
	text, ok := r.Scalar(f, "earliest, latest or a time")
	switch {
	case !ok, text == "earliest":
		return sluice.Earliest()
	case text == "latest":
		return sluice.Latest()
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.Badf(f, "%s is none of earliest, latest and a time as in 2026-01-31T08:00:00Z%s",
			yamlfile.Quote(f.Node), yamlfile.Suggestion(text, "earliest", "latest"))
	}
	return sluice.StartAt(at)
}

func (r *reader) deadLetter(s *Spec, f field) {
	letter, _ := r.Object(f, "topic", "headers")
	if f.Present() {
		r.Require(letter["topic"], "name the topic that failed records are copied to")
	}
	s.DeadLetter = r.Text(letter["topic"])
	s.DeadLetterHeaders = sluice.DeadLetterHeaders(r.Choice(letter["headers"], string(sluice.NativeHeaders),
		string(sluice.SpringHeaders), string(sluice.ConnectHeaders), string(sluice.KafkaHeaders)))
	switch {
	case s.DeadLetter == "":
	case slices.Contains(s.Topics, s.DeadLetter):
		r.Badf(letter["topic"], "%q is a topic of the source, too: dead letters would be read again for ever", s.DeadLetter)
	case s.DeadLetter == s.Topic.Name:
		r.Badf(letter["topic"], "%q is the topic of the sink, too: nobody could tell dead letters from results; name another", s.DeadLetter)
	}
}

func (r *reader) retry(s *Spec, f, letter field) {
	retry, _ := r.Object(f, "attempts", "backoff", "max_backoff")
	s.Retry = sluice.Retry{
		MaxAttempts: r.Number(retry["attempts"], 1),
		Backoff:     r.Duration(retry["backoff"]),
		MaxBackoff:  r.Duration(retry["max_backoff"]),
	}
	if retry["attempts"].Present() && !letter.Present() {
		r.Badf(retry["attempts"], "needs dead_letter: {topic: ...}, to say where a record goes that failed so often; "+
			"without attempts it is tried for ever")
	}
	backoff := s.Retry.Backoff
	if backoff == 0 {
		backoff = defaultBackoff
	}
	if s.Retry.MaxBackoff > 0 && s.Retry.MaxBackoff < backoff {
		r.Badf(retry["max_backoff"], "%v is below backoff, %v", s.Retry.MaxBackoff, backoff)
	}
}

func (r *reader) commit(s *Spec, f field) {
	commit, _ := r.Object(f, "interval", "records")
	interval, records := r.Duration(commit["interval"]), r.Number(commit["records"], 1)
	if interval > 0 && interval < minCommit {
		r.Badf(commit["interval"], "%v is below %v", interval, minCommit)
	}
	if s.ToTopic() && s.Delivery == ExactlyOnce {
		r.transactions(s, interval, commit)
		return
	}
	switch {
	case interval > 0 && records > 0:
		s.Commit = sluice.EveryOrN(interval, records)
	case interval > 0:
		s.Commit = sluice.Every(interval)
	case records > 0:
		s.Commit = sluice.EveryN(records)
	}
}
