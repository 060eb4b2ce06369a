package sluice_test

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-go/sluice"
)

// A certificate in files that are replaced while the app runs, as cert-manager does it.
func ExampleTLSFiles() {
	_, err := sluice.New(sluice.Config{
		Brokers: []string{"kafka:9093"}, Group: "billing",
		TLSFiles: sluice.TLSFiles{CA: "/certs/ca.crt", Certificate: "/certs/tls.crt", Key: "/certs/tls.key"},
	})
	fmt.Println(err)
	// Output:
	// ssl.ca.location (TLSFiles.CA): "/certs/ca.crt": open /certs/ca.crt: no such file or directory
	// ssl.certificate.location (TLSFiles.Certificate): "/certs/tls.crt": open /certs/tls.crt: no such file or directory
}

// A login by tokens of an authorization server.
func ExampleClientCredentials() {
	tokens := sluice.ClientCredentials{URL: "https://auth.example/token", ID: "billing", Secret: "hunter2", Scope: "kafka"}
	cfg := sluice.Config{
		Brokers: []string{"kafka:9093"}, Group: "billing",
		SASL: &sluice.SASL{Mechanism: "OAUTHBEARER", Token: tokens.Token},
	}
	_, err := sluice.New(cfg)
	fmt.Println(tokens, err)
	// Output: tokens for "billing" from https://auth.example/token <nil>
}

// What a client of one's own fails with is put into the same words.
func ExampleExplain() {
	err := sluice.Explain(kerr.TopicAuthorizationFailed, "WRITE", "orders") // as a client returned it
	if missing, ok := errors.AsType[*sluice.PermissionError](err); ok {
		fmt.Println(missing.Operation, missing.Resource, missing.Name)
	}
	// Output: WRITE TOPIC orders
}
