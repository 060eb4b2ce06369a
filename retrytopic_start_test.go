package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func TestARetryTopicWithOtherPartitionsIsRefused(t *testing.T) {
	for partitions, remedy := range map[int32]string{2: "--alter --topic orders.g.retry.1m --partitions 3", 4: "delete it"} {
		bubble.Run(t, map[string]int32{"orders": 3, "dlq": 1, "orders.g.retry.1m": partitions}, func(t *testing.T, c *bubble.Cluster) {
			app, err := sluice.New(configFor(t, c, nil))
			if err != nil {
				t.Fatal(err)
			}
			if err := new(calls).route(retrying(5*time.Second, time.Minute), false)(app); err != nil {
				t.Fatal(err)
			}
			for what, f := range map[string]func(context.Context) error{"Check": app.Check, "Run": app.Run} {
				err := f(t.Context())
				bad, ok := errors.AsType[*sluice.ConfigError](err)
				if !ok || bad.Field != "Policy.RetryTopics" || bad.Value != "orders.g.retry.1m" ||
					!strings.Contains(bad.Problem, fmt.Sprintf("%d partitions, and its source orders has 3", partitions)) ||
					!strings.Contains(bad.Problem, remedy) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if c.TopicInfo("orders.g.retry.5s") != nil {
				t.Error("an app that is refused creates topics")
			}
		})
	}
}

func TestARetryTopicThatForgetsIsRefused(t *testing.T) {
	for config, says := range map[string]string{
		"cleanup.policy=compact,delete": "the topic is compacted", "retention.ms=3600000": "keeps its records for 1h",
		"retention.ms=3600001": "", "retention.ms=-1": "",
	} {
		bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
			name, value, _ := strings.Cut(config, "=")
			if _, err := c.Admin().CreateTopics(t.Context(), 2, 1, map[string]*string{name: &value}, "orders.g.retry.1h"); err != nil {
				t.Fatal(err)
			}
			app, err := sluice.New(configFor(t, c, nil))
			if err != nil {
				t.Fatal(err)
			}
			if err := new(calls).route(retrying(time.Hour), false)(app); err != nil {
				t.Fatal(err)
			}
			err = app.Check(t.Context())
			if bad, ok := errors.AsType[*sluice.ConfigError](err); says == "" && err != nil ||
				says != "" && (!ok || bad.Value != "orders.g.retry.1h" || !strings.Contains(bad.Problem, says)) {
				t.Errorf("%s: %v", config, err)
			}
		})
	}
}

func TestRetryTopicsAreCreatedAtTheStart(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3, "returns": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		add := func(app *sluice.App) error {
			r := goodRoute("orders", "returns")
			r.Policy = retrying(90*time.Second, time.Hour)
			return sluice.Add(app, r)
		}
		_, err := c.Admin().AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
			{Name: "min.insync.replicas", Value: new("2")}, {Name: "max.message.bytes", Value: new("5000000")},
		}, "orders")
		if err != nil {
			t.Fatal(err)
		}
		app, err := sluice.New(configFor(t, c, nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(add(app), app.Check(t.Context())); err != nil {
			t.Fatal(err)
		}
		names := map[string]int{"orders.g.retry.1m30s": 3, "orders.g.retry.1h": 3, "returns.g.retry.1m30s": 2, "returns.g.retry.1h": 2}
		for name := range names {
			if c.TopicInfo(name) != nil {
				t.Fatalf("Check, which changes nothing, created %s", name)
			}
		}
		// Several members at once, of which one creates a topic first.
		members := []*member{join(t, configFor(t, c, nil), add), join(t, configFor(t, c, nil), add), join(t, configFor(t, c, nil), add)}
		c.Until("all partitions", func() bool {
			n := 0
			for _, m := range members {
				n += len(m.app.Snapshot().Partitions)
			}
			return n == 3*5
		})
		for name, n := range names {
			if got := len(c.PartitionInfos(name)); got != n {
				t.Errorf("%s has %d partitions, want %d", name, got, n)
			}
			configs, err := c.Admin().DescribeTopicConfigs(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"cleanup.policy": "delete", "message.timestamp.type": "CreateTime"}
			if strings.HasPrefix(name, "orders") { // as its source
				want["min.insync.replicas"], want["max.message.bytes"] = "2", strconv.Itoa(5_000_000+16<<10)
			}
			for _, config := range configs[0].Configs {
				if value, ok := want[config.Key]; ok && config.MaybeValue() != value {
					t.Errorf("%s: %s=%s, want %s", name, config.Key, config.MaybeValue(), value)
				}
				delete(want, config.Key)
			}
			if len(want) > 0 {
				t.Errorf("%s lacks %v", name, want)
			}
		}
		for _, m := range members {
			m.leave(t)
		}
	})
}

// The broker that is asked when they are made may know less than the one that was asked before.
func TestRetryTopicsWaitForTheirSource(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		asked := 0
		c.ControlKey(int16(kmsg.Metadata), func(in kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			req, ok := in.(*kmsg.MetadataRequest)
			named := func(t kmsg.MetadataRequestTopic) bool { return t.Topic != nil && *t.Topic == "orders.g.retry.1m" }
			if !ok || !slices.ContainsFunc(req.Topics, named) {
				return nil, nil, false //nolint:nilnil // not handled
			}
			if asked++; asked != 2 { // the first one is the check's
				return nil, nil, false //nolint:nilnil // not handled
			}
			resp, ok := req.ResponseKind().(*kmsg.MetadataResponse)
			for _, topic := range req.Topics {
				unknown := kmsg.NewMetadataResponseTopic()
				unknown.Topic, unknown.ErrorCode = topic.Topic, kerr.UnknownTopicOrPartition.Code
				resp.Topics = append(resp.Topics, unknown)
			}
			return resp, nil, ok
		})
		c.Produce("orders", 1, 0, 10, 0)
		all := calls{fail: func(value string, n int) error {
			if value == "7" && n <= 2 {
				return errors.New("not yet")
			}
			return nil
		}}
		m := join(t, configFor(t, c, nil), all.route(retrying(time.Minute), false))
		c.Until("all of it", func() bool {
			return c.Committed("g", "orders.g.retry.1m", 1) == 1 && c.Committed("g", "orders", 1) == 10
		})
		m.leave(t)
		if asked < 3 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestARetryTopicThatCannotBeCreatedIsTold(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		m := join(t, configFor(t, c, nil), new(calls).route(retrying(time.Minute), false))
		err := <-m.done
		missing, ok := errors.AsType[*sluice.PermissionError](err)
		if !ok || missing.Operation != "CREATE" || missing.Name != "orders.g.retry.1m" || !strings.Contains(err.Error(), "as many partitions and replicas as orders") {
			t.Fatalf("Run: %v", err)
		}
		fault.Remove()
	})
}

func TestRetryTopicsThatCannotBeAreRefused(t *testing.T) {
	long := strings.Repeat("x", 240)
	for name, x := range map[string]struct {
		add  func(app *sluice.App) error
		says string
	}{
		"with a pattern": {func(app *sluice.App) error {
			r := goodRoute()
			r.Pattern, r.Policy = "orders.*", retrying(time.Minute)
			return sluice.Add(app, r)
		}, "Pattern"},
		"with offsets": {func(app *sluice.App) error {
			r := goodBatchRoute("orders")
			r.Offsets, r.Policy = newMemorySink(), retrying(time.Minute)
			return sluice.AddBatch(app, r)
		}, "Offsets"},
		"with a stream": {func(app *sluice.App) error {
			return sluice.AddStream(app, sluice.StreamRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Policy: retrying(time.Minute),
				Handle: func(context.Context, *sluice.Stream[string]) error { return nil },
			})
		}, "stream"},
		"committed before": {func(app *sluice.App) error {
			r := goodRoute("orders")
			r.Policy = retrying(time.Minute)
			r.Policy.Commit = sluice.BeforeHandle()
			return sluice.Add(app, r)
		}, "BeforeHandle"},
		"committed manually": {func(app *sluice.App) error {
			r := goodBatchRoute("orders")
			r.Policy = retrying(time.Minute)
			r.Policy.Commit = sluice.Manual()
			return sluice.AddBatch(app, r)
		}, "Manual"},
		"a long name": {func(app *sluice.App) error {
			r := goodRoute(long)
			r.Policy = retrying(time.Minute)
			return sluice.Add(app, r)
		}, "at most 249"},
		"as a source": {func(app *sluice.App) error {
			r := goodRoute("orders", "orders.g.retry.1m")
			r.Policy = retrying(time.Minute)
			return sluice.Add(app, r)
		}, "among the topics of a route"},
		"as another route's source": {func(app *sluice.App) error {
			r := goodRoute("orders")
			r.Policy = retrying(time.Minute)
			return errors.Join(sluice.Add(app, goodRoute("orders.g.retry.1m")), sluice.Add(app, r))
		}, "among the topics of a route"},
		"for dead letters": {func(app *sluice.App) error {
			r, other := goodRoute("orders"), goodRoute("returns")
			r.Policy, other.Policy = retrying(time.Minute), sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "orders.g.retry.1m"}}
			return errors.Join(sluice.Add(app, r), sluice.Add(app, other))
		}, "dead letters"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := goodConfig()
			cfg.Group = "g"
			app, err := sluice.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = x.add(app)
			if bad, ok := errors.AsType[*sluice.ConfigError](err); !ok || bad.Field != "Policy.RetryTopics" {
				t.Errorf("%#v", err)
			}
			refuses(t, app, err, "Policy.RetryTopics", x.says)
		})
	}
	cfg := goodConfig()
	cfg.Group = "my group"
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := goodRoute("orders")
	r.Policy = retrying(time.Minute)
	refuses(t, app, sluice.Add(app, r), `Policy.RetryTopics: "my group"`, "characters that no topic may have")
}

// A pattern takes none of the group's retry topics, whether they are in use or left from an earlier configuration.
func TestAPatternTakesNoRetryTopic(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		topics := map[string]int32{"orders": 1, "orders.eu": 1, "dlq": 1, "orders.eu.g.retry.9m": 1, "orders.eu.h.retry.9m": 1}
		bubble.Run(t, topics, func(t *testing.T, c *bubble.Cluster) {
			for topic := range topics {
				c.Produce(topic, 0, 0, 10, 0)
			}
			var matched, left ledger
			all := calls{fail: func(value string, n int) error {
				if value == "7" && n <= 2 {
					return errors.New("not yet")
				}
				return nil
			}}
			m := join(t, set(configFor(t, c, nil)), func(app *sluice.App) error {
				return errors.Join(all.route(retrying(5*time.Second), false)(app), patternRoute(&matched, "orders.*")(app))
			})
			c.Until("the retry", func() bool { return len(all.attempts("7")) == 3 && matched.count() == 20 })
			time.Sleep(2 * time.Minute)
			m.leave(t)
			if n, other := matched.count(), matched.times("orders.eu.h.retry.9m[0]@3"); n != 20 || other != 1 {
				t.Errorf("%d records, %d of another group's retry topic: %v", n, other, matched.list)
			}
			if n := len(all.attempts("7")); n != 3 {
				t.Errorf("%d attempts", n)
			}
			// Nor does one of a member that does not know of retry topics yet.
			m = join(t, set(configFor(t, c, nil)), patternRoute(&left, "orders.*"))
			c.Until("what is the pattern's", func() bool { return left.count() == 0 && m.app.Health().Ready })
			time.Sleep(time.Minute)
			if ps := m.app.Snapshot().Partitions; len(ps) != 3 || left.count() != 0 {
				t.Errorf("%+v, %v", ps, left.list)
			}
			m.leave(t)
		})
	})
}
