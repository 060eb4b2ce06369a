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
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("--listen: %w", err)
	}
	quiet := slog.New(warnings{logger.Handler()})
	server := &http.Server{
		Handler: newGuard(o, handler, logger), MaxHeaderBytes: headerBytes,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ReadHeaderTimeout: headerLimit, ReadTimeout: readLimit, WriteTimeout: writeLimit, IdleTimeout: idleLimit,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := web.Serve(listener, server, &web.FlagConfig{WebConfigFile: &o.Config, WebListenAddresses: &[]string{o.Address}}, quiet)
		if !errors.Is(err, http.ErrServerClosed) {
			logger.Error("nobody can ask any more", "err", err)
		}
	}()
	if o.Config == "" && !loopback(o.Address) {
		logger.Warn("whoever is between can read what is asked and answered: --listen-config has TLS", "address", listener.Addr().String())
	}
	return listener.Addr(), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-done
	}, nil
}

// warnings lets through what is no mere information.
type warnings struct{ slog.Handler }

func (h warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}
