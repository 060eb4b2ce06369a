// Package listen opens the program's HTTP listeners, and holds who may ask there to one set of rules:
//
//   - The address is a loopback one, unless callers have to show a token, a password or a certificate, or --insecure says that anybody
//     may ask.
//   - GET and HEAD only: nothing can be changed.
//   - The name in the Host header is an address, has no dot, or is one of ours: a page in a browser that has its own name point here (DNS
//     rebinding) is refused. So is a foreign Origin.
//   - Slow callers are hung up on.
//
// TLS, passwords and client certificates come from a file in Prometheus' own format, read by Prometheus' own library
// (exporter-toolkit), which notices when the file, or a certificate that it names, changes. What that file demands is checked once more for
// each request, by what is in it then, so that nobody is let in by what was in it a moment ago.
package listen

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Options are what the command line says about a listener. The zero value is none.
type Options struct { //nolint:recvcheck // flags and Check fill it in; Serve reads it
	// Address is host:port, or a port of 127.0.0.1. "" opens nothing.
	Address string

	// Config is a file in the format of Prometheus' --web.config.file: tls_server_config, basic_auth_users with bcrypt hashes.
	Config string

	// Hosts are names that the listener is called by, beside its own, addresses, and names without a dot.
	Hosts []string

	// Insecure lets anybody ask who reaches the address.
	Insecure bool

	// TokenFile holds the token that callers must show: "Authorization: Bearer …".
	TokenFile string
}

// AddFlags adds the flags of a listener. what says what is served.
func (o *Options) AddFlags(flags *pflag.FlagSet, address, what string) {
	flags.StringVar(&o.Address, "listen", address, "serve "+what+" on this port of 127.0.0.1, or on host:port")
	flags.StringVar(&o.Config, "listen-config", "",
		"file with TLS, basic authentication and client certificates for --listen, in the format of Prometheus' --web.config.file")
	flags.StringSliceVar(&o.Hosts, "listen-host", nil, "names that the listener is called by, as in monitoring.example.com")
	flags.StringVar(&o.TokenFile, "listen-token-file", "",
		"file with the token that callers of --listen must show (Authorization: Bearer …)")
	flags.BoolVar(&o.Insecure, "insecure", false, "let anybody ask who reaches --listen, also from other machines")
}

// Check puts the address into its full form and finds all that is wrong with the options. Its errors never show a secret.
func (o *Options) Check() error {
	if o.Address == "" {
		if o.Config != "" || o.TokenFile != "" || o.Insecure || len(o.Hosts) > 0 {
			return errors.New("--listen is missing: --listen-config, --listen-host, --listen-token-file and --insecure are about it")
		}
		return nil
	}
	var err error
	if o.Address, err = Address(o.Address); err != nil {
		return err
	}
	asks := o.TokenFile != ""
	if asks {
		if _, err := readToken(o.TokenFile); err != nil {
			return err
		}
	}
	if o.Config != "" {
		r, err := readRules(o.Config)
		if err != nil {
			return err
		}
		if err := validate(o.Config); err != nil {
			return err
		}
		if len(r.users) > 0 && asks {
			return fmt.Errorf("--listen-token-file and basic_auth_users in %s: a caller can show one of them only; leave the other one out",
				o.Config)
		}
		asks = asks || r.demand()
	}
	if !asks && !o.Insecure && !loopback(o.Address) {
		return fmt.Errorf("--listen %s can be reached from other machines: give --listen-token-file, or a --listen-config with "+
			"basic_auth_users or client certificates, or --insecure if anybody may ask", o.Address)
	}
	return nil
}

// Address reads host:port. Without a host it is the loopback address: who wants every interface says 0.0.0.0.
func Address(s string) (string, error) {
	address := s
	if !strings.Contains(s, ":") {
		address = ":" + s
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("--listen %q: give host:port or a port", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", fmt.Errorf("--listen %q: the port is not a number from 0 to 65535", s)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// loopback tells whether only this machine reaches an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
