package sluice

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	retryField      = "Policy.RetryTopics"
	leastRetryDelay = time.Second
	longestTopic    = 249
	toCreate        = "CREATE"
)

// retryTopic is a topic that failed records of another one wait in.
type retryTopic struct {
	name, source string
	delay        time.Duration
	delays       int // that its records have seen when they are handled there, from 1
}

// retryTopicName is <topic>.<group>.retry.<delay>.
func retryTopicName(topic, group string, delay time.Duration) string {
	return topic + retryTopicMark(group) + shortDuration(delay)
}

// retryTopicMark is what the names of all retry topics of a group have, and no other topic should.
func retryTopicMark(group string) string { return "." + group + ".retry." }

// retryTopicsOf are the retry topics of a route.
func (a *App) retryTopicsOf(r addedRoute) (topics []retryTopic) {
	for i, delay := range r.policy.RetryTopics {
		for _, t := range r.topics {
			topics = append(topics, retryTopic{retryTopicName(t, a.cfg.Group, delay), t, delay, i + 1})
		}
	}
	return topics
}

// retryTopics are those of all routes.
func (a *App) retryTopics() (topics []retryTopic) {
	for _, r := range a.routes {
		topics = append(topics, a.retryTopicsOf(r)...)
	}
	return topics
}

// checkRetryTopics judges a policy's retry topics by themselves.
func (p Policy) checkRetryTopics(bad *mistakes) {
	if len(p.RetryTopics) == 0 {
		return
	}
	for i, d := range p.RetryTopics {
		at := fmt.Sprintf("%s[%d]", retryField, i)
		if d < leastRetryDelay {
			bad.add(at, d.String(), fmt.Sprintf(
				"a delay is at least %v; shorter ones are for Retry.Backoff, which waits in place", leastRetryDelay))
		} else if slices.Contains(p.RetryTopics[:i], d) {
			bad.add(at, d.String(), "is there twice; topics are named by their delays: give each another one")
		}
	}
	if p.Retry.MaxAttempts == 0 {
		bad.add(retryField, fmt.Sprint(p.RetryTopics), "Retry.MaxAttempts is 0, so no record ever uses up its attempts and goes there; "+
			"say how many there are, and with OnFailure what becomes of a record after the last retry topic", "Policy.Retry.MaxAttempts")
	}
	if p.Commit.before || p.Commit.manual {
		bad.add(retryField, fmt.Sprint(p.RetryTopics), "cannot be had with BeforeHandle, which commits a record before it may have to go "+
			"there, nor with Manual; use Every, EveryN or EachRecord", "Policy.Commit")
	}
}

// checkRetryTopicNames judges the names that a route's retry topics come to.
func checkRetryTopicNames(bad *mistakes, group string, topics []string, pattern string, p Policy) {
	if len(p.RetryTopics) == 0 {
		return
	}
	if pattern != "" {
		bad.add(retryField, pattern, "cannot be had with a Pattern, as they are made at start, for topics that are known then; name the "+
			"topics in Topics", "Pattern")
	}
	if !topicCharacters.MatchString(group) {
		bad.add(retryField, group, "the group is part of a retry topic's name, and has characters that no topic may have; accepted are "+
			"a-z, A-Z, 0-9, '.', '_' and '-'", "Group")
		return
	}
	for _, t := range topics {
		for _, d := range p.RetryTopics {
			if name := retryTopicName(t, group, d); len(name) > longestTopic {
				bad.add(retryField, name, fmt.Sprintf(
					"the name is %d characters long, and a topic's has at most %d; shorten the group's name", len(name), longestTopic))
			}
		}
	}
}

var topicCharacters = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

// retryTopicsBeside refuses retry topics that something else reads or writes.
func (a *App) retryTopicsBeside(routes []addedRoute) (errs []error) {
	others := make(map[string]string) // what other topics are for
	for _, r := range routes {
		for _, t := range r.topics {
			others[t] = "the topics of a route"
		}
		if d, ok := r.policy.OnFailure.(DeadLetter); ok {
			others[d.Topic] = "the topics of dead letters"
		}
	}
	for _, r := range routes {
		for _, t := range a.retryTopicsOf(r) {
			if what := others[t.name]; what != "" {
				errs = append(errs, &ConfigError{Field: retryField, Value: t.name, Problem: fmt.Sprintf(
					"is among %s as well; the group reads it by itself, and nobody else may write there: leave it out there", what)})
			}
		}
	}
	return errs
}

// checkRetryTopics judges the retry topics that there are.
func (a *App) checkRetryTopics(ctx context.Context, cl *kgo.Client) error {
	_, err := a.lookAtRetryTopics(ctx, cl)
	return err
}

// retryLook is what the brokers say of the retry topics.
type retryLook struct {
	partitions map[string]int32 // that they have, or need
	missing    []missingTopic
	unknown    []string // sources that there are not, or not yet
}

// missingTopic is a retry topic that there is not.
type missingTopic struct {
	retryTopic

	partitions int32 // of its source
	replicas   int16
}

// lookAtRetryTopics returns how the retry topics are; its error says what is wrong with them.
func (a *App) lookAtRetryTopics(ctx context.Context, cl *kgo.Client) (look retryLook, err error) {
	retries := a.retryTopics()
	if len(retries) == 0 {
		return look, nil
	}
	var names []string
	for _, t := range retries {
		names = append(names, t.name, t.source)
	}
	found, err := describeTopics(ctx, cl, names)
	if err != nil {
		return look, fmt.Errorf("read the retry topics: %w", err)
	}
	look.partitions = make(map[string]int32)
	errs := []error{judgeRetryLogs(ctx, cl, retries)}
	for _, t := range retries {
		topic, source := found[t.name], found[t.source].Partitions
		want := int32(len(source))
		if want == 0 {
			look.unknown = append(look.unknown, t.source)
			continue
		}
		look.partitions[t.name] = want
		switch err := kerr.ErrorForCode(topic.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			look.missing = append(look.missing, missingTopic{t, want, int16(len(source[0].Replicas))})
		case err != nil, len(topic.Partitions) == int(want):
			errs = append(errs, judgeTopic("retry topic", t.name, toRead, kmsg.ACLOperationRead, topic),
				judgeTopic("retry topic", t.name, toWrite, kmsg.ACLOperationWrite, topic))
		default:
			errs = append(errs, otherPartitions(t, len(topic.Partitions), int(want)))
		}
	}
	return look, errors.Join(errs...)
}

// judgeRetryLogs refuses retry topics whose log forgets copies that are not due. What we may not read is taken as good.
func judgeRetryLogs(ctx context.Context, cl *kgo.Client, topics []retryTopic) error {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.name
	}
	configs, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("read the settings of the retry topics: %w", err)
	}
	var errs []error
	for _, t := range topics {
		config, err := configs.On(t.name, nil)
		if err != nil || config.Err != nil {
			continue // it does not exist, or we may not read its settings
		}
		for _, c := range config.Configs {
			switch value := c.MaybeValue(); c.Key {
			case "cleanup.policy":
				if strings.Contains(value, "compact") {
					errs = append(errs, &ConfigError{Field: retryField, Value: t.name, Problem: "the topic is compacted, which " +
						"deletes all copies of a key but the last; set cleanup.policy=delete, e.g. with kafka-configs --alter"})
				}
			case "retention.ms":
				ms, err := strconv.ParseInt(value, 10, 64)
				if err == nil && ms >= 0 && ms <= t.delay.Milliseconds() {
					errs = append(errs, &ConfigError{Field: retryField, Value: t.name, Problem: fmt.Sprintf("the topic keeps its records "+
						"for %v, so that copies are deleted before they are due; set retention.ms to much more than the delay, e.g. with "+
						"kafka-configs --alter", shortDuration(time.Duration(ms)*time.Millisecond))})
				}
			}
		}
	}
	return errors.Join(errs...)
}

// otherPartitions says what to do about a retry topic that has another number of partitions than its source.
func otherPartitions(t retryTopic, has, want int) *ConfigError {
	remedy := "delete it when nothing in it is needed any more, and start again, which makes it anew"
	if has < want {
		remedy = fmt.Sprintf("give it as many: kafka-topics --bootstrap-server HOST:PORT --alter --topic %s --partitions %d", t.name, want)
	}
	return &ConfigError{Field: retryField, Value: t.name, Problem: fmt.Sprintf(
		"the topic exists with %d partitions, and its source %s has %d; a record keeps its partition's number there, so they are as "+
			"many: %s", has, t.source, want, remedy)}
}

// makeRetryTopics creates the retry topics that there are not, and waits until the brokers know them and their sources.
func (a *App) makeRetryTopics(ctx context.Context) error {
	if len(a.retryTopics()) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(a.cfg.clientOptions()...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	for {
		look, err := a.lookAtRetryTopics(ctx, cl)
		if err != nil {
			return err
		}
		if len(look.missing) == 0 && len(look.unknown) == 0 {
			a.retryPartitions = look.partitions
			return nil
		}
		if err := createRetryTopics(ctx, cl, look.missing); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("retry topics: the brokers know neither %v nor the topics created for them: %w", look.unknown, ctx.Err())
		case <-time.After(topicWait):
		}
	}
}

// inherited are the settings that a retry topic gets from its source, where we may read them: a record's only copy is as safe there as
// the record was, and finds room.
var inherited = []string{"min.insync.replicas", maxMessageBytes}

const maxMessageBytes = "max.message.bytes"

// copyOverhead is what a copy's own headers may add to a record.
const copyOverhead = 16 << 10

// createRetryTopics creates topics that are as safe as their sources. Somebody else may have been faster.
func createRetryTopics(ctx context.Context, cl *kgo.Client, topics []missingTopic) error {
	if len(topics) == 0 {
		return nil
	}
	admin := kadm.NewClient(cl)
	of, sources := make(map[string]string), make([]string, len(topics))
	for i, t := range topics {
		of[t.name], sources[i] = t.source, t.source
	}
	configs, err := admin.DescribeTopicConfigs(ctx, sources...)
	if err != nil {
		return fmt.Errorf("read the settings of the topics %v: %w", sources, err)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(checkTimeout.Milliseconds())
	for _, t := range topics {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.name, t.partitions, t.replicas
		settings := map[string]string{
			"cleanup.policy":         "delete",     // of copies with the same key each counts
			"message.timestamp.type": "CreateTime", // from which the delay counts
		}
		inherit(settings, configs, t.source)
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			config := kmsg.NewCreateTopicsRequestTopicConfig()
			config.Name, config.Value = name, new(settings[name])
			topic.Configs = append(topic.Configs, config)
		}
		req.Topics = append(req.Topics, topic)
	}
	created, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("create the retry topics of %v: %w", sources, err)
	}
	var errs []error
	for _, t := range created.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
			continue
		}
		err = Explain(err, toCreate, t.Topic)
		if t.ErrorMessage != nil && *t.ErrorMessage != "" {
			err = fmt.Errorf("%w (%s)", err, *t.ErrorMessage)
		}
		errs = append(errs, fmt.Errorf(
			"create the retry topic %q: %w; or create it by hand, with as many partitions and replicas as %s, and cleanup.policy=delete",
			t.Topic, err, of[t.Topic]))
	}
	return errors.Join(errs...)
}

// inherit adds the source's settings.
func inherit(settings map[string]string, configs kadm.ResourceConfigs, source string) {
	config, err := configs.On(source, nil)
	if err != nil || config.Err != nil {
		return // we may not read them
	}
	for _, c := range config.Configs {
		value := c.MaybeValue()
		if !slices.Contains(inherited, c.Key) || value == "" {
			continue
		}
		if c.Key == maxMessageBytes {
			n, err := strconv.Atoi(value)
			if err != nil {
				continue
			}
			value = strconv.Itoa(n + copyOverhead)
		}
		settings[c.Key] = value
	}
}
