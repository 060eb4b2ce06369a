package cli

import (
	"flag"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the scripts' expected output anew")

func TestParseTopic(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int32{"orders:6": 6, "orders": 1, "orders:0": 0, ":3": 0, "orders:x": 0, "": 0} {
		got, err := parseTopic(in)
		if got.Partitions != want || (err == nil) != (want > 0) {
			t.Errorf("%q becomes %+v, %v; want %d partitions", in, got, err, want)
		}
	}
}

// Flags win over a file, a file over the environment.
func TestBrokers(t *testing.T) {
	t.Parallel()
	p := &Process{Env: func(name string) (string, bool) {
		return map[string]string{"KAFKA_BOOTSTRAP_SERVERS": "env1:1, env2:2"}[name], name == "KAFKA_BOOTSTRAP_SERVERS"
	}}
	properties := write(t, "client.properties", "bootstrap.servers=file:9092\n")
	for _, test := range []struct {
		flags kafkaFlags
		file  []string
		want  string
	}{
		{kafkaFlags{}, nil, "env1:1 env2:2"},
		{kafkaFlags{}, []string{"pipeline:1"}, "pipeline:1"},
		{kafkaFlags{properties: properties}, []string{"pipeline:1"}, "file:9092"},
		{kafkaFlags{properties: properties, brokers: []string{"flag:1"}}, []string{"pipeline:1"}, "flag:1"},
	} {
		file := noConfig
		file.Brokers = test.file
		cfg, err := test.flags.config(p, file)
		if got := strings.Join(cfg.Brokers, " "); err != nil || got != test.want {
			t.Errorf("%+v with file %v: %q, %v; want %q", test.flags, test.file, got, err, test.want)
		}
	}
	p.Env = func(string) (string, bool) { return "", false }
	if cfg, err := (&kafkaFlags{}).config(p, noConfig); err != nil || cfg.Brokers[0] != defaultBroker {
		t.Errorf("the default is %v, %v", cfg.Brokers, err)
	}
}
