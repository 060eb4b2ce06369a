package sluice_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// What cannot work is refused before anything starts, with what mends it.
func TestATransactRouteIsRefusedWhereItCannotWork(t *testing.T) {
	for name, test := range map[string]struct {
		opts  []kfake.Opt
		fault *kfake.Fault
		field string // of the *ConfigError; empty: it is a *PermissionError
		says  []string
		run   bool // Run alone finds it
	}{
		"brokers before 2.5": {
			opts:  []kfake.Opt{kfake.MaxVersions(kversion.V2_4_0())},
			field: "TransactRoute", says: []string{"broker 0", "2.5 or newer"},
		},
		"a timeout above theirs": {
			opts:  []kfake.Opt{kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "5000"})},
			field: "Timeout", says: []string{"transaction.timeout.ms", "10s", "transaction.max.timeout.ms, 5s", "lower it"},
		},
		"a timeout above theirs, which may not be read": {
			opts:  []kfake.Opt{kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "5000"})},
			fault: &kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.ClusterAuthorizationFailed, Count: -1},
			field: "Timeout", says: []string{"transaction.timeout.ms", "10s", "transaction.max.timeout.ms", "lower it"}, run: true,
		},
		"too few brokers for the copies of their log": {
			opts:  []kfake.Opt{kfake.BrokerConfigs(map[string]string{"transaction.state.log.replication.factor": "3"})},
			field: "TransactRoute", says: []string{"transaction.state.log.replication.factor is 3, and the number of brokers is 1", "start more"},
		},
		"too few copies, before brokers cap what has to be in sync": {
			opts: []kfake.Opt{kfake.MaxVersions(kversion.V3_6_0()), kfake.BrokerConfigs(map[string]string{
				"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "2",
			})},
			field: "TransactRoute", says: []string{"transaction.state.log.min.isr is 2, and the number of its copies is 1"},
		},
		"no right to its id": {
			fault: &kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed, Count: -1},
			says:  []string{"--operation Write --transactional-id 'g.'", "--resource-pattern-type prefixed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
				if test.fault != nil {
					c.Fault(*test.fault)
				}
				app, err := sluice.New(configFor(t, c, nil))
				if err != nil {
					t.Fatal(err)
				}
				if err := forward(sluice.Policy{}, nil)(app); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				checked, ran := app.Check(t.Context()), app.Run(t.Context())
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
				if test.run {
					if checked != nil {
						t.Errorf("Check: %v", checked)
					}
					checked = ran
				}
				for _, err := range []error{checked, ran} {
					wrong, ok := errors.AsType[*sluice.ConfigError](err)
					if _, missing := errors.AsType[*sluice.PermissionError](err); missing != (test.field == "") || ok == missing || ok && wrong.Field != test.field {
						t.Errorf("%T %v", err, err)
						continue
					}
					for _, s := range test.says {
						if !strings.Contains(err.Error(), s) {
							t.Errorf("%q is not in: %v", s, err)
						}
					}
				}
			}, test.opts...)
		})
	}
}

// Where nobody can say whether the log of transactions will be made, as brokers before 4.0 do not tell of those that are away, it is no mistake.
func TestATransactRouteWaitsForBrokersThatAreAway(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		var log warnings
		cfg := configFor(t, c, nil)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		app, err := sluice.New(cfg)
		if err == nil {
			err = forward(sluice.Policy{}, nil)(app)
		}
		if err == nil {
			err = app.Check(t.Context())
		}
		if err != nil || log.count("transaction.state.log.replication.factor=3 brokers=1") != 1 {
			t.Errorf("Check: %v, and the log says: %s", err, log.text.String())
		}
	}, kfake.MaxVersions(kversion.V3_9_0()), kfake.BrokerConfigs(map[string]string{"transaction.state.log.replication.factor": "3"}))
}

// Brokers before 4.0 serve it, and are warned about, once.
func TestInvariant12BrokersBeforeKIP890ServeATransactRoute(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 200
		var log warnings
		cfg := configFor(t, c, nil)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		m := join(t, cfg, forward(sluice.Policy{Ordering: sluice.ByKey}, nil))
		for i := range 10 {
			c.Produce("orders", int32(i%2), i*n/10, n/10, 5)
			time.Sleep(200 * time.Millisecond)
		}
		c.Until("invariant 12: all is committed", func() bool {
			return c.Committed("g", "orders", 0) == n/2 && c.Committed("g", "orders", 1) == n/2
		})
		m.leave(t)
		if got := len(c.Read("bills")); got != n {
			t.Errorf("invariant 12: %d are there, want %d", got, n)
		}
		if log.count("KIP-890") != 1 {
			t.Errorf("the log says: %s", log.text.String())
		}
	}, kfake.MaxVersions(kversion.V3_9_0()))
}
