package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
	"github.com/sluice-go/sluice/cmd/sluice/internal/listen"
)

// brokerLogins is the environment's variable for --sasl.
const brokerLogins = "SLUICE_BROKER_SASL"

type brokerOptions struct {
	listen, advertise string
	topics            []string
	dataDir           string
	logins            []string
	loginFile         string
	tls               bool
	certificate, key  string
}

func newBroker(p *Process) *cobra.Command {
	var o brokerOptions
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run the embedded broker, for development",
		Long: `Runs the embedded broker until it is stopped. It is one node that replicates nothing, for development and tests only; kcat
and Kafka's own command line tools work on it.

It keeps everything in memory, or with --data-dir in a directory, which it locks: topics, records, the groups' commits and
the producers' states are there again after a restart. What was acknowledged survives the end of the process, SIGKILL
included, but a batch whose answer was lost to SIGKILL may be written again by its producer, and records that were deleted
may be back. It does not survive the end of the machine: nothing is forced to the disk before it is acknowledged.

With --sasl or --sasl-file only these logins are let in. A login is user:password, for PLAIN, SCRAM-SHA-256 and
SCRAM-SHA-512, or user:password:mechanism. Other users of the machine can see a command line, so that a password is better
kept in a file, one login a line, or in the variable ` + brokerLogins + `.

With --tls it makes a certificate authority of its own, in the data directory if there is one, and says where. Clients are
to trust it; they need no certificate. The certificate is for localhost and for the hosts of --listen and --advertise.`,
		Example: `  sluice broker --topic orders:6 --topic orders.dlq:1
  sluice broker --data-dir ~/.sluice/broker
  sluice broker --data-dir broker --sasl-file logins.txt --tls
  sluice broker --listen 0.0.0.0:9092 --advertise "$(hostname)"`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := o.check(p)
			if err != nil {
				return err
			}
			return p.broker(cmd.Context(), o, options)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:9092", "address to listen on")
	f.StringVar(&o.advertise, "advertise", "", "host, or host:port, that clients are sent to (default: that of --listen)")
	f.StringArrayVar(&o.topics, "topic", nil, "topic to create if it is not there, name:partitions (may be given again)")
	f.StringVar(&o.dataDir, "data-dir", "", "keep the data in this directory (default: in memory)")
	f.StringArrayVar(&o.logins, "sasl", nil, "let in this user, user:password[:mechanism] (may be given again)")
	f.StringVar(&o.loginFile, "sasl-file", "", "let in the users of this file, one such login a line")
	f.BoolVar(&o.tls, "tls", false, "TLS, with an authority made here")
	f.StringVar(&o.certificate, "tls-cert", "", "TLS with this certificate, and its chain, in PEM")
	f.StringVar(&o.key, "tls-key", "", "the certificate's key, in PEM")
	return cmd
}

// check reads what the command line says; nothing is made yet.
func (o *brokerOptions) check(p *Process) (kafka.EmbeddedOptions, error) {
	var out kafka.EmbeddedOptions
	var errs []error
	bad := func(err error) { errs = append(errs, err) }
	for _, t := range o.topics {
		topic, err := parseTopic(t)
		if err != nil {
			bad(err)
		}
		out.Topics = append(out.Topics, topic)
	}
	address, err := listen.Address(o.listen)
	if err != nil {
		bad(usageError{err})
	}
	out.Address, out.Advertised = address, o.advertise
	if host, _, err := net.SplitHostPort(address); err == nil && o.advertise == "" && net.ParseIP(host).IsUnspecified() {
		bad(usagef("--listen %s: clients must be told a host that they can come back to; add --advertise HOST", o.listen))
	}
	if host, port, err := net.SplitHostPort(o.advertise); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
			bad(usagef("--advertise %q: give host or host:port, with a port from 1 to 65535", o.advertise))
		}
	}
	if out.Logins, err = o.readLogins(p); err != nil {
		bad(err)
	}
	switch {
	case (o.certificate == "") != (o.key == ""):
		bad(usagef("--tls-cert and --tls-key: give both"))
	case o.certificate != "" && o.tls:
		bad(usagef("--tls makes a certificate; leave it out beside --tls-cert"))
	case o.certificate != "":
		pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
		if err != nil {
			bad(usagef("--tls-cert, --tls-key: %w", err))
		}
		out.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	return out, errors.Join(errs...)
}

func (o *brokerOptions) readLogins(p *Process) ([]kafka.Login, error) {
	var all []kafka.Login
	for _, text := range o.logins {
		login, err := kafka.ParseLogin(text)
		if err != nil {
			return nil, usagef("--sasl: %w", err)
		}
		all = append(all, login)
	}
	if o.loginFile != "" {
		file, err := os.Open(o.loginFile)
		if err != nil {
			return nil, usagef("--sasl-file: %w", err)
		}
		defer func() { _ = file.Close() }()
		logins, err := kafka.ReadLogins(file)
		switch {
		case err != nil:
			return nil, usagef("--sasl-file %s: %w", o.loginFile, err)
		case len(logins) == 0:
			return nil, usagef("--sasl-file %s: no login in it", o.loginFile)
		}
		all = append(all, logins...)
	}
	if len(all) == 0 {
		text, _ := p.Env(brokerLogins)
		logins, err := kafka.ReadLogins(strings.NewReader(text))
		if err != nil {
			return nil, usagef("%s: %w", brokerLogins, err)
		}
		all = logins
	}
	return all, nil
}

func (p *Process) broker(ctx context.Context, o brokerOptions, options kafka.EmbeddedOptions) (err error) {
	kept := "in memory, gone when it stops"
	if o.dataDir != "" {
		dir, err := kafka.OpenDataDir(o.dataDir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, dir.Close()) }()
		options.DataDir, kept = dir, "kept in "+o.dataDir
	}
	trust := ""
	if o.tls {
		authority, remove, err := brokerAuthority(options.DataDir)
		if err != nil {
			return err
		}
		defer remove()
		if options.TLS, err = authority.Server(brokerHosts(options)...); err != nil {
			return err
		}
		trust = authority.File
	}
	options.Warn = func(text string) { p.errorf("broker: %s", text) }
	cluster, err := kafka.StartEmbedded(options)
	if err != nil {
		return brokerError(err, options.Address)
	}
	defer cluster.Close()
	p.errorf("embedded broker on %s, for development only: one node, %s", strings.Join(cluster.ListenAddrs(), ","), kept)
	p.describe(cluster, options, trust)
	<-ctx.Done()
	return nil
}

// describe says what else there is to know, and what clients need to be let in.
func (p *Process) describe(cluster *kfake.Cluster, options kafka.EmbeddedOptions, trust string) {
	for _, t := range options.Topics {
		if has := int32(len(cluster.PartitionInfos(t.Name))); has != t.Partitions {
			p.errorf("topic %s was there already; its number of partitions stays %d", t.Name, has)
		}
	}
	protocol := "PLAINTEXT"
	if len(options.Logins) > 0 {
		users := make([]string, len(options.Logins))
		for i, l := range options.Logins {
			users[i] = l.String()
		}
		p.errorf("logins: %s", strings.Join(users, ", "))
		protocol = "SASL_PLAINTEXT"
	}
	if options.TLS != nil {
		protocol = strings.Replace(protocol, "PLAINTEXT", "SSL", 1)
	}
	if protocol != "PLAINTEXT" {
		p.errorf("clients need security.protocol=%s", protocol)
	}
	if trust != "" {
		p.errorf("clients trust ssl.truststore.type=PEM, ssl.truststore.location=%s", trust)
	}
}

// brokerAuthority is that of the data directory, or one in a directory that remove takes away.
func brokerAuthority(dir *kafka.DataDir) (authority *kafka.Authority, remove func(), err error) {
	if dir != nil {
		authority, err = dir.Authority()
		return authority, func() {}, err
	}
	folder, err := os.MkdirTemp("", "sluice-broker-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { _ = os.RemoveAll(folder) }
	if authority, err = kafka.OpenAuthority(folder); err != nil {
		remove()
	}
	return authority, remove, err
}

func brokerHosts(options kafka.EmbeddedOptions) []string {
	var hosts []string
	for _, address := range []string{options.Address, options.Advertised} {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		if host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// brokerError says what to do about an address that is taken.
func brokerError(err error, address string) error {
	if _, listening := errors.AsType[*net.OpError](err); listening {
		return fmt.Errorf("--listen %s: %w; is a broker running there already? --listen takes another address", address, err)
	}
	return fmt.Errorf("start the embedded broker: %w", err)
}

func parseTopic(s string) (kafka.NewTopic, error) {
	const most = 10_000
	name, count, found := strings.Cut(s, ":")
	if !found {
		count = "1"
	}
	n, err := strconv.ParseInt(count, 10, 32)
	if err != nil || n < 1 || n > most || name == "" {
		return kafka.NewTopic{}, usagef("--topic %q: give name:partitions, with 1 to %d partitions", s, most)
	}
	return kafka.NewTopic{Name: name, Partitions: int32(n)}, nil
}
