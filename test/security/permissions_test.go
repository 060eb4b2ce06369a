package security

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// onTopic are ACLs of a principal.
func onTopic(principal, topic string, operations ...kadm.ACLOperation) *kadm.ACLBuilder {
	return kadm.NewACLs().Allow(principal).AllowHosts().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(operations...)
}

func onGroup(principal, group string, operations ...kadm.ACLOperation) *kadm.ACLBuilder {
	return kadm.NewACLs().Allow(principal).AllowHosts().Groups(group).ResourcePatternType(kadm.ACLPatternLiteral).Operations(operations...)
}

// missing are the rights that an error says are missing, sorted.
func missing(err error) []string {
	var all []string
	var walk func(error)
	walk = func(err error) {
		if p, ok := err.(*sluice.PermissionError); ok { //nolint:errorlint // every one of a tree of errors
			all = append(all, p.Operation+" on "+p.Resource+" "+p.Name)
			return
		}
		switch e := err.(type) { //nolint:errorlint // likewise
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		}
	}
	walk(err)
	slices.Sort(all)
	return all
}

// What a pipeline may not do is told before it starts, every right of it by operation, resource and name.
func TestMissingRightsOfAPipeline(t *testing.T) {
	k := servers.SecureKafka(t)
	for name, test := range map[string]struct {
		allow func(n names, principal string) []*kadm.ACLBuilder
		want  func(n names) []string
	}{
		"the group": {
			func(n names, p string) []*kadm.ACLBuilder {
				return []*kadm.ACLBuilder{onTopic(p, n.topic, kadm.OpRead), onTopic(p, n.dead, kadm.OpWrite)}
			},
			func(n names) []string { return []string{"READ on GROUP " + n.group} },
		},
		"the group may be described": {
			func(n names, p string) []*kadm.ACLBuilder {
				return []*kadm.ACLBuilder{
					onTopic(p, n.topic, kadm.OpRead), onTopic(p, n.dead, kadm.OpWrite), onGroup(p, n.group, kadm.OpDescribe),
				}
			},
			func(n names) []string { return []string{"READ on GROUP " + n.group} },
		},
		"the topic": {
			func(n names, p string) []*kadm.ACLBuilder {
				return []*kadm.ACLBuilder{onTopic(p, n.dead, kadm.OpWrite), onGroup(p, n.group, kadm.OpRead)}
			},
			func(n names) []string { return []string{"READ on TOPIC " + n.topic} },
		},
		"the topic may be written": {
			func(n names, p string) []*kadm.ACLBuilder {
				return []*kadm.ACLBuilder{
					onTopic(p, n.topic, kadm.OpWrite), onTopic(p, n.dead, kadm.OpWrite), onGroup(p, n.group, kadm.OpRead),
				}
			},
			func(n names) []string { return []string{"READ on TOPIC " + n.topic} },
		},
		"the dead letters may be read": {
			func(n names, p string) []*kadm.ACLBuilder {
				return []*kadm.ACLBuilder{
					onTopic(p, n.topic, kadm.OpRead), onTopic(p, n.dead, kadm.OpRead), onGroup(p, n.group, kadm.OpRead),
				}
			},
			func(n names) []string { return []string{"WRITE on TOPIC " + n.dead} },
		},
		"everything": {
			func(names, string) []*kadm.ACLBuilder { return nil },
			func(n names) []string {
				return []string{"READ on GROUP " + n.group, "READ on TOPIC " + n.topic, "WRITE on TOPIC " + n.dead}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, user := newNames(t, k), k.ScramUser(t, "SCRAM-SHA-512")
			for _, acls := range test.allow(n, user.Principal()) {
				k.Allow(t, acls)
			}
			a := login(k.SASLPlaintext, "SCRAM-SHA-512", user)
			app := newApp(t, a, n)
			for what, do := range map[string]func(context.Context) error{"Check": app.Check, "Run": app.Run} {
				began := time.Now()
				err := do(t.Context())
				if took := time.Since(began); took > answerLimit {
					t.Errorf("%s took %v", what, took)
				}
				if got := missing(err); !slices.Equal(got, test.want(n)) {
					t.Errorf("%s: %v is missing, want %v:\n%v", what, got, test.want(n), err)
				}
			}
			file, _ := n.pipeline(t, a)
			for _, args := range [][]string{{"run", file, "--check"}, {"run", file}} {
				o := execute(t, "", args...)
				t.Logf("sluice %s, %v: %s", o.args, o.took.Round(time.Millisecond), strings.TrimSpace(o.stderr))
				if o.code != 1 || o.took > answerLimit {
					t.Errorf("sluice %s ended with %d after %v", o.args, o.code, o.took)
				}
				for _, want := range test.want(n) {
					if !strings.Contains(o.stderr, want) {
						t.Errorf("sluice %s does not say %q", o.args, want)
					}
				}
				keepsSecret(t, o.args, o.stderr, user.Password)
			}
		})
	}
}

// What a producer may not do is told with each record.
func TestMissingRightsOfAProducer(t *testing.T) {
	k := servers.SecureKafka(t)
	for name, test := range map[string]struct {
		allow   func(n names, principal string) []*kadm.ACLBuilder
		want    func(n names) string
		program func(n names) string // where it says something else, as it looks for the topic first
	}{
		"the topic": {
			func(n names, p string) []*kadm.ACLBuilder {
				return []*kadm.ACLBuilder{onTopic(p, n.dead, kadm.OpWrite), onTopic(p, n.topic, kadm.OpRead)}
			},
			func(n names) string { return "WRITE on TOPIC " + n.topic }, nil,
		},
		"everything": {
			func(names, string) []*kadm.ACLBuilder { return nil },
			func(n names) string { return "WRITE on TOPIC " + n.topic },
			func(n names) string { return "DESCRIBE on TOPIC " + n.topic },
		},
		// Who may write no topic at all gets no producer id either.
		"the cluster": {
			func(n names, p string) []*kadm.ACLBuilder {
				return []*kadm.ACLBuilder{onTopic(p, n.topic, kadm.OpRead)}
			},
			func(names) string { return "IDEMPOTENT_WRITE on CLUSTER kafka-cluster" }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, user := newNames(t, k), k.ScramUser(t, "SCRAM-SHA-256")
			for _, acls := range test.allow(n, user.Principal()) {
				k.Allow(t, acls)
			}
			a := login(k.SASLPlaintext, "SCRAM-SHA-256", user)
			producer, err := sluice.NewProducer(a.config(t, n.group).Producer())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = producer.Close(context.Background()) }()
			began := time.Now()
			err = producer.Send(t.Context(), &kgo.Record{Topic: n.topic, Value: []byte("x")})
			if took := time.Since(began); took > answerLimit {
				t.Errorf("Send took %v", took)
			}
			if _, ok := errors.AsType[*sluice.ProduceError](err); !ok {
				t.Errorf("%T: %v", err, err)
			}
			if got := missing(err); !slices.Equal(got, []string{test.want(n)}) {
				t.Errorf("%v is missing, want %s:\n%v", got, test.want(n), err)
			}
			want := test.want(n)
			if test.program != nil {
				want = test.program(n)
			}
			_, properties := n.pipeline(t, a)
			o := execute(t, "{}\n", "produce", "--properties", properties, "-t", n.topic)
			t.Logf("sluice %s, %v: %s", o.args, o.took.Round(time.Millisecond), strings.TrimSpace(o.stderr))
			if o.code != 1 || o.took > answerLimit || !strings.Contains(o.stderr, want) {
				t.Errorf("sluice %s ended with %d after %v:\n%s", o.args, o.code, o.took, o.stderr)
			}
			keepsSecret(t, o.args, o.stderr, user.Password)
		})
	}
}

// A client of one's own has its errors explained: here for what this package has no transactions for.
func TestMissingRightOfATransaction(t *testing.T) {
	k := servers.SecureKafka(t)
	n, user := newNames(t, k), k.ScramUser(t, "SCRAM-SHA-256")
	k.Allow(t, onTopic(user.Principal(), n.topic, kadm.OpWrite))
	cfg := login(k.SASLPlaintext, "SCRAM-SHA-256", user).config(t, n.group)
	client, err := kgo.NewClient(append(cfg.ConnectOptions(), kgo.TransactionalID("transfers"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
	defer cancel()
	err = client.BeginTransaction()
	if err == nil {
		err = client.ProduceSync(ctx, &kgo.Record{Topic: n.topic, Value: []byte("x")}).FirstErr()
	}
	err = sluice.Explain(err, "WRITE", "transfers")
	if got := missing(err); !slices.Equal(got, []string{"WRITE on TRANSACTIONAL_ID transfers"}) {
		t.Errorf("%v", err)
	}
	t.Log(err)
}

// A right that is taken away turns health red, with its name; the app goes on by itself when it is back.
func TestRightsThatAreTakenAway(t *testing.T) {
	k := servers.SecureKafka(t)
	n, user := newNames(t, k), k.ScramUser(t, "SCRAM-SHA-512")
	principal := user.Principal()
	n.allow(t, k, principal)
	cfg := login(k.SASLPlaintext, "SCRAM-SHA-512", user).config(t, n.group)
	cfg.SessionTimeout, cfg.HeartbeatInterval = 6*time.Second, 200*time.Millisecond
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = sluice.Add(app, route(n, func(context.Context, sluice.Message[string]) error { return sluice.Poison(errors.New("bad")) }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	until(t, "the app is ready", func() bool { return app.Health().Ready })

	admin := k.Admin(t)
	writer, err := kgo.NewClient(kgo.SeedBrokers(k.Plaintext))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	write := func(t *testing.T) {
		t.Helper()
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: n.topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for what, acls := range map[string]*kadm.ACLBuilder{
		"READ on GROUP " + n.group: onGroup(principal, n.group, kadm.OpRead),
		"READ on TOPIC " + n.topic: onTopic(principal, n.topic, kadm.OpRead),
		"WRITE on TOPIC " + n.dead: onTopic(principal, n.dead, kadm.OpWrite),
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := admin.DeleteACLs(t.Context(), acls); err != nil {
				t.Fatal(err)
			}
			write(t)
			var problems string
			until(t, "health tells of the missing right", func() bool {
				h := app.Health()
				problems = strings.Join(h.Problems, "; ")
				return !h.Ready && strings.Contains(problems, what)
			})
			t.Log(problems)
			keepsSecret(t, "health", problems, user.Password)
			k.Allow(t, acls)
			write(t) // an idle partition shows only after a minute that it can be fetched
			until(t, "the app is ready again", func() bool { return app.Health().Ready })
		})
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A TransactRoute needs the right to write with its transactional id, which is random where its member is not static; and that to write
// to the topics that its handler names is told when it writes.
func TestMissingRightsOfATransactRoute(t *testing.T) {
	k := servers.SecureKafka(t)
	for _, instance := range []string{"", "one"} {
		t.Run("instance "+instance, func(t *testing.T) {
			n, user := newNames(t, k), k.ScramUser(t, "SCRAM-SHA-512")
			p := user.Principal()
			k.Allow(t, onTopic(p, n.topic, kadm.OpRead, kadm.OpWrite))
			k.Allow(t, onGroup(p, n.group, kadm.OpRead))
			cfg := login(k.SASLPlaintext, "SCRAM-SHA-512", user).config(t, n.group)
			var log strings.Builder
			var mu sync.Mutex
			cfg.InstanceID = instance
			cfg.Events.CommitFailed = func(i sluice.CommitFailedInfo) {
				mu.Lock()
				defer mu.Unlock()
				log.WriteString(i.Err.Error())
			}
			app := func() *sluice.App {
				app, err := sluice.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				err = sluice.AddTransact(app, sluice.TransactRoute[string]{
					Topics: []string{n.topic}, Decode: sluice.Text,
					Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
						return []*kgo.Record{{Topic: n.dead, Value: []byte(m.Value)}}, nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				return app
			}
			refused := app()
			for what, do := range map[string]func(context.Context) error{"Check": refused.Check, "Run": refused.Run} {
				err := do(t.Context())
				if got, want := missing(err), []string{"WRITE on TRANSACTIONAL_ID " + n.group + "." + instance}; !slices.Equal(got, want) {
					t.Errorf("%s: %v is missing, want %v:\n%v", what, got, want, err)
				}
				if prefixed := strings.Contains(err.Error(), "--resource-pattern-type prefixed"); prefixed != (instance == "") {
					t.Errorf("%s: %v", what, err)
				}
			}
			k.Allow(t, kadm.NewACLs().Allow(p).AllowHosts().TransactionalIDs(n.group+".").
				ResourcePatternType(kadm.ACLPatternPrefixed).Operations(kadm.OpWrite))
			allowed := app()
			if err := allowed.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- allowed.Run(ctx) }()
			admin := k.Admin(t)
			client, err := kgo.NewClient(append(cfg.ConnectOptions(), kgo.DefaultProduceTopic(n.topic))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
			until(t, "the missing right is told", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return strings.Contains(log.String(), "WRITE on TOPIC "+n.dead)
			})
			k.Allow(t, onTopic(p, n.dead, kadm.OpWrite))
			until(t, "it is committed", func() bool {
				o, err := admin.FetchOffsets(t.Context(), n.group)
				at, ok := o.Lookup(n.topic, 0)
				return err == nil && ok && at.At == 1
			})
			stop()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}
