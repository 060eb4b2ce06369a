package listen

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v4"
	"golang.org/x/crypto/bcrypt"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// rules are what a web configuration has callers show.
type rules struct {
	users        map[string]string // by name, the bcrypt hash of the password
	certificates bool              // of an authority that the file names
	tls          bool              // what is asked and answered cannot be read on its way
}

func (r rules) demand() bool { return len(r.users) > 0 || r.certificates }

// readRules reads a web configuration. It finds only what exporter-toolkit lets pass, or what it would tell a secret of.
func readRules(file string) (r rules, err error) {
	if file == "" {
		return r, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return r, fmt.Errorf("--listen-config: %w", err)
	}
	var c web.Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return r, fmt.Errorf("--listen-config %s: %s", file, yamlfile.Unquote(err.Error()))
	}
	r.users, r.tls = make(map[string]string, len(c.Users)), c.TLSConfig.IsEnabled()
	for name, hash := range c.Users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil { // which would quote it
			return rules{}, fmt.Errorf("--listen-config %s: basic_auth_users.%s is no bcrypt hash, as "+
				"`htpasswd -nBC 10 \"\" | tr -d ':'` makes them", file, name)
		}
		r.users[name] = string(hash)
	}
	if c.TLSConfig.ClientAuth == "RequireAndVerifyClientCert" {
		if c.TLSConfig.ClientCAs == "" && c.TLSConfig.ClientCAsText == "" { // Go would take the system's authorities instead
			return rules{}, fmt.Errorf("--listen-config %s: client_auth_type is RequireAndVerifyClientCert, and there is no "+
				"client_ca_file: a certificate of any public authority would do; name yours", file)
		}
		r.certificates = true
	}
	return r, nil
}

// validate finds what else is wrong with a web configuration.
func validate(file string) error {
	if err := web.Validate(file); err != nil {
		return fmt.Errorf("--listen-config %s: %w", file, errors.New(yamlfile.Unquote(err.Error())))
	}
	return nil
}
