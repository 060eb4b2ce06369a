package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	largeAtOnce = 4                // answers are made at once that may be large: of ten thousand groups each takes much memory meanwhile
	largeUnsent = 256 << 20        // bytes of them may wait for callers that read slowly
	turnWait    = 10 * time.Second // as long as Prometheus has patience by default
)

// turns bounds how many answers are made at once, and how much of those that are made is not sent yet.
type turns struct {
	taken    chan struct{}
	patience time.Duration
	most     int64 // bytes that are not sent yet
	unsent   atomic.Int64
}

func newTurns() *turns {
	return &turns{taken: make(chan struct{}, largeAtOnce), patience: turnWait, most: largeUnsent}
}

// of waits for a turn, in the order in which callers came. The turn is over when the answer is in memory: who reads it slowly keeps nobody
// from being answered.
func (t *turns) of(next http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		made := answer{header: out.Header(), status: http.StatusOK}
		if why := t.make(&made, next, r); why != "" {
			out.Header().Set("Retry-After", "1")
			http.Error(out, why+"; ask again", http.StatusServiceUnavailable)
			return
		}
		defer t.unsent.Add(-int64(made.body.Len()))
		out.Header().Set("Content-Length", strconv.Itoa(made.body.Len()))
		out.WriteHeader(made.status)
		_, _ = out.Write(made.body.Bytes()) // an error means that nobody reads any more
	})
}

// make makes an answer, or says why not.
func (t *turns) make(a *answer, next http.Handler, r *http.Request) (why string) {
	patience := time.NewTimer(t.patience)
	defer patience.Stop()
	select {
	case t.taken <- struct{}{}:
	case <-patience.C:
		return fmt.Sprintf("%d others are being answered", cap(t.taken))
	case <-r.Context().Done():
		return "the caller is gone"
	}
	defer func() { <-t.taken }()
	if t.unsent.Load() > t.most {
		return "others read too slowly what they were answered"
	}
	next.ServeHTTP(a, r)
	t.unsent.Add(int64(a.body.Len()))
	return ""
}

// answer is an answer in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
