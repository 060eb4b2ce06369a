package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

func (p *process) make() (*sluice.App, error) {
	cfg, err := p.config()
	if err != nil {
		return nil, err
	}
	app, err := sluice.New(cfg)
	if err != nil {
		return nil, err
	}
	return app, p.route(app)
}

func (p *process) config() (sluice.Config, error) {
	s := p.w.scenario
	cfg, err := sluice.FromProperties(strings.NewReader("compression.type=none")) // the oracle reads dead letters off the wire
	if err != nil {
		return cfg, err
	}
	cfg.Brokers, cfg.Group, cfg.ClientID = p.w.addresses, group, p.name
	cfg.ClientOptions = []kgo.Opt{kgo.Dialer(p.link.Dial), kgo.WithHooks(stalling{p}, marking{p})}
	cfg.InstanceID = p.w.instance(p.slot)
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Network.MetadataMaxAge = 15 * time.Second // new partitions are seen within it
	cfg.Fetch.MaxWait = s.fetchWait
	cfg.RebalanceTimeout = s.rebalance
	cfg.DrainTimeout, cfg.CommitTimeout = s.drain, s.commitTimeout
	cfg.Events = sluice.Events{
		Assigned: p.assigned, Released: p.released, DrainOverran: p.overran, CommitFailed: p.commitFailed, Committed: p.committed,
		Dropped: p.dropped, HandlerOverran: p.handlerOverran,
	}
	if p.w.trace.live != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(p.w.trace, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: noTime})).With("p", p.name)
	}
	switch s.protocol {
	case consumer: // the brokers have the session's limit
		cfg.GroupProtocol = sluice.ConsumerProtocol
	case eager:
		cfg.Assignors, cfg.SessionTimeout = []sluice.Assignor{sluice.Range}, s.session
	case cooperative:
		cfg.SessionTimeout = s.session
	}
	return cfg, nil
}

func (p *process) route(app *sluice.App) error {
	s := p.w.scenario
	policy := sluice.Policy{
		Ordering: s.ordering, Workers: s.workers, Commit: s.commit.policy, OnFailure: s.failure, Timeout: s.timeout,
		Retry: sluice.Retry{MaxAttempts: s.attempts, Backoff: s.backoff, MaxBackoff: 4 * time.Second, Breaker: s.breaker},
		Stuck: s.stuck, RetryTopics: s.retries,
	}
	if s.transacts() {
		return p.addTransact(app, policy)
	}
	if s.stream {
		policy.Workers = 0
		return sluice.AddStream(app, sluice.StreamRoute[*record]{Topics: []string{topic}, Decode: p.decode, Handle: p.handleStream, Policy: policy})
	}
	if s.batch > 0 {
		return sluice.AddBatch(app, sluice.BatchRoute[*record]{
			Topics: []string{topic}, Decode: p.decode, Handle: p.handleBatch, MaxSize: s.batch, MaxWait: s.wait, Policy: policy,
		})
	}
	return sluice.Add(app, sluice.Route[*record]{Topics: []string{topic}, Decode: p.decode, Handle: p.handle, Policy: policy})
}

// stalling is a client's hook that holds up the goroutine that polls, when it has records in its hand.
type stalling struct{ p *process }

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered.
func (s stalling) OnFetchRecordUnbuffered(*kgo.Record, bool) {
	s.p.w.mu.Lock()
	d := time.Until(s.p.stalled)
	s.p.w.mu.Unlock()
	if d > 0 {
		s.p.w.trace.notef(s.p.name, "stalls for %v with records in its hand", d)
		s.p.w.sleep(d)
	}
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

var idForm = regexp.MustCompile(`#(\d+)#`)

func value(id int) []byte { return fmt.Appendf(nil, "#%d#", id) }

// decode finds the record of a value.
func (p *process) decode(rec *kgo.Record) (*record, error) {
	w := p.w
	found := idForm.FindSubmatch(rec.Value)
	if found == nil {
		p.w.failf("a record of an aborted transaction was delivered: offset %d of partition %d", rec.Offset, rec.Partition)
		return nil, errGone
	}
	id, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.ledger.records[id]
	w.ledger.place(r, rec.Offset)
	if rec.Topic != topic || rec.Partition != r.partition || rec.Offset != r.offset {
		w.failLockedf("retry: %s is shown %s[%d]@%d for %v", p.name, rec.Topic, rec.Partition, rec.Offset, r)
	}
	r = w.recordOf(idOf(rec)) // or a copy of it
	if r.kind == undecodable {
		p.give(r, p.tenures[r.partition], true)
		return nil, errors.New("no such thing")
	}
	return r, nil
}
