package sluice

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// Delivery is one call of a handler, before anything is decoded.
type Delivery struct {
	Group   string
	Records []*kgo.Record // one on a Route, at least one lane's worth on a BatchRoute; all of one partition
	Attempt int           // of the first record, from 1

	work *engine.Work
}

// Handler is what a Middleware wraps. It returns an outcome.
type Handler func(context.Context, *Delivery) error

// Middleware wraps every call of a route's handler: decoding happens inside. It may look at the raw records, add to the
// context, and change the outcome. It must call next at most once, with the Delivery that it got.
type Middleware func(next Handler) Handler
