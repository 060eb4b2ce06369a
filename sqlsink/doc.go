// Package sqlsink writes Kafka records to a table of a SQL database, each exactly once: rows and offsets are in one
// transaction, and a process that lost its partition cannot write any more.
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
//	fence ----------------> rows -> COMMIT    ------------------> read the row
//	  ^                        |      |                             |
//	  |   deadlock, lock wait  |      | no answer                   +- ours, next = end: an earlier COMMIT arrived: done
//	  +------------------------+------+                             +- ours, next = start: again
//	                           |                                    +- anything else: sluice.Reclaim
//	                           +- the row's fault: bisection, sluice.Poison
//	                           +- anything else: sluice.Outage
//
// The fence comes first for three reasons. A zombie touches no row of the table. A retry after a COMMIT without an answer
// waits on the offset row until the database has decided about that COMMIT, so what it sees is final; no separate read
// is needed before it. And a duplicate key in the rows can never be our own.
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
