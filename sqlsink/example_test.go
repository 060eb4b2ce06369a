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

type order struct {
	ID    int64  `json:"id"`
	State string `json:"state"`
}

// A sink keeps the newest state of each order; a tombstone removes it. In a program the sink is given to a BatchRoute,
// as Handle and as Offsets, and the app calls Claim and Handle.
func Example() {
	if err := ordersExample(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1 paid
	// 3 new
	// next offset 5
}

func ordersExample(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sqlsink")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", filepath.Join(dir, "orders.db"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()

	sink, err := sqlsink.New(sqlsink.Config[order]{
		DB: db, Dialect: sqlsink.SQLite(), Table: "orders", Create: true, Mode: sqlsink.Upsert, Key: []string{"id"},
		Columns: []sqlsink.Column{{Name: "id", Type: "integer not null"}, {Name: "state"}},
		Row: func(m sluice.Message[order]) (sqlsink.Row, error) {
			if m.Value.State == "" {
				return sqlsink.Delete(m.Value.ID), nil
			}
			return sqlsink.Put(m.Value.ID, m.Value.State), nil
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
		Group: "billing", Topic: "orders", Partition: 0, Committed: -1,
		Start: func(context.Context) (int64, error) { return 0, nil },
	})
	if err != nil {
		return err
	}
	batch := sluice.Batch[order]{Topic: "orders", Partition: 0, Claim: claim.Token}
	for offset, o := range []order{{1, "new"}, {2, "new"}, {1, "paid"}, {2, ""}, {3, "new"}} {
		record := &kgo.Record{Topic: "orders", Offset: int64(offset)}
		batch.Messages = append(batch.Messages, sluice.Message[order]{Value: o, Record: record})
		batch.Next = int64(offset) + 1
	}
	if err := sink.Handle(ctx, batch); err != nil {
		return err
	}

	rows, err := db.QueryContext(ctx, "select id, state from orders order by id")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var o order
		if err := rows.Scan(&o.ID, &o.State); err != nil {
			return err
		}
		fmt.Println(o.ID, o.State)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var next int64
	if err := db.QueryRowContext(ctx, "select next_offset from sluice_offsets").Scan(&next); err != nil {
		return err
	}
	fmt.Println("next offset", next)
	return nil
}

// Every mistake is told at once, each with its field.
func ExampleNew_mistakes() {
	_, err := sqlsink.New(sqlsink.Config[order]{Table: "orders", Mode: sqlsink.Upsert, Dialect: sqlsink.SQLite()})
	fmt.Println(err)
	// Output:
	// sqlsink.Config.DB: required
	// sqlsink.Config.Row: required
	// sqlsink.Config.Columns: name at least one
	// sqlsink.Config.Key: required with Mode Upsert; name the columns that identify a row
}
