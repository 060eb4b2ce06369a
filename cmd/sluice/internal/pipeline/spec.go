package pipeline

import (
	"cmp"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// Spec is a pipeline file that holds no mistake.
type Spec struct {
	Name string
	File string

	// Kafka is what the properties file said, or nothing but the file's brokers. Brokers is empty where the file leaves them
	// to flags and environment.
	Kafka sluice.Config

	Topics     []string
	Group      string // empty where the file names none: Consumer says which
	Ordering   sluice.Ordering
	Start      sluice.Start // of HasStart
	HasStart   bool         // the file says it
	Decode     Format
	Transform  Transform
	SQL        SQL    // the sink, unless Topic has a name
	Topic      Topic  // the sink, if it has a name
	Delivery   string // ExactlyOnce or AtLeastOnce
	Retry      sluice.Retry
	DeadLetter string // the topic; empty for none
	// DeadLetterHeaders are empty for the native ones.
	DeadLetterHeaders sluice.DeadLetterHeaders
	Commit            sluice.Commit
	Interval          time.Duration // of transactions; 0: the default

	groupAt, orderingAt, deliveryAt field
}

// ToTopic tells whether the records go to a topic, not to a table.
func (s *Spec) ToTopic() bool { return s.Topic.Name != "" }

// Consumer adds to the configuration of a cluster which group reads and where it starts: what the file says, else what the
// properties say (group.id, auto.offset.reset), else the group is the pipeline's name. Two different groups are a mistake of
// type Problems, since each would read everything; so is a transaction that would copy what others have aborted.
func (s *Spec) Consumer(cfg sluice.Config) (sluice.Config, error) {
	r := yamlfile.Reader{File: s.File}
	if s.Group != "" && cfg.Group != "" && s.Group != cfg.Group {
		r.Badf(s.groupAt, "%q, where the properties of Kafka say group.id=%s; leave one of them out", s.Group, cfg.Group)
	}
	if s.ToTopic() && s.Delivery == ExactlyOnce && cfg.ReadUncommitted {
		r.Badf(s.deliveryAt, "%s, where the properties of Kafka say isolation.level=read_uncommitted: records of aborted transactions "+
			"would be copied; leave that out, or say delivery: %s", ExactlyOnce, AtLeastOnce)
	}
	if err := r.Err(); err != nil {
		return cfg, err
	}
	cfg.Group = cmp.Or(s.Group, cfg.Group, s.Name)
	if s.HasStart {
		cfg.Start = s.Start
	}
	return cfg, nil
}

// What a column may be taken from.
const (
	FromValue     = "value"
	FromKey       = "key"
	FromPartition = "partition"
	FromOffset    = "offset"
	FromTimestamp = "timestamp"
	FromSet       = "set"
)

// Transform is what happens to a record between its decoding and its row. The zero value is nothing.
type Transform struct {
	Filter *Expression // nil: every record goes on
	Set    []Computed  // in the order of the file
}

// Computed is a value that an expression makes of a record, for the columns that have from: set.
type Computed struct {
	Name       string
	Expression *Expression
	at         field
}

// Topic is the topic that records go to.
type Topic struct {
	Name       string
	Key, Value *Expression // nil: as the record has it
}

// What is promised of a record that goes to a topic.
const (
	ExactlyOnce = "exactly_once"
	AtLeastOnce = "at_least_once"
)

// SQL is the table that records go to.
type SQL struct {
	DSN          DSN
	Table        string
	Mode         string
	Tombstone    string
	Key          []string
	Columns      []Column // in the order of the file
	Create       bool
	OnMissingRow string
}

// What the sink may do; the words of the file.
const (
	ModeInsert = "insert"
	ModeUpsert = "upsert"

	TombstoneDeadLetter = "dead_letter"
	TombstoneSkip       = "skip"
	TombstoneDelete     = "delete"

	MissingRefuse = "refuse"
	MissingCommit = "commit"
	MissingStart  = "start"
)

// Column is one column of the table and where its values come from.
type Column struct {
	Name string
	From string // FromValue and its like
	Path string // in the value or the key, empty for the whole of it; the name of a Computed
	Type string // SQL type for create; empty for the sink's default
}

const (
	minCommit      = 10 * time.Millisecond
	defaultBackoff = 100 * time.Millisecond
)
