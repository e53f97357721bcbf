package main

import (
	"context"
	"io"

	"weir/stream/source"
)

// serve starts the parts of the server, each of which needs those before it,
// runs until it is told to end, and ends them in the reverse order.
func serve(ctx context.Context, cfg *config, proc *process, stdout, stderr io.Writer) (err error) {
	end := watchSignals(ctx, cfg.drain+endPatience, source.KillAll, stderr)
	defer end.stop()
	tel, err := startTelemetry(ctx, cfg, stderr)
	if err != nil {
		return err
	}
	defer tel.stop(end.second)
	cfg.warn(tel.logger)
	secrets, err := loadSecrets(cfg, tel.logger)
	if err != nil {
		return err
	}
	var life *life
	var topics *topics
	defer func() { life.end(end, topics, err) }() // when all that follows is closed
	servers, err := openServers(cfg, secrets, tel.logger)
	if err != nil {
		return err
	}
	defer servers.close()
	carrier, err := openBroker(end.first, cfg, tel.logger)
	if err != nil {
		return end.or(err)
	}
	defer tel.closing("the broker", carrier.close)
	topics, err = openTopics(cfg, carrier, tel)
	if err != nil {
		return err
	}
	defer topics.hub.Close()
	site, err := openSite(cfg, topics, secrets, carrier, tel)
	if err != nil {
		return err
	}
	servers.handleAdmin(site.AdminHandler())
	if err := topics.start(end.first, proc); err != nil {
		return end.or(err)
	}
	if err := servers.listen(site, stdout); err != nil {
		return err
	}
	life = begin(cfg, servers, tel.logger)
	background := startBackground(end.second, cfg, servers, topics, carrier)
	defer background.stop()

	for {
		select {
		case <-end.first.Done():
			life.streams = topics.drain(end.second, cfg.drain)
			servers.shutdown(end.second)
			return nil
		case err := <-servers.failed:
			return err
		case <-end.hangup:
			secrets.reload()
		}
	}
}
