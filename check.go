package sluice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// checkTimeout bounds the questions that are asked before anything starts.
	checkTimeout = 10 * time.Second

	// groupTimeout bounds the question whether the group may be read: a coordinator that is just being chosen may take long, and
	// is no reason not to start.
	groupTimeout = 3 * time.Second
)

// Check asks the brokers whether the app can work: they answer, they let us in, every topic exists, those of dead letters too, and
// we may read the topics and the group, and write the dead letters; with ConsumerProtocol, every broker speaks it. Retry topics
// (Policy.RetryTopics) need not exist, as Run creates them; those that do exist have as many partitions as their source. For a
// TransactRoute every broker is Kafka 2.5 or newer, the log of transactions can be written, Timeout is not above the brokers' limit,
// as far as their settings may be read, and we may use the transactional id. It changes nothing, and returns all that is wrong, within
// 10 s. Its error wraps those that say why brokers do not let a client in (ErrAuthentication and its like), or joins a *PermissionError
// for each right that is missing.
func (a *App) Check(ctx context.Context) error {
	a.mu.Lock()
	bad := a.bad
	a.mu.Unlock()
	if bad != nil {
		return bad
	}
	cl, err := kgo.NewClient(a.cfg.clientOptions()...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer cl.Close()
	return a.check(ctx, cl)
}

func (a *App) check(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := ping(ctx, cl, a.cfg.Brokers); err != nil {
		return err
	}
	group := a.checkGroup
	if a.cfg.GroupProtocol == ConsumerProtocol {
		group = a.checkConsumerProtocol
	}
	for try := 1; ; try++ {
		err := errors.Join(a.checkTopics(ctx, cl), a.checkPatterns(ctx, cl), a.checkRetryTopics(ctx, cl), group(ctx, cl),
			a.checkTransactions(ctx, cl))
		if err == nil {
			return nil
		}
		// One has answered: another that hangs up at once, which kgo gives up at, is dead behind a proxy, and the next one is asked.
		if _, ended := errors.AsType[*kgo.ErrFirstReadEOF](err); !ended || try == topicTries || !pause(ctx, topicWait) {
			return fmt.Errorf("brokers %v: %w", a.cfg.Brokers, err)
		}
	}
}

// pause waits, and is false when the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// checkTopics demands the topics, for a while: one that was made just now may not be known to every broker.
func (a *App) checkTopics(ctx context.Context, cl *kgo.Client) error {
	for try := 1; ; try++ {
		err := a.askTopics(ctx, cl)
		if !errors.Is(err, errMissingTopic) || try == topicTries || !pause(ctx, topicWait) {
			return err
		}
	}
}

const (
	topicTries = 4
	topicWait  = 250 * time.Millisecond
)

var errMissingTopic = errors.New("does not exist")

// askTopics asks for the topics of the routes, and those of their dead letters, and what may be done to them.
func (a *App) askTopics(ctx context.Context, cl *kgo.Client) error {
	var reads []string
	for _, r := range a.routes {
		reads = append(reads, r.topics...)
	}
	writes := a.deadLetterTopics()
	if len(reads)+len(writes) == 0 {
		return nil // patterns only
	}
	answers, err := describeTopics(ctx, cl, slices.Concat(reads, writes))
	if err != nil {
		return fmt.Errorf("read the topics: %w", err)
	}
	errs := make([]error, 0, len(reads)+len(writes))
	for _, t := range reads {
		errs = append(errs, judgeTopic("topic", t, toRead, kmsg.ACLOperationRead, answers[t]))
	}
	for _, t := range writes {
		errs = append(errs, judgeTopic("dead letter topic", t, toWrite, kmsg.ACLOperationWrite, answers[t]))
	}
	return errors.Join(errs...)
}

// describeTopics asks for topics, and what we may do to them.
func describeTopics(ctx context.Context, cl *kgo.Client, names []string) (map[string]kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, t := range slices.Compact(slices.Sorted(slices.Values(names))) {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = new(t)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]kmsg.MetadataResponseTopic)
	for _, t := range resp.Topics {
		if t.Topic != nil {
			answers[*t.Topic] = t
		}
	}
	return answers, nil
}

// judgeTopic says what is wrong with a topic that is to be read or written.
func judgeTopic(what, name, operation string, bit kmsg.ACLOperation, t kmsg.MetadataResponseTopic) error {
	err := kerr.ErrorForCode(t.ErrorCode)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition) || err == nil && len(t.Partitions) == 0:
		return fmt.Errorf("%s %q %w; create it, e.g. kafka-topics --create --topic %s --partitions 6", what, name, errMissingTopic, name)
	case err == nil && !allowed(t.AuthorizedOperations, bit):
		err = kerr.TopicAuthorizationFailed // what reading or writing would be answered with
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", what, name, Explain(err, operation, name))
	}
	return nil
}

// allowed says whether an operation is among those that a broker says are allowed. Who asks may describe; a set without that is
// none: the broker does not tell.
func allowed(operations int32, bit kmsg.ACLOperation) bool {
	has := func(o kmsg.ACLOperation) bool { return operations&(1<<o) != 0 }
	return has(bit) || operations < 0 || !has(kmsg.ACLOperationDescribe)
}

// checkGroup asks whether we may be a member of the group, by a sign of life of a member that there is not: brokers look at
// rights first. Anything but a missing right is for the engine, which goes on asking.
func (a *App) checkGroup(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.Generation, req.MemberID = a.cfg.Group, 0, "check"
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if missing := missingPermission(err, toRead, a.cfg.Group); missing != nil {
		return missing
	}
	return nil
}

// ping asks for an answer and says which address gave none.
func ping(ctx context.Context, cl *kgo.Client, brokers []string) error {
	answer := make(chan error, 1)
	go func() { answer <- cl.Ping(ctx) }() // a connection that opens and stays silent may outlast ctx: until its client is closed
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("brokers %v: no answer within the time limit; is the address right, does it speak Kafka, and does TLS match? %w",
			brokers, err)
	default:
		return fmt.Errorf("brokers %v: %w", brokers, Explain(err, "", ""))
	}
}

// ConnectOptions are the options of a plain Kafka client that reaches the same brokers in the same way: addresses, login, TLS,
// times, and ClientOptions. It is for what this package has nothing for, such as an admin client; see Explain for its errors.
func (c Config) ConnectOptions() []kgo.Opt {
	c.ClientID = cmp.Or(c.ClientID, defaultClientID)
	return append(c.connection().clientOptions(), c.ClientOptions...)
}
