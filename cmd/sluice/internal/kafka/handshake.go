package kafka

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offerHandshake tells clients made with librdkafka, kcat among them, that version 0 of the SASL handshake is there as well.
// They take SASL for unsupported without it, and use version 1 then; kfake has, and names, version 1 alone.
func offerHandshake(cluster *kfake.Cluster, address net.Addr, secure bool) error {
	offered, err := askVersions(address, secure)
	if err != nil {
		return fmt.Errorf("ask the embedded broker for its versions: %w", err)
	}
	for i := range offered.ApiKeys {
		if offered.ApiKeys[i].ApiKey == kmsg.SASLHandshake.Int16() {
			offered.ApiKeys[i].MinVersion = 0
		}
	}
	cluster.ControlKey(kmsg.ApiVersions.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.ApiVersionsRequest) //nolint:forcetypeassert // asked for by its key
		if asked.ClientSoftwareName != "librdkafka" || asked.Version != offered.Version {
			return nil, nil, false //nolint:nilnil // what kfake takes for "go on"
		}
		answer := *offered
		answer.ApiKeys = slices.Clone(offered.ApiKeys)
		return &answer, nil, true
	})
	return nil
}

const (
	// librdkafkaAsks is the version of the request that librdkafka begins with.
	librdkafkaAsks = 3
	askLimit       = 10 * time.Second
)

// askVersions asks the broker what it offers, as librdkafka does. That needs no login.
func askVersions(address net.Addr, secure bool) (*kmsg.ApiVersionsResponse, error) {
	conn, err := net.DialTimeout(address.Network(), address.String(), askLimit) //nolint:noctx // it has a limit
	if err != nil {
		return nil, err
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // to ourselves, and nothing secret
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(askLimit)); err != nil {
		return nil, err
	}
	request := kmsg.NewPtrApiVersionsRequest()
	request.Version, request.ClientSoftwareName, request.ClientSoftwareVersion = librdkafkaAsks, "sluice", "broker"
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 0)); err != nil {
		return nil, err
	}
	var head struct{ Size, CorrelationID int32 }
	if err := binary.Read(conn, binary.BigEndian, &head); err != nil {
		return nil, err
	}
	const correlation = 4 // bytes of the size are those of the correlation id
	body := make([]byte, max(head.Size-correlation, 0))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	response := kmsg.NewPtrApiVersionsResponse()
	response.Version = request.Version
	err = response.ReadFrom(body)
	return response, err
}
