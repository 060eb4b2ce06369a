package security

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// Who logs in rightly gets records through, with no more rights than a pipeline needs.
func TestRecordsFlow(t *testing.T) {
	k := servers.SecureKafka(t)
	type entry struct {
		name      string
		access    access
		principal string // none: a super user
		secret    string
	}
	entries := []entry{{name: "SSL", access: encrypted(k.SSL, k.Certificates.CA)}}
	for mechanism, user := range map[string]servers.User{
		"PLAIN": k.User, "SCRAM-SHA-256": k.ScramUser(t, "SCRAM-SHA-256"), "SCRAM-SHA-512": k.ScramUser(t, "SCRAM-SHA-512"),
	} {
		entries = append(entries,
			entry{mechanism + " over SASL_PLAINTEXT", login(k.SASLPlaintext, mechanism, user), user.Principal(), user.Password},
			entry{mechanism + " over SASL_SSL", loginTLS(k.SASLSSL, mechanism, user, k.Certificates.CA), user.Principal(), user.Password})
	}
	for _, e := range entries {
		t.Run(e.name, func(t *testing.T) {
			for way, flow := range map[string]func(*testing.T, access, names, string){
				"library": flowsThroughLibrary, "program": flowsThroughProgram,
			} {
				t.Run(way, func(t *testing.T) {
					n := newNames(t, k)
					if e.principal != "" {
						n.allow(t, k, e.principal)
					}
					flow(t, e.access, n, e.secret)
				})
			}
		})
	}
}

func flowsThroughLibrary(t *testing.T, a access, n names, _ string) {
	flows(t, a.config(t, n.group), n)
}

func flows(t *testing.T, cfg sluice.Config, n names) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	producer, err := sluice.NewProducer(cfg.Producer())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close(context.Background()) }()
	if err := producer.Ping(ctx); err != nil {
		t.Fatalf("Ping: %v", err)
	}
	if err := producer.Send(ctx, &kgo.Record{Topic: n.topic, Value: []byte(`{"id":1}`)}); err != nil {
		t.Fatalf("Send: %v", err)
	}
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	got := ""
	err = sluice.Add(app, route(n, func(_ context.Context, m sluice.Message[string]) error {
		got = m.Value
		stop()
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Check(ctx); err != nil {
		t.Fatalf("Check: %v", err)
	}
	if err := app.Run(run); err != nil || got != `{"id":1}` {
		t.Fatalf("Run: %v; got %q", err, got)
	}
}

func route(n names, handle func(context.Context, sluice.Message[string]) error) sluice.Route[string] {
	return sluice.Route[string]{
		Topics: []string{n.topic}, Decode: sluice.Text, Handle: handle,
		Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: n.dead}},
	}
}

func flowsThroughProgram(t *testing.T, a access, n names, secret string) {
	file, properties := n.pipeline(t, a)
	before := execute(t, "", "run", file, "--check").succeeds(t)
	produced := execute(t, `{"id":2}`+"\n"+`{"id":3}`+"\n", "produce", "--properties", properties, "-t", n.topic).succeeds(t)
	if !strings.Contains(produced.stderr, "2 delivered") {
		t.Errorf("produce says %q", produced.stderr)
	}
	ran := execute(t, "", "run", file, "--until-caught-up").succeeds(t)
	if !strings.Contains(ran.stdout, `"rows":2,`) || !strings.Contains(ran.stdout, `"dead_lettered":0,`) {
		t.Errorf("run says %q", ran.stdout)
	}
	consumed := execute(t, "", "consume", "--properties", properties, "-t", n.topic, "-e").succeeds(t)
	if strings.Count(consumed.stdout, "\n") != 2 {
		t.Errorf("consume printed %q", consumed.stdout)
	}
	for _, o := range []outcome{before, produced, ran, consumed} {
		keepsSecret(t, o.args, o.stdout+o.stderr, secret)
	}
}
