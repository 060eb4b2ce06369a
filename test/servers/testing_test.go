package servers

import (
	"runtime"
	"testing"
	"time"
)

// needs skips (or fails under CI) when the server is not one that we can start.
func needs(t *testing.T, get func(testing.TB) *SQLServer) {
	t.Helper()
	get(t).own(t)
}

// recorder takes a test's end down instead of ending it.
type recorder struct {
	testing.TB
	outcome string
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatal(...any)          { r.end("fatal") }
func (r *recorder) Fatalf(string, ...any) { r.end("fatal") }
func (r *recorder) Skip(...any)           { r.end("skip") }

func (r *recorder) end(how string) {
	r.outcome = how
	runtime.Goexit()
}

// outcome says how call ended its test: "fatal", "skip", or "" if it did not.
func outcome(t *testing.T, call func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		call(r)
	}()
	<-done
	return r.outcome
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}
