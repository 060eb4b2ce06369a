package pipeline

import (
	"slices"
	"time"
)

// delivery reads what is promised.
func (r *reader) delivery(s *Spec, f field) {
	s.Delivery = r.Choice(f, ExactlyOnce, AtLeastOnce)
	s.deliveryAt = f
}

// sink reads where records go: to a table, or to a topic.
func (r *reader) sink(s *Spec, f field) {
	r.Require(f, "say where records go: sink: {sql: {...}} or sink: {topic: {name: ...}}")
	sink, _ := r.Object(f, "sql", "topic")
	sql, topic := sink["sql"], sink["topic"]
	switch {
	case sql.Present() && topic.Present():
		r.Badf(topic, "sink.sql is there, too, and a pipeline has one sink; leave one of them out, or write a file for each")
	case f.Present() && !topic.Present():
		r.Require(sql, "say what kind of sink it is: sql: {...} or topic: {name: ...}")
	}
	if topic.Present() {
		r.topic(s, topic)
	}
	if sql.Present() {
		r.sql(s, sql)
	}
}

// topic reads the sink that is a topic.
func (r *reader) topic(s *Spec, f field) {
	topic, _ := r.Object(f, "name", "key", "value")
	r.Require(topic["name"], "name the topic that records are written to")
	s.Topic = Topic{
		Name:  r.Text(topic["name"]),
		Key:   r.expression(s, topic["key"], forRecord),
		Value: r.expression(s, topic["value"], forRecord),
	}
	if s.Topic.Name != "" && slices.Contains(s.Topics, s.Topic.Name) {
		r.Badf(topic["name"], "%q is a topic of the source, too: what is written would be read again for ever; name another", s.Topic.Name)
	}
	for _, computed := range s.Transform.Set {
		r.Badf(computed.at, "set is for the columns of a table; write the expression in sink.topic.key or sink.topic.value, "+
			"as in value: '{\"%s\": ...}'", computed.Name)
	}
}

// halfOfTransaction is for a transaction's handlers: the library's default.
const halfOfTransaction = 5 * time.Second

// transactions reads commit where it is about transactions.
func (r *reader) transactions(s *Spec, interval time.Duration, commit map[string]field) {
	if interval >= halfOfTransaction {
		r.Badf(commit["interval"], "%v is not below %v: a transaction has no longer for its records", interval, halfOfTransaction)
	}
	if commit["records"].Present() {
		r.Badf(commit["records"], "a transaction ends by time; leave it out, and give commit.interval, or say delivery: %s", AtLeastOnce)
	}
	s.Interval = interval
}
