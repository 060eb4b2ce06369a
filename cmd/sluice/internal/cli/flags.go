package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

const defaultBroker = "localhost:9092"

// kafkaFlags are the flags of every command that talks to a cluster.
type kafkaFlags struct {
	brokers    []string
	properties string
	defaults   string // properties that hold where nothing else is said, a line each
}

func (f *kafkaFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(&f.brokers, "brokers", "b", nil,
		"brokers, host:port,… (else KAFKA_BROKERS or KAFKA_BOOTSTRAP_SERVERS, else "+defaultBroker+")")
	cmd.Flags().StringVar(&f.properties, "properties", "", "file with Kafka's own settings: security.protocol, sasl.…, ssl.…")
}

// config puts together what flags, a file and the environment say, in this order. file is what a pipeline says; the
// settings of --properties replace those of the file's own properties.
func (f *kafkaFlags) config(p *Process, file sluice.Config) (sluice.Config, error) {
	cfg := file
	var err error
	switch {
	case f.properties != "":
		if cfg, err = pipeline.LoadProperties(f.properties, f.defaults); err != nil {
			return cfg, usage(err)
		}
	case f.defaults != "":
		if cfg, err = sluice.FromProperties(strings.NewReader(f.defaults)); err != nil {
			return cfg, err
		}
	}
	switch {
	case len(f.brokers) > 0:
		cfg.Brokers = f.brokers
	case len(cfg.Brokers) > 0:
	case len(file.Brokers) > 0:
		cfg.Brokers = file.Brokers
	default:
		cfg.Brokers = brokersFromEnvironment(p.Env)
	}
	for _, b := range cfg.Brokers {
		if strings.TrimSpace(b) == "" {
			return cfg, usagef("an empty name among the brokers %q", strings.Join(cfg.Brokers, ","))
		}
	}
	return cfg, nil
}

func brokersFromEnvironment(env pipeline.Environment) []string {
	for _, name := range []string{"KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS"} {
		if value, _ := env(name); strings.TrimSpace(value) != "" {
			brokers := strings.Split(value, ",")
			for i := range brokers {
				brokers[i] = strings.TrimSpace(brokers[i])
			}
			return brokers
		}
	}
	return []string{defaultBroker}
}

// usage marks every error as the caller's.
func usage(err error) error {
	var errs []error
	for _, e := range pipeline.Flatten(err) {
		errs = append(errs, usageError{e})
	}
	return errors.Join(errs...)
}

// configError marks what the library says about its configuration as the caller's.
func configError(err error) error {
	if errors.Is(err, sluice.ErrConfig) {
		return usage(err)
	}
	return err
}
