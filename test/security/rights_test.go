package security

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// Who is let in, but may not do what a pipeline does to its topics, is told so before anything starts.
func TestTopicsThatAreNotAllowed(t *testing.T) {
	k := servers.SecureKafka(t)
	for _, test := range []struct {
		name    string
		allowed func(*testing.T, names, string)
		produce bool // is allowed
	}{
		{"nothing is allowed", func(*testing.T, names, string) {}, false},
		{"all but the dead letters", func(t *testing.T, n names, principal string) {
			k.Allow(t, kadm.NewACLs().Allow(principal).AllowHosts().Topics(n.topic).
				ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpWrite))
			n.allowGroup(t, k, principal)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, user := newNames(t, k), k.ScramUser(t, "SCRAM-SHA-512")
			test.allowed(t, n, user.Principal())
			a := login(k.SASLPlaintext, "SCRAM-SHA-512", user)
			app := newApp(t, a, n)
			for what, do := range map[string]func(context.Context) error{"Check": app.Check, "Run": app.Run} {
				ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
				err := do(ctx)
				cancel()
				if err == nil || !strings.Contains(err.Error(), "TOPIC_AUTHORIZATION_FAILED") || !strings.Contains(err.Error(), a.address) {
					t.Errorf("%s: %v", what, err)
				}
			}
			file, properties := n.pipeline(t, a)
			for _, args := range [][]string{{"run", file}, {"run", file, "--check"}, {"run", file, "--until-caught-up"}} {
				notAllowed(t, execute(t, "", args...), a.address, user)
			}
			if !test.produce {
				notAllowed(t, execute(t, "{}\n", "produce", "--properties", properties, "-t", n.topic), n.topic, user)
				notAllowed(t, execute(t, "", "consume", "--properties", properties, "-t", n.topic, "-e"), n.topic, user)
			}
		})
	}
}

// notAllowed demands that the program ends at once, and says where the right is missing.
func notAllowed(t *testing.T, o outcome, where string, user servers.User) {
	t.Helper()
	t.Logf("sluice %s, %v: %s", o.args, o.took.Round(time.Millisecond), strings.TrimSpace(o.stderr))
	if o.code != 1 || o.stdout != "" || o.took > answerLimit {
		t.Errorf("sluice %s ended with %d after %v and printed %q", o.args, o.code, o.took, o.stdout)
	}
	if !strings.Contains(o.stderr, "TOPIC_AUTHORIZATION_FAILED") || !strings.Contains(o.stderr, where) {
		t.Errorf("sluice %s says %q", o.args, o.stderr)
	}
	keepsSecret(t, o.args, o.stderr, user.Password)
}

// newApp is an app that does nothing with its records.
func newApp(t *testing.T, a access, n names) *sluice.App {
	t.Helper()
	app, err := sluice.New(a.config(t, n.group))
	if err != nil {
		t.Fatal(err)
	}
	if err := sluice.Add(app, route(n, func(context.Context, sluice.Message[string]) error { return nil })); err != nil {
		t.Fatal(err)
	}
	return app
}

// until waits for a condition, and fails with what it waited for.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s until %s", what)
		}
		<-tick.C
	}
}
