package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
	"github.com/sluice-go/sluice/internal/fold"
)

const (
	headerLimit = 5 * time.Second
	readLimit   = 10 * time.Second
	writeLimit  = time.Minute
	idleLimit   = 2 * time.Minute
	headerBytes = 1 << 16
	closeLimit  = time.Second
)

// Serve answers at the address of o, which Check has found good, until stop is called. It is open when Serve returns.
func (o Options) Serve(ctx context.Context, handler http.Handler, logger *slog.Logger) (address net.Addr, stop func(), err error) {
	rules, err := readRules(o.Config)
	if err != nil {
		return nil, nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("--listen: %w", err)
	}
	folds := fold.New(logger.Handler()) // whoever asks can have lines written
	logger = slog.New(folds)
	server := &http.Server{
		Handler: newGuard(o, rules, handler, logger), MaxHeaderBytes: headerBytes,
		ErrorLog:          slog.NewLogLogger(serverLog{folds}, slog.LevelError),
		ReadHeaderTimeout: headerLimit, ReadTimeout: readLimit, WriteTimeout: writeLimit, IdleTimeout: idleLimit,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer listener.Close() // exporter-toolkit leaves it open where the file has become wrong
		config := &web.FlagConfig{WebConfigFile: &o.Config, WebListenAddresses: &[]string{o.Address}}
		if err := web.Serve(listener, server, config, slog.New(toolkitLog{logger.Handler()})); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("nobody can ask any more", "err", yamlfile.Unquote(err.Error()))
		}
	}()
	if !rules.tls && !loopback(o.Address) {
		logger.Warn("whoever is between can read what is asked and answered, and what callers show: --listen-config has TLS", "address",
			listener.Addr().String())
	}
	return listener.Addr(), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-done
		folds.Flush()
	}, nil
}
