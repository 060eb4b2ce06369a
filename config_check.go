package sluice

import (
	"cmp"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"time"
)

const (
	defaultClientID = "sluice"
	heartbeats      = 3 // in a session at least, so that one that is lost ends no membership
	longestBeat     = 3 * time.Second
	longestInstance = 249
	longestRack     = 512
)

// withDefaults checks a configuration, all of it at once, and puts the defaults in the place of zeros.
func (c Config) withDefaults() (Config, error) {
	var m mistakes
	checkConfig(&c, &m)
	return c, m.err()
}

// checkConfig is withDefaults with its mistakes told apart.
func checkConfig(c *Config, m *mistakes) {
	checkProtocol(c, m)
	checkNumbers(c, m, consumer)
	c.Network.follow()
	if c.ClientID == "" {
		c.ClientID = defaultClientID
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.connection().check(m)
	checkMember(c, m)
	checkTimes(c, m)
	checkFetch(c, m)
	if c.OnDataLoss < GoOn || c.OnDataLoss > HaltPartition {
		m.add("OnDataLoss", strconv.Itoa(int(c.OnDataLoss)), "is neither GoOn nor HaltPartition")
	}
	if name := ownedOption(c.ClientOptions); name != "" {
		m.add("ClientOptions", "", "kgo."+name+" belongs to the engine; use the field of Config that stands for it")
	}
}

// checkNumbers judges the numbers of a consumer's fields, or a producer's, and puts the defaults in the place of zeros.
func checkNumbers(c *Config, m *mistakes, of client) {
	for i := range settings {
		if s := &settings[i]; s.number != nil && s.of&of != 0 {
			s.check(c, m)
		}
	}
}

// checkMember judges how the member is known.
func checkMember(c *Config, m *mistakes) {
	if c.Group == "" {
		m.add("Group", "", "a consumer group is required")
	}
	if c.InstanceID != "" {
		if problem := instanceProblem(c.InstanceID); problem != "" {
			m.add("InstanceID", c.InstanceID, problem)
		}
	}
	if n := len(c.Rack); n > longestRack {
		m.add("Rack", c.Rack, fmt.Sprintf("is %d bytes long; accepted are up to %d", n, longestRack))
	}
	if len(c.Assignors) == 0 && c.GroupProtocol != ConsumerProtocol {
		c.Assignors = []Assignor{CooperativeSticky}
	}
	for i, a := range c.Assignors {
		field := fmt.Sprintf("Assignors[%d]", i)
		switch {
		case !slices.Contains(allAssignors, a):
			m.add(field, string(a), "is none of cooperative-sticky, sticky, range and roundrobin")
		case slices.Contains(c.Assignors[:i], a):
			m.add(field, string(a), "is named twice")
		}
	}
}

// instanceProblem says what is wrong with a static member's id; the rules are the brokers'. Empty when nothing is.
func instanceProblem(id string) string {
	if len(id) < 1 || len(id) > longestInstance || id == "." || id == ".." || !instanceCharacters.MatchString(id) {
		return fmt.Sprintf("accepted are 1 to %d of the characters a-z, A-Z, 0-9, '.', '_' and '-', but neither . nor ..", longestInstance)
	}
	return ""
}

var instanceCharacters = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

// checkTimes judges the times of a membership against each other.
func checkTimes(c *Config, m *mistakes) {
	most := c.SessionTimeout / heartbeats
	if c.HeartbeatInterval == 0 {
		c.HeartbeatInterval = min(longestBeat, most)
	}
	if c.HeartbeatInterval > most {
		m.add("HeartbeatInterval", shortDuration(c.HeartbeatInterval), fmt.Sprintf("is more than a third of SessionTimeout "+
			"(session.timeout.ms), %v: one or two lost heartbeats would end the membership; give at most %v, or leave it out to have it "+
			"follow the session", shortDuration(c.SessionTimeout), shortDuration(most.Truncate(time.Millisecond))), "SessionTimeout")
	}
	if need := max(c.DrainTimeout, c.CommitTimeout) + c.CommitTimeout; need >= c.RebalanceTimeout {
		m.add("RebalanceTimeout", shortDuration(c.RebalanceTimeout), fmt.Sprintf("is not above %v, which a revoke may take (the larger of "+
			"DrainTimeout %v and CommitTimeout %v, plus CommitTimeout); raise it, or lower those",
			shortDuration(need), shortDuration(c.DrainTimeout), shortDuration(c.CommitTimeout)), "DrainTimeout", "CommitTimeout")
	}
}

// checkFetch judges what brokers are asked for.
func checkFetch(c *Config, m *mistakes) {
	f := &c.Fetch
	if f.MaxBytes > 0 && f.MaxBytes < f.MaxPartitionBytes {
		m.add("Fetch.MaxBytes", strconv.Itoa(int(f.MaxBytes)), fmt.Sprintf("is below Fetch.MaxPartitionBytes "+
			"(max.partition.fetch.bytes), %d; raise it, or lower that", f.MaxPartitionBytes), "Fetch.MaxPartitionBytes")
	}
	if largest := max(f.MaxBytes, f.MaxPartitionBytes); int64(largest) > c.MaxBufferedBytes {
		field := "Fetch.MaxBytes"
		if f.MaxPartitionBytes == largest {
			field = "Fetch.MaxPartitionBytes"
		}
		m.add("MaxBufferedBytes", strconv.FormatInt(c.MaxBufferedBytes, 10), fmt.Sprintf("is less than one fetch, as %s (%s) is %d; raise "+
			"it, or leave that out, as it follows the budget then", field, propertyOf(field), largest), field)
	}
	if largest := cmp.Or(f.MaxBytes, largestFetch); f.MinBytes > largest {
		m.add("Fetch.MinBytes", strconv.Itoa(int(f.MinBytes)), fmt.Sprintf("is above Fetch.MaxBytes (fetch.max.bytes), %d: a broker would "+
			"always wait as long as Fetch.MaxWait; lower it, or raise that", largest), "Fetch.MaxBytes")
	}
	if f.MaxWait >= c.Network.RequestTimeout {
		m.add("Fetch.MaxWait", shortDuration(f.MaxWait), fmt.Sprintf("is not below Network.RequestTimeout (request.timeout.ms), %v; "+
			"lower it, or raise that", shortDuration(c.Network.RequestTimeout)), "Network.RequestTimeout")
	}
}
