// Package sqlsink brings Kafka records into a SQL database, each exactly once: what they do and their offsets are in one
// transaction, and a process that lost its partition cannot write any more. [New] writes rows of one table; [NewTx] runs
// SQL of your own.
//
//	sink, err := sqlsink.New(sqlsink.Config[Order]{
//		DB: db, Dialect: sqlsink.Postgres(), Table: "orders", Mode: sqlsink.Upsert, Key: []string{"id"},
//		Columns: []sqlsink.Column{{Name: "id"}, {Name: "total"}},
//		Row: func(m sluice.Message[Order]) (sqlsink.Row, error) { return sqlsink.Put(m.Value.ID, m.Value.Total), nil },
//	})
//	err = sink.Prepare(ctx)
//	err = sluice.AddBatch(app, sluice.BatchRoute[Order]{
//		Topics: []string{"orders"}, Decode: sluice.JSON[Order], Handle: sink.Handle, Offsets: sink,
//		Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "orders.dlq"}},
//	})
//
// # How it works
//
// The table sluice_offsets has one row for each group, topic and partition: the next offset, and who owns it (a number
// that grows with every claim, and a random token). It is the authority; commits to Kafka only mirror it.
//
// A claim makes the row ours. Each batch is one transaction, and its first statement is the fence:
//
//	update sluice_offsets set next_offset = <end> where <partition> and owner_epoch = <mine> and owner = <mine> and next_offset = <start>
//
//	          rows hit: 1                        rows hit: 0
//	fence ----------------> rows* -> COMMIT   ------------------> read the row
//	  ^                        |      |                             |
//	  |   deadlock, lock wait  |      | no answer                   +- ours, next = end: an earlier COMMIT arrived: done
//	  +------------------------+------+                             +- ours, next = start: again
//	                           |                                    +- anything else: sluice.Reclaim
//	                           +- the row's fault: bisection, sluice.Poison
//	                           +- anything else: sluice.Outage
//
//	* the rows of New, or the Work of NewTx
//
// The fence comes first for three reasons. A zombie touches no row of the table. A retry after a COMMIT without an answer
// waits on the offset row until the database has decided about that COMMIT, so what it sees is final; no separate read
// is needed before it. And a duplicate key in the rows can never be our own.
//
// # SQL of your own
//
// Where a record is more than a row (a balance to update, two tables, a function to call), [NewTx] calls your Work with the
// transaction instead, behind the same fence:
//
//	sink, err := sqlsink.NewTx(sqlsink.TxConfig[Transfer]{
//		DB: db, Dialect: sqlsink.Postgres(),
//		Work: func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[Transfer]) error {
//			for _, m := range b.Messages {
//				const move = "update accounts set balance = balance + $1 where id = $2"
//				if _, err := tx.ExecContext(ctx, move, -m.Value.Amount, m.Value.From); err != nil {
//					return err
//				}
//				if _, err := tx.ExecContext(ctx, move, m.Value.Amount, m.Value.To); err != nil {
//					return err
//				}
//			}
//			return nil
//		},
//	})
//
// Work stands between a savepoint and its release. If the release fails, Work has left no transaction, or PostgreSQL has given it up
// after an error that Work swallowed; either way nothing is committed by us. COMMIT, ROLLBACK and BEGIN are refused before they run.
// [TxConfig] says what Work may return and what becomes of it.
//
// # Databases
//
// Drivers are the caller's: the package knows errors by SQLSTATE (pgx, lib/pq), by result code (modernc.org/sqlite) or by
// the function given to [MySQL]. Tested with MariaDB 10.11, PostgreSQL 15 and SQLite.
//
// The sink keeps the connections that it takes, because it sets limits in their sessions ([Limits]): give it a DB of its
// own, or one that allows more connections than [Config].MaxConns. A pooler between the sink and the database must not
// share a session between clients (PgBouncer: session mode).
package sqlsink
