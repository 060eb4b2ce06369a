package sluice_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice"
)

func goodConfig() sluice.Config {
	return sluice.Config{Brokers: []string{"localhost:9092"}, Group: "g"}
}

// onlyMistake is that of a configuration that has a single one.
func onlyMistake(t *testing.T, cfg sluice.Config) *sluice.ConfigError {
	t.Helper()
	app, err := sluice.New(cfg)
	if err == nil || app != nil {
		t.Fatal("accepted")
	}
	all := configErrors(err)
	if !errors.Is(err, sluice.ErrConfig) || len(all) != 1 {
		t.Fatalf("%d mistakes: %v", len(all), err)
	}
	return all[0]
}

func TestConfigNamesTheFieldOfAMistake(t *testing.T) {
	const noName = ""
	for name, c := range map[string]struct {
		spoil                  func(*sluice.Config)
		field, property, value string
		says                   string
	}{
		"no brokers":       {func(c *sluice.Config) { c.Brokers = nil }, "Brokers", "bootstrap.servers", "", "host:port"},
		"an empty broker":  {func(c *sluice.Config) { c.Brokers = []string{"a:1", ""} }, "Brokers[1]", "bootstrap.servers", "", "empty"},
		"no port":          {func(c *sluice.Config) { c.Brokers = []string{"a:b"} }, "Brokers[0]", "bootstrap.servers", "a:b", "not host:port"},
		"no group":         {func(c *sluice.Config) { c.Group = "" }, "Group", "group.id", "", "required"},
		"a long client id": {func(c *sluice.Config) { c.ClientID = strings.Repeat("x", 257) }, "ClientID", "client.id", strings.Repeat("x", 257), "up to 256"},
		"a long rack":      {func(c *sluice.Config) { c.Rack = strings.Repeat("x", 513) }, "Rack", "client.rack", strings.Repeat("x", 513), "up to 512"},
		"an instance":      {func(c *sluice.Config) { c.InstanceID = "pod/1" }, "InstanceID", "group.instance.id", "pod/1", "a-z, A-Z, 0-9"},
		"an instance ..":   {func(c *sluice.Config) { c.InstanceID = ".." }, "InstanceID", "group.instance.id", "..", "neither . nor .."},
		"an assignor":      {func(c *sluice.Config) { c.Assignors = []sluice.Assignor{"fair"} }, "Assignors[0]", "partition.assignment.strategy", "fair", "cooperative-sticky, sticky, range"},
		"an assignor twice": {
			func(c *sluice.Config) { c.Assignors = []sluice.Assignor{sluice.Range, sluice.Range} }, "Assignors[1]", "partition.assignment.strategy", "range", "twice",
		},
		"commit timeout":      {func(c *sluice.Config) { c.CommitTimeout = -1 }, "CommitTimeout", noName, "-1ns", "1ns to 10s"},
		"commit too long":     {func(c *sluice.Config) { c.CommitTimeout = 11 * time.Second }, "CommitTimeout", noName, "11s", "cannot rebalance"},
		"drain timeout":       {func(c *sluice.Config) { c.DrainTimeout = -time.Second }, "DrainTimeout", noName, "-1s", "default, 20s"},
		"rebalance timeout":   {func(c *sluice.Config) { c.RebalanceTimeout = -time.Hour }, "RebalanceTimeout", "max.poll.interval.ms", "-1h", "default, 1m"},
		"session timeout":     {func(c *sluice.Config) { c.SessionTimeout = time.Millisecond }, "SessionTimeout", "session.timeout.ms", "1ms", "100ms to"},
		"heartbeat":           {func(c *sluice.Config) { c.HeartbeatInterval = 1 }, "HeartbeatInterval", "heartbeat.interval.ms", "1ns", "1ms to"},
		"fetch bytes":         {func(c *sluice.Config) { c.Fetch.MaxBytes = 1<<30 + 1 }, "Fetch.MaxBytes", "fetch.max.bytes", "1073741825", "1 to 1073741824 bytes"},
		"partition bytes":     {func(c *sluice.Config) { c.Fetch.MaxPartitionBytes = -1 }, "Fetch.MaxPartitionBytes", "max.partition.fetch.bytes", "-1", "1 to 1073741824 bytes"},
		"least bytes":         {func(c *sluice.Config) { c.Fetch.MinBytes = -1 }, "Fetch.MinBytes", "fetch.min.bytes", "-1", "default, 1"},
		"fetch wait":          {func(c *sluice.Config) { c.Fetch.MaxWait = time.Millisecond }, "Fetch.MaxWait", "fetch.max.wait.ms", "1ms", "10ms to 15m, or 0 for the default, 500ms"},
		"dial timeout":        {func(c *sluice.Config) { c.Network.DialTimeout = -1 }, "Network.DialTimeout", "socket.connection.setup.timeout.ms", "-1ns", "1ms to 15m"},
		"idle timeout":        {func(c *sluice.Config) { c.Network.IdleTimeout = time.Hour }, "Network.IdleTimeout", "connections.max.idle.ms", "1h", "100ms to 15m"},
		"keep-alive":          {func(c *sluice.Config) { c.Network.KeepAlive = -2 }, "Network.KeepAlive", noName, "-2ns", "or -1 for none"},
		"metadata age":        {func(c *sluice.Config) { c.Network.MetadataMaxAge = 2 * time.Hour }, "Network.MetadataMaxAge", "metadata.max.age.ms", "2h", "10ms to 1h"},
		"receive buffer":      {func(c *sluice.Config) { c.Network.ReceiveBufferBytes = -1 }, "Network.ReceiveBufferBytes", "receive.buffer.bytes", "-1", "1 to 1073741824 bytes"},
		"send buffer":         {func(c *sluice.Config) { c.Network.SendBufferBytes = -1 }, "Network.SendBufferBytes", "send.buffer.bytes", "-1", "1 to 1073741824 bytes"},
		"request timeout":     {func(c *sluice.Config) { c.Network.RequestTimeout = 1 }, "Network.RequestTimeout", "request.timeout.ms", "1ns", "100ms to 15m"},
		"backoff":             {func(c *sluice.Config) { c.Network.RetryBackoff = -1 }, "Network.RetryBackoff", "retry.backoff.ms", "-1ns", "1ms to 1h"},
		"greatest backoff":    {func(c *sluice.Config) { c.Network.RetryBackoffMax = -1 }, "Network.RetryBackoffMax", "retry.backoff.max.ms", "-1ns", "1ms to 1h"},
		"bytes":               {func(c *sluice.Config) { c.MaxBufferedBytes = -1 }, "MaxBufferedBytes", noName, "-1", "default, 268435456"},
		"bytes below a fetch": {func(c *sluice.Config) { c.MaxBufferedBytes = 65535 }, "MaxBufferedBytes", noName, "65535", "accepted are 65536 to"},
		"data loss":           {func(c *sluice.Config) { c.OnDataLoss = 2 }, "OnDataLoss", noName, "2", "HaltPartition"},
		"data loss below":     {func(c *sluice.Config) { c.OnDataLoss = -1 }, "OnDataLoss", noName, "-1", "GoOn"},
		"mechanism":           {func(c *sluice.Config) { c.SASL = &sluice.SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"} }, "SASL", noName, "", "GSSAPI"},
		"no password":         {func(c *sluice.Config) { c.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: "u"} }, "SASL", noName, "", "password"},
		"no username":         {func(c *sluice.Config) { c.SASL = &sluice.SASL{Mechanism: "PLAIN", Password: "p"} }, "SASL", noName, "", "username"},
		"an engine's option":  {func(c *sluice.Config) { c.ClientOptions = []kgo.Opt{kgo.ConsumerGroup("x")} }, "ClientOptions", noName, "", "kgo.ConsumerGroup"},
		"a TLS option":        {func(c *sluice.Config) { c.ClientOptions = []kgo.Opt{kgo.DialTLSConfig(new(tls.Config))} }, "ClientOptions", noName, "", "give TLS"},
		"a dial timeout":      {func(c *sluice.Config) { c.ClientOptions = []kgo.Opt{kgo.DialTimeout(1)} }, "ClientOptions", noName, "", "Network.DialTimeout"},
		"a dialer beside TLS": {
			func(c *sluice.Config) {
				c.ClientOptions, c.TLS = []kgo.Opt{kgo.Dialer((&net.Dialer{}).DialContext)}, new(tls.Config)
			}, "ClientOptions", noName, "", "without TLS",
		},

		// What contradicts itself.
		"a heartbeat above a third of the session": {
			func(c *sluice.Config) { c.SessionTimeout, c.HeartbeatInterval = 10*time.Second, 3334*time.Millisecond },
			"HeartbeatInterval", "heartbeat.interval.ms", "3.334s", "SessionTimeout (session.timeout.ms), 10s: one or two lost heartbeats would end the membership; give at most 3.333s",
		},
		"a heartbeat above a third of the default": {
			func(c *sluice.Config) { c.HeartbeatInterval = 16 * time.Second }, "HeartbeatInterval", "heartbeat.interval.ms", "16s", "give at most 15s",
		},
		"drain too long": {
			func(c *sluice.Config) { c.DrainTimeout = 50 * time.Second }, "RebalanceTimeout", "max.poll.interval.ms", "1m", "not above 1m, which a revoke may take (the larger of DrainTimeout 50s",
		},
		"rebalance as long as a drain and a commit": {
			func(c *sluice.Config) { c.RebalanceTimeout = 30 * time.Second }, "RebalanceTimeout", "max.poll.interval.ms", "30s", "CommitTimeout 10s",
		},
		"a commit longer than the drain": {
			func(c *sluice.Config) { c.DrainTimeout, c.RebalanceTimeout = time.Second, 20*time.Second },
			"RebalanceTimeout", "max.poll.interval.ms", "20s", "not above 20s",
		},
		"an answer below a partition's share": {
			func(c *sluice.Config) { c.Fetch.MaxBytes, c.Fetch.MaxPartitionBytes = 1000, 1001 },
			"Fetch.MaxBytes", "fetch.max.bytes", "1000", "below Fetch.MaxPartitionBytes (max.partition.fetch.bytes), 1001",
		},
		"an answer above the budget": {
			func(c *sluice.Config) { c.MaxBufferedBytes, c.Fetch.MaxBytes = 1<<20, 1<<20+1 },
			"MaxBufferedBytes", noName, "1048576", "less than one fetch, as Fetch.MaxBytes (fetch.max.bytes) is 1048577; raise it, or leave that out",
		},
		"a partition's share above the budget": {
			func(c *sluice.Config) { c.Fetch.MaxPartitionBytes = 257 << 20 },
			"MaxBufferedBytes", noName, "268435456", "as Fetch.MaxPartitionBytes (max.partition.fetch.bytes) is 269484032",
		},
		"a wait for more than the largest fetch": {
			func(c *sluice.Config) { c.Fetch.MinBytes = 51 << 20 }, "Fetch.MinBytes", "fetch.min.bytes", "53477376", "52428800: a broker would always wait",
		},
		"a session that the broker decides": {
			func(c *sluice.Config) { c.GroupProtocol, c.SessionTimeout = sluice.ConsumerProtocol, time.Minute },
			"SessionTimeout", "session.timeout.ms", "1m", "the broker decides, by its group.consumer.session.timeout.ms",
		},
		"a heartbeat that the broker decides": {
			func(c *sluice.Config) { c.GroupProtocol, c.HeartbeatInterval = sluice.ConsumerProtocol, time.Second },
			"HeartbeatInterval", "heartbeat.interval.ms", "1s", "the broker decides",
		},
		"an assignor that the broker decides": {
			func(c *sluice.Config) {
				c.GroupProtocol, c.Assignors = sluice.ConsumerProtocol, []sluice.Assignor{sluice.Range, sluice.Sticky}
			},
			"Assignors", "partition.assignment.strategy", "range,sticky", "give RemoteAssignor (group.remote.assignor)",
		},
		"a broker's assignor without its protocol": {
			func(c *sluice.Config) { c.RemoteAssignor = sluice.RemoteRange },
			"RemoteAssignor", "group.remote.assignor", "range", "needs GroupProtocol (group.protocol) consumer",
		},
		"a broker's assignor": {
			func(c *sluice.Config) { c.GroupProtocol, c.RemoteAssignor = sluice.ConsumerProtocol, "mine" },
			"RemoteAssignor", "group.remote.assignor", "mine", "uniform and range only",
		},
		"a protocol": {
			func(c *sluice.Config) { c.GroupProtocol = "streams" }, "GroupProtocol", "group.protocol", "streams", "neither classic nor consumer",
		},
		"a rebalance timeout with the broker's protocol": {
			func(c *sluice.Config) { c.GroupProtocol, c.RebalanceTimeout = sluice.ConsumerProtocol, 30*time.Second },
			"RebalanceTimeout", "max.poll.interval.ms", "30s", "not above 30s",
		},
		"a wait for more than an answer holds": {
			func(c *sluice.Config) { c.Fetch.MinBytes, c.Fetch.MaxBytes = 2000, 1999 }, "Fetch.MinBytes", "fetch.min.bytes", "2000", "always wait",
		},
		"a wait as long as a request": {
			func(c *sluice.Config) { c.Fetch.MaxWait, c.Network.RequestTimeout = time.Second, time.Second },
			"Fetch.MaxWait", "fetch.max.wait.ms", "1s", "not below Network.RequestTimeout (request.timeout.ms), 1s",
		},
		"a backoff above the greatest": {
			func(c *sluice.Config) {
				c.Network.RetryBackoff, c.Network.RetryBackoffMax = time.Second, 999*time.Millisecond
			},
			"Network.RetryBackoffMax", "retry.backoff.max.ms", "999ms", "below Network.RetryBackoff (retry.backoff.ms), 1s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := goodConfig()
			c.spoil(&cfg)
			got := onlyMistake(t, cfg)
			want := sluice.ConfigError{Field: c.field, Property: c.property, Value: c.value, Problem: got.Problem}
			if *got != want || !strings.Contains(got.Problem, c.says) {
				t.Fatalf("%+v,\nwant %+v and %q", *got, want, c.says)
			}
		})
	}
}

func TestConfigTellsEveryMistakeAtOnce(t *testing.T) {
	_, err := sluice.New(sluice.Config{
		Brokers: []string{""}, CommitTimeout: -1, DrainTimeout: -1, RebalanceTimeout: -1, SessionTimeout: -1, HeartbeatInterval: time.Hour,
		MaxBufferedBytes: -1, OnDataLoss: 7, SASL: &sluice.SASL{Mechanism: "NTLM", Username: "u", Password: "hunter2"},
		Fetch: sluice.Fetch{MaxBytes: 10, MinBytes: 11}, ClientOptions: []kgo.Opt{kgo.ClientID("mine"), kgo.DisableAutoCommit()},
	})
	var fields []string
	for _, e := range configErrors(err) {
		fields = append(fields, e.Field)
	}
	slices.Sort(fields)
	// HeartbeatInterval is not among them: what it contradicts, SessionTimeout, is wrong itself.
	want := []string{
		"Brokers[0]", "ClientOptions", "CommitTimeout", "DrainTimeout", "Fetch.MinBytes", "Group", "MaxBufferedBytes", "OnDataLoss",
		"RebalanceTimeout", "SASL", "SessionTimeout",
	}
	if !slices.Equal(fields, want) {
		t.Errorf("%v,\nwant %v", fields, want)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is told: %v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	got, err := goodConfig().WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := sluice.Config{
		Brokers: []string{"localhost:9092"}, Group: "g", Assignors: []sluice.Assignor{sluice.CooperativeSticky}, ClientID: "sluice",
		CommitMetadata: 4096, CommitTimeout: 10 * time.Second, DrainTimeout: 20 * time.Second,
		Fetch:             sluice.Fetch{MaxWait: 500 * time.Millisecond, MinBytes: 1},
		GroupProtocol:     sluice.ClassicProtocol,
		HeartbeatInterval: 3 * time.Second, Logger: slog.Default(), MaxBufferedBytes: 256 << 20,
		Network: sluice.Network{
			DialTimeout: 10 * time.Second, IdleTimeout: 9 * time.Minute, KeepAlive: 15 * time.Second, MetadataMaxAge: 30 * time.Second,
			RequestTimeout: 30 * time.Second, RetryBackoff: 20 * time.Millisecond, RetryBackoffMax: 2500 * time.Millisecond,
		},
		RebalanceTimeout: time.Minute, SessionTimeout: 45 * time.Second, Start: sluice.Earliest(),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v,\nwant %+v", got, want)
	}
}

func TestWhatIsGivenIsNotChanged(t *testing.T) {
	own := sluice.Config{
		Brokers: []string{"b:1"}, Group: "g", Assignors: []sluice.Assignor{sluice.Range, sluice.Sticky}, ClientID: "me",
		CommitMetadata: 64, CommitTimeout: time.Second, DrainTimeout: 2 * time.Second,
		Fetch:             sluice.Fetch{MaxBytes: 7, MaxPartitionBytes: 6, MaxWait: time.Second, MinBytes: 5},
		GroupProtocol:     sluice.ClassicProtocol,
		HeartbeatInterval: time.Second, InstanceID: "i", Logger: slog.New(slog.DiscardHandler), MaxBufferedBytes: 65536,
		Network: sluice.Network{
			DialTimeout: time.Second, IdleTimeout: 2 * time.Second, KeepAlive: -1, MetadataMaxAge: 3 * time.Second, ReceiveBufferBytes: 1,
			SendBufferBytes: 2, RequestTimeout: 4 * time.Second, RetryBackoff: 5 * time.Second, RetryBackoffMax: 6 * time.Second,
		},
		OnDataLoss: sluice.HaltPartition, Rack: "r", ReadUncommitted: true, RebalanceTimeout: 5 * time.Second, SessionTimeout: 6 * time.Second,
		Start: sluice.Latest(),
	}
	got, err := own.WithDefaults()
	if err != nil || !reflect.DeepEqual(got, own) {
		t.Fatalf("%+v, %v,\nwant %+v", got, err, own)
	}
}

func TestWhatIsNotGivenFollows(t *testing.T) {
	for name, c := range map[string]struct {
		give func(*sluice.Config)
		ok   func(sluice.Config) bool
	}{
		"heartbeat follows a short session": {
			func(c *sluice.Config) { c.SessionTimeout = 6 * time.Second }, func(c sluice.Config) bool { return c.HeartbeatInterval == 2*time.Second },
		},
		"heartbeat is at most 3 s": {
			func(c *sluice.Config) { c.SessionTimeout = time.Hour }, func(c sluice.Config) bool { return c.HeartbeatInterval == 3*time.Second },
		},
		"the greatest backoff follows a great one": {
			func(c *sluice.Config) { c.Network.RetryBackoff = time.Minute }, func(c sluice.Config) bool { return c.Network.RetryBackoffMax == time.Minute },
		},
	} {
		cfg := goodConfig()
		c.give(&cfg)
		if got, err := cfg.WithDefaults(); err != nil || !c.ok(got) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// What New accepts, the client accepts: kgo's own words about a configuration are never seen.
func TestTheClientAcceptsWhatNewDoes(t *testing.T) {
	validate := func(cfg sluice.Config) error {
		return kgo.ValidateOpts(append(cfg.ClientOptionsOf(), kgo.ConsumerGroup("g"))...)
	}
	extremes := 0
	for field, set := range sluice.Extremes() {
		cfg := goodConfig()
		cfg.DrainTimeout, cfg.CommitTimeout = time.Millisecond, time.Millisecond // below any RebalanceTimeout
		set(&cfg)
		full, err := cfg.WithDefaults()
		if err != nil { // it contradicts the default of another field
			t.Logf("%s: %v", field, err)
			continue
		}
		extremes++
		if err := validate(full); err != nil {
			t.Errorf("%s: %v: %+v", field, err, full)
		}
	}
	if extremes < 25 {
		t.Errorf("only %d extremes were accepted", extremes)
	}

	durations := []time.Duration{
		-1, 1, time.Millisecond, 10 * time.Millisecond, 99 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second,
		time.Minute, 15 * time.Minute, time.Hour, 1000 * time.Hour,
	}
	sizes := []int32{-1, 1, 511, 512, 1 << 10, 1 << 20, 100 << 20, 1 << 30, 1<<30 + 1}
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		duration := func(name string, d *time.Duration) {
			if rapid.IntRange(0, 7).Draw(t, name+" given") == 7 {
				*d = rapid.SampledFrom(durations).Draw(t, name)
			}
		}
		size := func(name string, n *int32) {
			if rapid.IntRange(0, 7).Draw(t, name+" given") == 7 {
				*n = rapid.SampledFrom(sizes).Draw(t, name)
			}
		}
		cfg := sluice.Config{
			Brokers: []string{rapid.SampledFrom([]string{"a:1", "a", "[::1]", "[::1]:9092", "::1", "a:x", "[a]]"}).Draw(t, "broker")}, Group: "g",
			ClientID:   strings.Repeat("c", rapid.SampledFrom([]int{0, 1, 256, 257}).Draw(t, "client id")),
			InstanceID: strings.Repeat("i", rapid.SampledFrom([]int{0, 1, 249, 250}).Draw(t, "instance")),
			Rack:       strings.Repeat("r", rapid.SampledFrom([]int{0, 1, 512, 513}).Draw(t, "rack")),
		}
		duration("session", &cfg.SessionTimeout)
		duration("heartbeat", &cfg.HeartbeatInterval)
		duration("rebalance", &cfg.RebalanceTimeout)
		duration("wait", &cfg.Fetch.MaxWait)
		duration("idle", &cfg.Network.IdleTimeout)
		duration("age", &cfg.Network.MetadataMaxAge)
		duration("request", &cfg.Network.RequestTimeout)
		duration("backoff", &cfg.Network.RetryBackoff)
		duration("backoff max", &cfg.Network.RetryBackoffMax)
		duration("keep-alive", &cfg.Network.KeepAlive)
		size("max bytes", &cfg.Fetch.MaxBytes)
		size("partition bytes", &cfg.Fetch.MaxPartitionBytes)
		size("min bytes", &cfg.Fetch.MinBytes)
		full, err := cfg.WithDefaults()
		if err != nil {
			return
		}
		accepted++
		if err := validate(full); err != nil {
			t.Fatalf("%v: %+v", err, full)
		}
	})
	if accepted < 5 {
		t.Errorf("only %d were accepted", accepted)
	}
}

// ownedOptions are one of each of kgo's options that the engine owns.
var ownedOptions = map[string]kgo.Opt{
	"AdjustFetchOffsetsFn": kgo.AdjustFetchOffsetsFn(func(_ context.Context, o map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
		return o, nil
	}),
	"AllowAutoTopicCreation": kgo.AllowAutoTopicCreation(),
	"AutoCommitCallback":     kgo.AutoCommitCallback(nil),
	"AutoCommitInterval":     kgo.AutoCommitInterval(time.Second),
	"AutoCommitMarks":        kgo.AutoCommitMarks(),
	"Balancers":              kgo.Balancers(kgo.CooperativeStickyBalancer()),
	"BlockRebalanceOnPoll":   kgo.BlockRebalanceOnPoll(),
	"ConsumeExcludeTopics":   kgo.ConsumeExcludeTopics("t"),
	"ConsumePartitions":      kgo.ConsumePartitions(nil),
	"ConsumeRegex":           kgo.ConsumeRegex(),
	"ConsumeResetOffset":     kgo.ConsumeResetOffset(kgo.NewOffset()),
	"ConsumeStartOffset":     kgo.ConsumeStartOffset(kgo.NewOffset()),
	"ConsumeTopics":          kgo.ConsumeTopics("t"),
	"ConsumerGroup":          kgo.ConsumerGroup("g"),
	"DisableAutoCommit":      kgo.DisableAutoCommit(),
	"FetchIsolationLevel":    kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	"GreedyAutoCommit":       kgo.GreedyAutoCommit(),
	"GroupProtocol":          kgo.GroupProtocol("connect"),
	"HeartbeatInterval":      kgo.HeartbeatInterval(time.Second),
	"InstanceID":             kgo.InstanceID("one"),
	"KeepControlRecords":     kgo.KeepControlRecords(),
	"OnOffsetsFetched":       kgo.OnOffsetsFetched(nil),
	"OnPartitionsAssigned":   kgo.OnPartitionsAssigned(nil),
	"OnPartitionsLost":       kgo.OnPartitionsLost(nil),
	"OnPartitionsRevoked":    kgo.OnPartitionsRevoked(nil),
	"RebalanceTimeout":       kgo.RebalanceTimeout(time.Second),
	"SeedBrokers":            kgo.SeedBrokers("b:1"),
	"ServerSideBalancer":     kgo.ServerSideBalancer(),
	"SessionTimeout":         kgo.SessionTimeout(time.Second),
	"ShareGroup":             kgo.ShareGroup("g"),
	"TransactionalID":        kgo.TransactionalID("t"),
	"WithContext":            kgo.WithContext(context.Background()),
}

func TestOptionsOfTheEngineAreRefusedByName(t *testing.T) {
	for _, name := range sluice.OwnedOptions {
		if _, ok := ownedOptions[name]; !ok {
			t.Errorf("no kgo.%s in this test's table", name)
		}
	}
	for name, opt := range ownedOptions {
		t.Run(name, func(t *testing.T) {
			cfg := goodConfig()
			cfg.ClientOptions = []kgo.Opt{kgo.ClientID("mine"), opt}
			_, err := sluice.New(cfg)
			if err == nil || !strings.Contains(err.Error(), "kgo."+name+" ") {
				t.Fatalf("kgo.%s: %v", name, err)
			}
		})
	}
}

func TestOtherOptionsPass(t *testing.T) {
	// The names of the func and of the closure must not count: only those of kgo's own options do.
	SessionTimeout := func() kgo.Opt { return kgo.ClientID("a closure with an unlucky name") }
	for name, opt := range map[string]kgo.Opt{
		"Dialer":                  kgo.Dialer((&net.Dialer{}).DialContext),
		"BalanceRacks":            kgo.BalanceRacks(),
		"Rack":                    kgo.Rack("a"),
		"WithLogger":              kgo.WithLogger(kgo.BasicLogger(t.Output(), kgo.LogLevelError, nil)),
		"WithHooks":               kgo.WithHooks(),
		"ClientID":                kgo.ClientID("mine"),
		"FetchMaxWait":            kgo.FetchMaxWait(time.Second),
		"FetchMinBytes":           kgo.FetchMinBytes(1),
		"FetchMaxBytes":           kgo.FetchMaxBytes(1 << 20),
		"FetchMaxPartitionBytes":  kgo.FetchMaxPartitionBytes(1 << 20),
		"ConnIdleTimeout":         kgo.ConnIdleTimeout(time.Minute),
		"RetryTimeout":            kgo.RetryTimeout(time.Minute),
		"ConsumePreferringLagFn":  kgo.ConsumePreferringLagFn(nil),
		"ProducerBatchMaxBytes":   kgo.ProducerBatchMaxBytes(1 << 20),
		"MaxProduceRequests":      kgo.MaxProduceRequestsInflightPerBroker(1),
		"an option of one's own":  SessionTimeout(),
		"a nil option is nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := goodConfig()
			cfg.ClientOptions = []kgo.Opt{opt}
			if _, err := sluice.New(cfg); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAPasswordIsNeverPrinted(t *testing.T) {
	cfg := goodConfig()
	cfg.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: "alice", Password: "hunter2"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{*cfg.SASL, cfg.SASL, cfg, sluice.ProducerConfig{SASL: cfg.SASL}, struct{ S sluice.SASL }{*cfg.SASL}} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, "hunter2") {
				t.Errorf("%s of %T tells the password: %s", format, v, text)
			}
		}
	}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("config", "sasl", *cfg.SASL)
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("a log tells the password: %s", b.String())
	}
}
