package sqlsink_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

type transfer struct{ From, To, Amount int64 }

// Money moves between accounts by statements of one's own. The transaction that moves it moves the partition's offset, too, so each
// transfer is done once; one that the database refuses is poison, and its neighbours are done. In a program the sink is given to
// a BatchRoute, as Handle and as Offsets, and the app calls Claim and Handle.
func ExampleNewTx() {
	if err := transferExample(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// poison: transfer 1
	// account 1: 70
	// account 2: 30
	// next offset 3
}

func transferExample(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sqlsink")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", filepath.Join(dir, "bank.db"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, text := range []string{
		"create table accounts (id integer primary key, balance integer not null check (balance >= 0))",
		"insert into accounts values (1, 100), (2, 0)",
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}

	sink, err := sqlsink.NewTx(sqlsink.TxConfig[transfer]{
		DB: db, Dialect: sqlsink.SQLite(),
		Work: func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[transfer]) error {
			for _, m := range b.Messages {
				const move = "update accounts set balance = balance + ? where id = ?"
				if _, err := tx.ExecContext(ctx, move, -m.Value.Amount, m.Value.From); err != nil {
					return fmt.Errorf("take from account %d: %w", m.Value.From, err)
				}
				if _, err := tx.ExecContext(ctx, move, m.Value.Amount, m.Value.To); err != nil {
					return fmt.Errorf("give to account %d: %w", m.Value.To, err)
				}
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = sink.Close() }()
	if err := sink.Prepare(ctx); err != nil {
		return err
	}
	claim, err := sink.Claim(ctx, sluice.ClaimRequest{
		Group: "bank", Topic: "transfers", Partition: 0, Committed: -1,
		Start: func(context.Context) (int64, error) { return 0, nil },
	})
	if err != nil {
		return err
	}
	batch := sluice.Batch[transfer]{Topic: "transfers", Partition: 0, Next: 3, Claim: claim.Token}
	for offset, t := range []transfer{{From: 1, To: 2, Amount: 40}, {From: 2, To: 1, Amount: 1000}, {From: 2, To: 1, Amount: 10}} {
		batch.Messages = append(batch.Messages, sluice.Message[transfer]{
			Value: t, Record: &kgo.Record{Topic: "transfers", Offset: int64(offset)},
		})
	}
	err = sink.Handle(ctx, batch)
	if failed, ok := err.(*sluice.BatchError); ok { //nolint:errorlint // the app does the rest: a dead letter, then the others
		for i := range failed.Failed {
			fmt.Println("poison: transfer", i)
			batch.Messages = append(batch.Messages[:i], batch.Messages[i+1:]...)
		}
		err = sink.Handle(ctx, batch)
	}
	if err != nil {
		return err
	}
	for id := range int64(2) {
		var balance int64
		if err := db.QueryRowContext(ctx, "select balance from accounts where id = ?", id+1).Scan(&balance); err != nil {
			return err
		}
		fmt.Printf("account %d: %d\n", id+1, balance)
	}
	var next int64
	if err := db.QueryRowContext(ctx, "select next_offset from sluice_offsets").Scan(&next); err != nil {
		return err
	}
	fmt.Println("next offset", next)
	return nil
}
