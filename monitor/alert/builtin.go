package alert

import (
	"slices"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// Rules are those that are built in, with their defaults, in the order of docs/alerts.md; change, leave out and add what you like. The
// objectives are those of time lag: see Objective. There is none for a lag in records: how many are too many is nobody's rule.
func Rules(objectives ...Objective) []Rule {
	rules := timeLagRules(objectives)
	return append(rules, []Rule{
		{
			Name: "GroupStopped", Severity: SeverityCritical, Find: status(monitor.Stop, "%s does not read %s of %s any more"),
			Action: "Nobody reads these partitions for the group. See whether its consumers run, and whether they could join: " +
				"kafka-consumer-groups --describe --members. A group that is not used any more is best deleted.",
		},
		{
			Name: "GroupStalled", Severity: SeverityCritical, Find: status(monitor.Stall, "%s stands still on %s of %s"),
			Action: "A member has these partitions, and does not go on. Look for a record that fails again and again, a handler that " +
				"hangs, or a database that does not answer, in the logs of the member that owns the partition.",
		},
		{
			Name: "GroupRewound", Find: status(monitor.Rewind, "%s went back on %s of %s"),
			Action: "The group's commit is lower than it was: what lies between is handled again. Somebody has reset it, or two " +
				"programs use the group.",
		},
		{
			Name: "GroupFallsBehind", Find: status(monitor.Warn, "%s falls behind on %s of %s"),
			Action: "The group makes progress, and less than is written. Give it more members, up to the number of partitions, more " +
				"workers, or make its handler faster.",
		},
		{
			Name: "GroupNeverCatchesUp", For: 30 * time.Minute, Find: neverCatchesUp,
			Action: "The lag has not become smaller for half an hour. Without more members or a faster handler the group stays behind.",
		},
		{
			Name: "RecordsLost", Severity: SeverityCritical, KeepFiring: time.Hour, Find: recordsLost(),
			Action: "Retention has deleted records that the group had not handled; they are gone. Have the group catch up, or the " +
				"topic keep its records for longer (retention.ms, retention.bytes).",
		},
		{
			Name: "RetentionNear", Severity: SeverityCritical, For: 5 * time.Minute, Find: retentionNear,
			Action: "Retention is about to delete records that the group has not handled. Have it catch up now, or have the topic keep " +
				"its records for longer for the time being.",
		},
		{
			Name: "CommitBeyondEnd", For: time.Minute, Find: commitBeyondEnd,
			Action: "The group's commit is beyond the end of its log, so the log went back: the topic was made again, or a broker lost " +
				"records. Reset the group to where it should go on.",
		},
		{
			Name: "PartitionOffline", Severity: SeverityCritical, For: time.Minute, Find: partitionOffline,
			Action: "The partition has no leader, so nobody can read or write it. See which brokers have its replicas, and why they " +
				"are down.",
		},
		{
			Name: "PartitionUnderReplicated", For: 10 * time.Minute, Find: underReplicated,
			Action: "A replica is missing or does not keep up. One more broker that goes down may stop writers, or lose records.",
		},
		{
			Name: "TransactionHanging", Severity: SeverityCritical, Find: transactionHanging,
			Action: "A transaction has been open for longer than brokers let producers have one by default, and read_committed " +
				"consumers wait for it. Find it with kafka-transactions find-hanging, and abort it with kafka-transactions abort. A " +
				"producer with a longer transaction.timeout.ms needs a longer limit in the rule.",
		},
		{
			Name: "MonitorBlind", For: 2 * time.Minute, Find: monitorBlind,
			Action: "The monitor does not see all of the cluster, so what is said of the rest may be old. See which broker does not " +
				"answer, and whether the monitor may describe all groups and topics.",
		},
	}...)
}

// own are the rules that an Alerter has by itself.
var (
	monitorStuck = Rule{
		Name: "MonitorStuck", Severity: SeverityCritical, KeepFiring: -1,
		Action: "The monitor's rounds do not end any more: nothing is watched. Restart it, and look at its log.",
	}.withDefaults()
	ruleFailed = Rule{
		Name: "RuleFailed", For: time.Minute,
		Action: "The rule cannot be judged, so it tells nothing. Mend its expression.",
	}.withDefaults()
)

var builtIn = func() (names []string) {
	for _, r := range append(Rules(), monitorStuck, ruleFailed) {
		names = append(names, r.Name)
	}
	return names
}()

// IsBuiltIn tells whether a rule of that name is built in.
func IsBuiltIn(name string) bool { return slices.Contains(builtIn, name) }
