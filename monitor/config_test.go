package monitor

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	brokers := []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}
	for name, test := range map[string]struct {
		cfg   Config
		field string // of the mistake; "" none
		text  string
	}{
		"defaults":            {cfg: Config{ClientOptions: brokers}},
		"no brokers":          {Config{}, "ClientOptions", "kgo.SeedBrokers says where the cluster is"},
		"too often":           {Config{ClientOptions: brokers, Interval: time.Millisecond}, "Interval", "between 1s and a sixth of Rules.Window, 1m40s"},
		"too rarely":          {Config{ClientOptions: brokers, Interval: 2 * time.Minute}, "Interval", "between 1s and a sixth"},
		"a short window":      {Config{ClientOptions: brokers, Rules: Rules{Window: time.Second}}, "Rules.Window", "at least 1m0s"},
		"a long window":       {cfg: Config{ClientOptions: brokers, Rules: Rules{Window: 3 * time.Hour}}},
		"a small window":      {cfg: Config{ClientOptions: brokers, Rules: Rules{Window: time.Minute}}},
		"a short first sight": {Config{ClientOptions: brokers, Rules: Rules{FirstSight: time.Minute}}, "Rules.FirstSight", "at least Rules.Window, 10m0s"},
		"a negative lag":      {Config{ClientOptions: brokers, Rules: Rules{AllowedLag: -1}}, "Rules.AllowedLag", "not be negative"},
		"no time to answer":   {Config{ClientOptions: brokers, Timeout: -1}, "Timeout", "at least 100ms"},
	} {
		err := test.cfg.withDefaults().check()
		var mistake *sluice.ConfigError
		switch {
		case test.field == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.field != "" && (!errors.As(err, &mistake) || mistake.Field != test.field || !strings.Contains(err.Error(), test.text)):
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := New(Config{Timeout: -1, Rules: Rules{AllowedLag: -1}})
	if n := len(strings.Split(err.Error(), "\n")); n != 3 || !errors.Is(err, sluice.ErrConfig) {
		t.Errorf("all mistakes at once: %v", err)
	}
}

func TestRunMayBeCalledOnce(t *testing.T) {
	t.Parallel()
	m, err := New(Config{ClientOptions: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := m.Run(ctx); err == nil || !strings.Contains(err.Error(), "may be called once") {
		t.Errorf("the second time: %v", err)
	}
}
