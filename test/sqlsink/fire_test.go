package sqlsink_test

import (
	"context"
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/sqlsink/sqlsinktest"
)

// 32 members write at once, come and go, with a goodbye and without, while the server is told to kill their sessions, whatever these do
// just then.
func TestManyMembersUnderFire(t *testing.T) {
	kill := map[string]string{ // a session, if there is one in a transaction, that
		"MariaDB": "select concat('kill ', p.id) from information_schema.processlist p left join information_schema.innodb_trx t " +
			"on t.trx_mysql_thread_id = p.id where p.db = database() and p.id <> connection_id() order by t.trx_id is null, rand() limit 1",
		"PostgreSQL": "select 'select pg_terminate_backend(' || pid || ')' from pg_stat_activity where datname = current_database() " +
			"and pid <> pg_backend_pid() order by xact_start is null, random() limit 1",
	}
	for name, c := range databases() {
		t.Run(name, func(t *testing.T) {
			const members, partitions, rounds, each = 32, 64, 16, 3_000
			d := c.server(t).Database(t)
			direct := d.Open(t)
			direct.SetMaxOpenConns(1) // the killer's own, which it spares
			if err := ledger(t, d.Open(t), c.dialect, sqlsink.Limits{}).Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			f := newFleet(t, c.dialect, partitions)
			crew := make([]*sailor, members)
			for i := range crew {
				crew[i] = f.join(d, nil)
			}
			killed := killSessions(t, direct, kill[name])
			for round := range rounds {
				f.produce(each)
				if round%2 == 0 {
					continue
				}
				i := rand.IntN(members)
				if round%4 == 1 {
					crew[i].Abort()
				}
				f.leave(crew[i])
				crew[i] = f.join(d, nil)
			}
			f.until("half is written", func() bool { return f.written(direct) >= f.produced/2 })
			under := f.written(direct)
			n := killed() // from here on they are few that write, and each of their transactions would be killed
			f.untilWritten(direct)
			var retries, reclaims int64
			for _, m := range crew {
				f.leave(m)
				retries += m.sink.Stats().Retries
				reclaims += m.sink.Stats().Reclaims
			}
			t.Logf("%d sessions killed while %d of %d records were written, %d retries, %d reclaims", n, under, f.produced, retries, reclaims)
			wantEachOnce(t, direct, f.produced)
		})
	}
}

// killSessions kills one session every 20 ms until the function that it returns is called, which says how many.
func killSessions(t *testing.T, db *sql.DB, next string) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var killed atomic.Int64
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			var statement string
			if db.QueryRowContext(ctx, next).Scan(&statement) != nil {
				continue // there is none just now
			}
			if _, err := db.ExecContext(ctx, statement); err == nil { // it may be gone already
				killed.Add(1)
			}
		}
	}()
	stop = func() int64 { cancel(); <-done; return killed.Load() }
	t.Cleanup(func() { stop() })
	return stop
}

// 32 partitions have the same keys, each in another order. Their transactions wait for each other's rows, and with upserts alone none is
// ever given up for another: rows are written in the order of their keys. Deletes come first, all in one statement, until that has led
// to a deadlock; each sink sees a few at the most.
func TestSharedKeysDoNotDeadlock(t *testing.T) {
	for name, c := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Run("upserts", func(t *testing.T) {
				if retries := writeShared(t, c, 32, false); retries > 0 {
					t.Errorf("%d transactions were given up", retries)
				}
			})
			t.Run("upserts and deletes", func(t *testing.T) {
				const members = 12 // PostgreSQL looks for a deadlock after a second only
				retries := writeShared(t, c, members, true)
				t.Logf("%d transactions given up and done again", retries)
				if retries > 5*members {
					t.Errorf("%d transactions were given up", retries)
				}
			})
		})
	}
}

// change is a message of writeShared: a key's new value, or its end.
type change struct {
	key, value int64
	remove     bool
}

// writeShared writes batches of the same keys from many members at once, and returns how often a transaction had to be done again.
// With deletes every fifth change is one.
func writeShared(t *testing.T, c database, members int, deletes bool) (retries int64) {
	t.Helper()
	const batches, size, keys, every = 30, 100, 300, 5
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	d := c.server(t).Database(t)
	var wg sync.WaitGroup
	sinks := make([]*sqlsink.Sink[change], members)
	for i := range sinks {
		sink, err := sqlsink.New(sqlsink.Config[change]{
			DB: d.Open(t), Dialect: c.dialect, Table: "shared", Create: true, Mode: sqlsink.Upsert, Key: []string{"id"}, MaxConns: 2,
			Columns: []sqlsink.Column{{Name: "id", Type: "bigint not null"}, {Name: "value", Type: "bigint not null"}},
			Row: func(m sluice.Message[change]) (sqlsink.Row, error) {
				if m.Value.remove {
					return sqlsink.Delete(m.Value.key), nil
				}
				return sqlsink.Put(m.Value.key, m.Value.value), nil
			},
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sink.Close() })
		if err := sink.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		sinks[i] = sink
	}
	for i, sink := range sinks {
		wg.Go(func() {
			claim, err := sink.Claim(ctx, sluice.ClaimRequest{
				Group: "g", Topic: "t", Partition: int32(i), Committed: -1, Start: func(context.Context) (int64, error) { return 0, nil },
			})
			if err != nil {
				t.Error(err)
				return
			}
			for n := range int64(batches) {
				b := sluice.Batch[change]{Topic: "t", Partition: int32(i), Next: (n + 1) * size, Claim: claim.Token}
				for j, key := range rand.Perm(keys)[:size] {
					remove := deletes && j%every == 0
					b.Messages = append(b.Messages, sluice.Message[change]{Value: change{int64(key), int64(i), remove}})
				}
				for err := sink.Handle(ctx, b); err != nil; err = sink.Handle(ctx, b) {
					if !sqlsinktest.IsOutage(err) { // it may be given up five times in a row
						t.Errorf("partition %d: %v", i, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for _, sink := range sinks {
		retries += sink.Stats().Retries
		if got := sink.Stats().Batches; got != batches {
			t.Errorf("%d batches, want %d", got, batches)
		}
	}
	return retries
}
