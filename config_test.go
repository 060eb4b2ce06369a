package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// mistakes are the single errors that a joined one holds; each is a line.
func mistakes(err error) []string { return strings.Split(err.Error(), "\n") }

func goodConfig() sluice.Config {
	return sluice.Config{Brokers: []string{"localhost:9092"}, Group: "g"}
}

func TestConfigNamesTheFieldOfAMistake(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*sluice.Config)
		field string
		says  string
	}{
		"no brokers":        {func(c *sluice.Config) { c.Brokers = nil }, "Brokers", "host:port"},
		"an empty broker":   {func(c *sluice.Config) { c.Brokers = []string{"a:1", ""} }, "Brokers[1]", "empty"},
		"no group":          {func(c *sluice.Config) { c.Group = "" }, "Group", "required"},
		"commit timeout":    {func(c *sluice.Config) { c.CommitTimeout = -1 }, "CommitTimeout", "negative"},
		"commit too long":   {func(c *sluice.Config) { c.CommitTimeout = 11 * time.Second }, "CommitTimeout", "10s"},
		"drain timeout":     {func(c *sluice.Config) { c.DrainTimeout = -time.Second }, "DrainTimeout", "negative"},
		"rebalance timeout": {func(c *sluice.Config) { c.RebalanceTimeout = -time.Hour }, "RebalanceTimeout", "negative"},
		"session timeout":   {func(c *sluice.Config) { c.SessionTimeout = -1 }, "SessionTimeout", "negative"},
		"drain too long":    {func(c *sluice.Config) { c.DrainTimeout = 50 * time.Second }, "RebalanceTimeout", "DrainTimeout 50s"},
		"rebalance as long as a drain and a commit": {
			func(c *sluice.Config) { c.RebalanceTimeout = 30 * time.Second }, "RebalanceTimeout", "CommitTimeout 10s",
		},
		"a commit longer than the drain": {
			func(c *sluice.Config) { c.DrainTimeout, c.RebalanceTimeout = time.Second, 20*time.Second }, "RebalanceTimeout", "not above 20s",
		},
		"bytes":           {func(c *sluice.Config) { c.MaxBufferedBytes = -1 }, "MaxBufferedBytes", "negative"},
		"records":         {func(c *sluice.Config) { c.MaxBufferedRecords = -1 }, "MaxBufferedRecords", "negative"},
		"data loss":       {func(c *sluice.Config) { c.OnDataLoss = 2 }, "OnDataLoss", "HaltPartition"},
		"data loss below": {func(c *sluice.Config) { c.OnDataLoss = -1 }, "OnDataLoss", "GoOn"},
		"mechanism":       {func(c *sluice.Config) { c.SASL = &sluice.SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"} }, "SASL", "GSSAPI"},
		"no password":     {func(c *sluice.Config) { c.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: "u"} }, "SASL", "password"},
		"no username":     {func(c *sluice.Config) { c.SASL = &sluice.SASL{Mechanism: "PLAIN", Password: "p"} }, "SASL", "username"},
		"client options":  {func(c *sluice.Config) { c.ClientOptions = []kgo.Opt{kgo.ConsumerGroup("x")} }, "ClientOptions", "kgo.ConsumerGroup"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := goodConfig()
			c.spoil(&cfg)
			app, err := sluice.New(cfg)
			if err == nil || app != nil {
				t.Fatal("accepted")
			}
			if !errors.Is(err, sluice.ErrConfig) {
				t.Fatalf("no ErrConfig: %v", err)
			}
			for _, m := range mistakes(err) { // of one field, here
				if rest, ok := strings.CutPrefix(m, "invalid configuration: "); !ok || !strings.HasPrefix(rest, c.field) &&
					!strings.Contains(rest, ", "+c.field+":") {
					t.Fatalf("%q names no %q", m, c.field)
				}
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%q does not say %q", err, c.says)
			}
		})
	}
}

func TestConfigTellsEveryMistakeAtOnce(t *testing.T) {
	_, err := sluice.New(sluice.Config{
		Brokers: []string{""}, CommitTimeout: -1, DrainTimeout: -1, RebalanceTimeout: -1, SessionTimeout: -1,
		MaxBufferedBytes: -1, OnDataLoss: 7, SASL: &sluice.SASL{Mechanism: "NTLM", Username: "u", Password: "hunter2"},
		ClientOptions: []kgo.Opt{kgo.ClientID("mine"), kgo.DisableAutoCommit()},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{
		"Brokers[0]", "Group", "CommitTimeout", "DrainTimeout", "RebalanceTimeout", "SessionTimeout", "MaxBufferedBytes", "OnDataLoss",
		"SASL", "ClientOptions",
	} {
		if !slices.ContainsFunc(mistakes(err), func(m string) bool { return strings.HasPrefix(m, "invalid configuration: "+field) }) {
			t.Errorf("%s is not named in:\n%v", field, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is told: %v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	c, err := goodConfig().WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"ClientID":           c.ClientID == "sluice",
		"CommitTimeout":      c.CommitTimeout == 10*time.Second,
		"DrainTimeout":       c.DrainTimeout == 20*time.Second,
		"Logger":             c.Logger == slog.Default(),
		"MaxBufferedBytes":   c.MaxBufferedBytes == 256<<20,
		"MaxBufferedRecords": c.MaxBufferedRecords == 500_000,
		"OnDataLoss":         c.OnDataLoss == sluice.GoOn,
		"ReadUncommitted":    !c.ReadUncommitted,
		"RebalanceTimeout":   c.RebalanceTimeout == time.Minute,
		"SASL":               c.SASL == nil,
		"SessionTimeout":     c.SessionTimeout == 45*time.Second,
		"Start":              c.Start == sluice.Earliest(),
		"TLS":                c.TLS == nil,
	} {
		if !ok {
			t.Errorf("%s has another default: %+v", what, c)
		}
	}
	own := sluice.Config{
		Brokers: []string{"b:1"}, Group: "g", ClientID: "me", CommitTimeout: time.Second, DrainTimeout: 2 * time.Second,
		MaxBufferedBytes: 3, MaxBufferedRecords: 4, RebalanceTimeout: 5 * time.Second, SessionTimeout: 6 * time.Second,
		Logger: slog.New(slog.DiscardHandler), OnDataLoss: sluice.HaltPartition, ReadUncommitted: true, Start: sluice.Latest(),
	}
	got, err := own.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", own) {
		t.Fatalf("what was given was changed:\n%+v\n%+v", got, own)
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
	"BlockRebalanceOnPoll":   kgo.BlockRebalanceOnPoll(),
	"ConsumePartitions":      kgo.ConsumePartitions(nil),
	"ConsumeRegex":           kgo.ConsumeRegex(),
	"ConsumeResetOffset":     kgo.ConsumeResetOffset(kgo.NewOffset()),
	"ConsumeStartOffset":     kgo.ConsumeStartOffset(kgo.NewOffset()),
	"ConsumeTopics":          kgo.ConsumeTopics("t"),
	"ConsumerGroup":          kgo.ConsumerGroup("g"),
	"DisableAutoCommit":      kgo.DisableAutoCommit(),
	"FetchIsolationLevel":    kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	"GreedyAutoCommit":       kgo.GreedyAutoCommit(),
	"KeepControlRecords":     kgo.KeepControlRecords(),
	"OnPartitionsAssigned":   kgo.OnPartitionsAssigned(nil),
	"OnPartitionsLost":       kgo.OnPartitionsLost(nil),
	"OnPartitionsRevoked":    kgo.OnPartitionsRevoked(nil),
	"RebalanceTimeout":       kgo.RebalanceTimeout(time.Second),
	"SeedBrokers":            kgo.SeedBrokers("b:1"),
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
		"Balancers":               kgo.Balancers(kgo.CooperativeStickyBalancer()),
		"ServerSideBalancer":      kgo.ServerSideBalancer(),
		"InstanceID":              kgo.InstanceID("one"),
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
