package sluice_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func TestExplain(t *testing.T) {
	alert := func(text string) error { return &net.OpError{Op: "remote error", Err: errors.New("tls: " + text)} }
	for _, c := range []struct {
		err  error
		kind error
		says string
	}{
		{kerr.SaslAuthenticationFailed, sluice.ErrAuthentication, "wrong name or password"},
		{kerr.UnsupportedSaslMechanism, sluice.ErrLoginMismatch, "sasl.mechanism"},
		{kerr.IllegalSaslState, sluice.ErrLoginMismatch, "leave SASL out"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, sluice.ErrCertificateExpired, "that of the broker"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, sluice.ErrUnknownAuthority, "TLSFiles.CA"},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: new(x509.Certificate), Host: "b"}}, sluice.ErrCertificateName, "advertised.listeners"},
		{tls.RecordHeaderError{Msg: "x"}, sluice.ErrTLSMismatch, "speaks no TLS"},
		{alert("expired certificate"), sluice.ErrCertificateExpired, "that of this client"},
		{alert("certificate required"), sluice.ErrCertificateRefused, "none is given"},
		{alert("bad certificate"), sluice.ErrCertificateRefused, "TLSFiles.Certificate"},
		{alert("unknown certificate authority"), sluice.ErrCertificateRefused, "TLSFiles.Certificate"},
		{alert("protocol version not supported"), sluice.ErrTLSMismatch, "ssl.enabled.protocols"},
		{alert("handshake failure"), sluice.ErrTLSMismatch, "ssl.enabled.protocols"},
	} {
		got := sluice.Explain(fmt.Errorf("unable to dial: %w", c.err), "", "")
		if !errors.Is(got, c.kind) || !strings.HasPrefix(got.Error(), c.kind.Error()) || !strings.Contains(got.Error(), c.says) ||
			!strings.Contains(got.Error(), c.err.Error()) {
			t.Errorf("%v, want %v and %q", got, c.kind, c.says)
		}
		if again := sluice.Explain(got, "", ""); again != got { //nolint:errorlint // the same value
			t.Errorf("explained twice: %v", again)
		}
	}
	for _, err := range []error{nil, io.EOF, &net.OpError{Op: "read", Err: errors.New("tls: bad certificate")}, kerr.NotLeaderForPartition} {
		if got := sluice.Explain(err, "READ", "orders"); got != err { //nolint:errorlint // the same value
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestPermissionErrors(t *testing.T) {
	for _, c := range []struct {
		err             error
		operation, name string
		says            string
	}{
		{kerr.TopicAuthorizationFailed, "WRITE", "orders.dlq", "WRITE on TOPIC orders.dlq; grant it: kafka-acls --bootstrap-server HOST:PORT --add " +
			"--allow-principal User:NAME --operation Write --topic 'orders.dlq' (TOPIC_AUTHORIZATION_FAILED"},
		{kerr.GroupAuthorizationFailed, "READ", "billing", "READ on GROUP billing; grant it: kafka-acls --bootstrap-server HOST:PORT --add " +
			"--allow-principal User:NAME --operation Read --group 'billing' (GROUP_"},
		{kerr.TransactionalIDAuthorizationFailed, "WRITE", "tx", "WRITE on TRANSACTIONAL_ID tx; grant it: kafka-acls --bootstrap-server HOST:PORT --add " +
			"--allow-principal User:NAME --operation Write --transactional-id 'tx' (TRANS"},
		{kerr.ClusterAuthorizationFailed, "WRITE", "orders", "IDEMPOTENT_WRITE on CLUSTER kafka-cluster; grant it: kafka-acls --bootstrap-server HOST:PORT " +
			"--add --allow-principal User:NAME --operation IdempotentWrite --cluster (CLUSTER_"},
		{kerr.ClusterAuthorizationFailed, "CREATE", "orders", "CREATE on CLUSTER kafka-cluster; grant it: kafka-acls --bootstrap-server HOST:PORT " +
			"--add --allow-principal User:NAME --operation Create --cluster (CLUSTER_"},
	} {
		err := sluice.Explain(fmt.Errorf("x: %w", c.err), c.operation, c.name)
		if _, ok := errors.AsType[*sluice.PermissionError](err); !ok || !errors.Is(err, c.err) {
			t.Errorf("%T", err)
		}
		if want := "no permission: " + strings.Replace(c.says, "(", "(x: ", 1); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAGroupIsNotCalledByATopicsName(t *testing.T) {
	app, err := sluice.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"orders", ""} {
		missing, ok := errors.AsType[*sluice.PermissionError](sluice.ExplainTopic(app, kerr.GroupAuthorizationFailed, topic))
		if !ok || missing.Resource != "GROUP" || missing.Name != goodConfig().Group {
			t.Errorf("asked with %q: %v", topic, missing)
		}
	}
}

// A right that is taken away does not have brokers asked without a pause, nor the log filled.
func TestAFetchThatFailsIsTriedOnceASecond(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "refunds": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var log bytes.Buffer
		cfg := configFor(t, c, nil)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		m := join(t, cfg, func(app *sluice.App) error { return sluice.Add(app, goodRoute("orders", "refunds")) })
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.TopicAuthorizationFailed, Count: -1})
		time.Sleep(30 * time.Second)
		if n := fault.Hits(); n < 15 || n > 60 {
			t.Errorf("%d fetches in 30 s", n)
		}
		if h := m.app.Health(); h.Ready || !strings.Contains(strings.Join(h.Problems, "; "), "orders[0]: cannot be fetched: no permission: READ on TOPIC orders") {
			t.Errorf("%+v", h)
		}
		c.Produce("refunds", 0, 0, 5, 0)
		c.Until("the other topic goes on", func() bool { return c.Committed("g", "refunds", 0) == 5 })
		fault.Remove()
		c.Produce("orders", 0, 10, 5, 0)
		c.Until("it goes on", func() bool { return c.Committed("g", "orders", 0) == 15 && m.app.Health().Ready })
		m.leave(t)
		if n := strings.Count(log.String(), "cannot be fetched"); n != 1 {
			t.Errorf("told %d times:\n%s", n, log.String())
		}
	})
}

// What the in-process broker answers about rights is understood as well: there it is the group's question that tells.
func TestCheckFindsMissingRights(t *testing.T) {
	c := realCluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", password), kfake.User("PLAIN", "alice", password,
		kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "orders", Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationDescribe, Allow: true}))
	cfg := secured(t, c.ListenAddrs())
	cfg.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: "alice", Password: password}
	fails(t, cfg, "READ on TOPIC orders;", "READ on GROUP g;")
	cfg.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: "root", Password: password}
	consumes(t, cfg)
}
