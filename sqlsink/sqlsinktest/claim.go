package sqlsinktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

var claimCases = []testCase{
	{name: "first claims of several processes at once", run: func(e *env) {
		const processes, partitions = 3, 8
		var all [processes]*process
		for i := range all {
			all[i] = e.process(insertMode)
		}
		var claims [processes][partitions]sluice.Claim
		var wg sync.WaitGroup
		for i, p := range all {
			for n := range partitions {
				wg.Go(func() {
					r := e.request("g", "t", int32(n))
					r.Start = func(context.Context) (int64, error) { return int64(100 + i), nil }
					var err error
					if claims[i][n], err = p.sink.Claim(e.Context(), r); err != nil {
						e.Errorf("Claim: %v; a row that another process has just added is there to be taken over", err)
					}
				})
			}
		}
		wg.Wait()
		if e.Failed() {
			return
		}
		for n := range partitions {
			written := 0
			for i, p := range all {
				if claims[i][n].Next != claims[0][n].Next {
					e.Errorf("partition %d: one begins at %d, another at %d", n, claims[0][n].Next, claims[i][n].Next)
				}
				b := sluice.Batch[event]{Topic: "t", Partition: int32(n), Next: 200, Claim: claims[i][n].Token}
				err := p.sink.Handle(e.Context(), b)
				switch {
				case err == nil:
					written++
				case !IsReclaim(err):
					e.Errorf("Handle: %v", err)
				}
			}
			if written != 1 {
				e.Errorf("partition %d: %d processes could write", n, written)
			}
		}
		rows := e.strings("select partition_id, owner_epoch from sluice_offsets", func(scan func(...any) error) (string, error) {
			var n, epoch int64
			err := scan(&n, &epoch)
			return fmt.Sprint(n, " ", epoch), err
		})
		for _, r := range rows {
			if !strings.HasSuffix(r, " 3") {
				e.Errorf("partition and owner epoch %q, want epoch 3 after 3 claims", r)
			}
		}
		if len(rows) != partitions {
			e.Errorf("%d rows", len(rows))
		}
	}},
	{name: "start, epoch and stored offset", run: func(e *env) {
		p := e.process()
		r := e.request("g", "t", 0)
		r.Start = func(context.Context) (int64, error) { return 42, nil }
		a := p.claimedAs(r)
		if a.claim.Next != 42 || a.claim.NextEpoch != -1 {
			e.Errorf("first claim: %+v", a.claim)
		}
		r.Start = func(context.Context) (int64, error) { return 0, errors.New("asked again") }
		a = p.claimedAs(r)
		log := make([]event, 50)
		for i := range log {
			log[i] = event{ID: int64(i), Note: "x"}
		}
		a.work(log, 50)
		r.Committed, r.CommittedEpoch = 99, 1 // the database is the authority
		if a = p.claimedAs(r); a.claim.Next != 50 || a.claim.NextEpoch != 7 {
			e.Errorf("later claim: %+v", a.claim)
		}
	}},
	{name: "Start fails", run: func(e *env) {
		p := e.process()
		r := e.request("g", "t", 0)
		away := errors.New("no broker")
		r.Start = func(context.Context) (int64, error) { return 0, away }
		if _, err := p.sink.Claim(e.Context(), r); !errors.Is(err, away) || sluice.IsRefused(err) {
			e.Errorf("Claim: %v", err)
		}
		e.wantOffset(-1)
	}},
	{name: "no row although the group has a commit", run: func(e *env) {
		for _, c := range []struct {
			what sqlsink.MissingRow
			next int64
		}{{sqlsink.RefuseMissing, -1}, {sqlsink.FromCommit, 30}, {sqlsink.FromStart, 5}} {
			p := e.process(func(cfg *config) { cfg.OnMissingRow = c.what })
			e.exec("delete from sluice_offsets")
			r := e.request("g", "t", 0)
			r.Committed, r.CommittedEpoch = 30, 4
			r.Start = func(context.Context) (int64, error) { return 5, nil }
			answer, err := p.sink.Claim(e.Context(), r)
			switch {
			case c.next < 0 && (!sluice.IsRefused(err) || !strings.Contains(err.Error(), "OnMissingRow")):
				e.Errorf("Claim: %v, want a refusal that says what to do", err)
			case c.next >= 0 && (err != nil || answer.Next != c.next):
				e.Errorf("%v: %+v, %v", c.what, answer, err)
			}
		}
	}},
	{name: "the row is deleted", run: func(e *env) {
		log, _ := inserts(20)
		a := e.process(insertMode).claimed()
		a.work(log[:10], 5)
		e.exec("delete from sluice_offsets")
		if err := a.handle(e.Context(), log, 15); !IsReclaim(err) {
			e.Errorf("Handle: %v, want a reclaim", err)
		}
		a.request.Committed = 10
		if _, err := a.sink.Claim(e.Context(), a.request); !sluice.IsRefused(err) {
			e.Errorf("Claim: %v, want a refusal", err)
		}
		if n := len(e.rows()); n != 10 {
			e.Errorf("%d rows", n)
		}
	}},
	{name: "a topic that was made again", run: func(e *env) {
		log, _ := inserts(10)
		p := e.process(insertMode)
		a := p.claimed()
		a.work(log, 5)
		again := e.request("g", "t", 0)
		again.TopicID = [16]byte{9, 9}
		_, err := p.sink.Claim(e.Context(), again)
		if !sluice.IsRefused(err) || !strings.Contains(err.Error(), "made again") {
			e.Fatalf("Claim: %v, want a refusal", err)
		}
		_, remedy, ok := strings.Cut(err.Error(), "run: ")
		if !ok {
			e.Fatalf("no remedy: %v", err)
		}
		e.exec(remedy)
		if b := p.claimedAs(again); b.next != 0 {
			e.Errorf("after the remedy it begins at %d", b.next)
		}
	}},
	{name: "a topic id that the broker does not tell", run: func(e *env) {
		p := e.process()
		unknown := e.request("g", "t", 0)
		unknown.TopicID = [16]byte{}
		p.claimedAs(unknown)
		p.claimed() // stores it
		p.claimedAs(unknown)
		other := e.request("g", "t", 0)
		other.TopicID = [16]byte{9}
		if _, err := p.sink.Claim(e.Context(), other); !sluice.IsRefused(err) {
			e.Errorf("Claim: %v: the id that was stored is gone", err)
		}
	}},
	{name: "names that differ in case only, and two groups", run: func(e *env) {
		p := e.process()
		names := []struct{ group, topic string }{{"g", "t"}, {"G", "t"}, {"g", "T"}, {"other", "t"}, {"gröup", "t"}, {"group", "t"}}
		for i, n := range names {
			r := e.request(n.group, n.topic, 0)
			r.Start = func(context.Context) (int64, error) { return int64(10 * i), nil }
			if a := p.claimedAs(r); a.next != int64(10*i) {
				e.Errorf("%v begins at %d: it is taken for another", n, a.next)
			}
		}
		r := e.request("g", "t", 0)
		a := p.claimedAs(r)
		a.work([]event{{ID: 1, Note: "x"}}, 1)
		for i, n := range names[1:] {
			if b := p.claimedAs(e.request(n.group, n.topic, 0)); b.next != int64(10*(i+1)) {
				e.Errorf("%v went to %d", n, b.next)
			}
		}
	}},
	{name: "names that the table cannot hold", run: func(e *env) {
		p := e.process()
		for _, group := range []string{"", "g ", strings.Repeat("g", 256)} {
			if _, err := p.sink.Claim(e.Context(), e.request(group, "t", 0)); !sluice.IsRefused(err) {
				e.Errorf("group %q: %v, want a refusal", group, err)
			}
		}
		long := e.request(strings.Repeat("ü", 255), strings.Repeat("t", 249), 2147483647)
		if a := p.claimedAs(long); a.next != 0 {
			e.Errorf("begins at %d", a.next)
		}
	}},
	{name: "a claim that loses its COMMIT", run: func(e *env) {
		p := e.process(insertMode)
		log, want := inserts(6)
		for at := range 3 {
			p.faults.LoseAnswer("commit")
			p.claimed()
			p.faults.Drop("commit")
			a := p.claimed()
			a.work(log[:2*at+2], 2)
		}
		e.wantRows(want...)
	}},
	{name: "a closed sink", run: func(e *env) {
		p := e.process()
		a := p.claimed()
		_ = p.sink.Close()
		if err := a.handle(e.Context(), []event{{ID: 1, Note: "x"}}, 1); err == nil {
			e.Error("Handle: no error")
		}
		if n := p.db.Stats().OpenConnections; n != 0 {
			e.Errorf("%d connections are still open", n)
		}
	}},
}
