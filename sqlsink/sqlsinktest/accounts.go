package sqlsinktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

const (
	accounts   = 5
	opening    = 1000
	partitions = 3
	transfers  = 60 // of a partition
)

// accountCases move money between accounts that partitions share, while connections are cut, answers are lost and partitions
// change hands: the sum of all balances stays, and each transfer is done once.
var accountCases = []testCase{
	{name: "transfers over crashes", run: func(e *env) {
		e.exec("create table accounts (id bigint not null primary key, balance bigint not null)")
		e.exec("create table transfers (id bigint not null, amount bigint not null)") // nothing unique: twice would be there twice
		for id := range accounts {
			e.exec(fmt.Sprintf("insert into accounts values (%d, %d)", id, opening))
		}
		balances := make([]int64, accounts)
		for id := range balances {
			balances[id] = opening
		}
		var logs [partitions][]event
		random := rand.New(rand.NewPCG(7, 11))
		for p := range logs {
			for n := range transfers {
				from, amount := random.Int64N(accounts), 1+random.Int64N(50)
				to := (from + 1 + random.Int64N(accounts-1)) % accounts
				logs[p] = append(logs[p], event{ID: int64(p*transfers + n), N: amount, Note: fmt.Sprint(from, " ", to)})
				balances[from] -= amount
				balances[to] += amount
			}
		}
		patient := func(c *sqlsink.TxConfig[event]) { c.Limits.Idle = 10 * time.Second }
		var owners [partitions][2]*assignment // two processes, which take the partition from each other
		for p := range owners {
			for i := range owners[p] {
				owners[p][i] = e.works(e.transfer, patient)
				owners[p][i].request.Partition = int32(p)
			}
		}
		var wg sync.WaitGroup
		for p := range logs {
			wg.Go(func() {
				if err := e.transferAll(owners[p], logs[p], uint64(p)); err != nil {
					e.Error(err)
				}
			})
		}
		wg.Wait()
		e.wantStrings("select id, balance from accounts order by id", func() (want []string) {
			for id, b := range balances {
				want = append(want, fmt.Sprint(id, " ", b))
			}
			return want
		}())
		e.wantStrings("select sum(balance), 0 from accounts", []string{fmt.Sprint(accounts*opening, " 0")})
		e.wantStrings("select count(*), count(distinct id) from transfers",
			[]string{fmt.Sprint(partitions*transfers, " ", partitions*transfers)})
	}},
}

// transfer moves the amount of each message: it reads, decides and writes, as people do.
func (e *env) transfer(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
	lock := " for update"
	if e.setup.Dialect.String() == "SQLite" {
		lock = ""
	}
	for _, m := range b.Messages {
		var from, to int64
		text, _ := m.Value.Note.(string)
		if _, err := fmt.Sscan(text, &from, &to); err != nil {
			return err
		}
		var balance int64
		if err := tx.QueryRowContext(ctx, e.sql("select balance from accounts where id = ?"+lock), from).Scan(&balance); err != nil {
			return fmt.Errorf("account %d: %w", from, err)
		}
		if _, err := tx.ExecContext(ctx, e.sql("update accounts set balance = ? where id = ?"), balance-m.Value.N, from); err != nil {
			return fmt.Errorf("account %d: %w", from, err)
		}
		if _, err := tx.ExecContext(ctx, e.sql("update accounts set balance = balance + ? where id = ?"), m.Value.N, to); err != nil {
			return fmt.Errorf("account %d: %w", to, err)
		}
		if _, err := tx.ExecContext(ctx, e.sql("insert into transfers values (?, ?)"), m.Value.ID, m.Value.N); err != nil {
			return err
		}
	}
	return nil
}

// transferAll works through a log with two owners that claim it in turns, and a fault for most batches.
func (e *env) transferAll(owners [2]*assignment, log []event, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 5))
	texts := []string{
		"begin", "start", "update sluice", "savepoint", "select balance", "update accounts", "insert into transfers", "release", "commit",
	}
	if err := owners[0].take(); err != nil {
		return err
	}
	owner := owners[0]
	deadline := time.Now().Add(4 * patience)
	for owner.next < int64(len(log)) {
		text := texts[random.IntN(len(texts))]
		switch random.IntN(4) {
		case 0:
			owner.faults.Drop(text)
		case 1:
			owner.faults.LoseAnswer(text)
		case 2: // the other process claims; this one goes on as a zombie
			other := owners[0]
			if owner == other {
				other = owners[1]
			}
			if err := other.take(); err != nil {
				return err
			}
			if err := owner.handle(e.Context(), log, min(owner.next+4, int64(len(log)))); !IsReclaim(err) && !IsOutage(err) {
				return fmt.Errorf("the zombie's batch: %w, want a reclaim or an outage", err)
			}
			owner = other
		}
		err := owner.handle(e.Context(), log, min(owner.next+4, int64(len(log))))
		if _, poison := errors.AsType[*sluice.BatchError](err); poison || (err != nil && time.Now().After(deadline)) {
			return fmt.Errorf("offset %d: %w", owner.next, err)
		}
		if IsReclaim(err) {
			if err := owner.take(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *env) wantStrings(text string, want []string) {
	e.Helper()
	got := e.strings(text, func(scan func(...any) error) (string, error) {
		var a, b int64
		err := scan(&a, &b)
		return fmt.Sprint(a, " ", b), err
	})
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		e.Errorf("%s:\n got %v\nwant %v", text, got, want)
	}
}
