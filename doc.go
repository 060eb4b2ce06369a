// Package sluice is the runtime that a Go service needs on top of a Kafka client.
//
// An [App] is one member of a consumer group. Each [Route] gives some topics to a handler, and the app does the rest:
// it polls, keeps records in order per partition or per key, runs handlers side by side, retries, writes dead letters,
// commits, drains when a partition leaves, and stops cleanly:
//
//	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: "billing"})
//	err = sluice.Add(app, sluice.Route[Order]{
//		Topics: []string{"orders"},
//		Decode: sluice.JSON[Order],
//		Handle: func(ctx context.Context, m sluice.Message[Order]) error { return svc.Charge(ctx, m.Value) },
//		Policy: sluice.Policy{
//			Ordering:  sluice.ByKey,
//			Workers:   64,
//			Retry:     sluice.Retry{MaxAttempts: 8},
//			OnFailure: sluice.DeadLetter{Topic: "orders.dlq"},
//		},
//	})
//	err = app.Run(ctx) // nil after a clean drain
//
// What is committed is always the frontier: the lowest offset of a partition that is not finished. A record is finished
// when its handler returned nil, when its policy skipped or dropped it, or when its dead letter was acknowledged; nothing
// else finishes it. See docs/guarantees.md for each guarantee and the test that attacks it.
package sluice
