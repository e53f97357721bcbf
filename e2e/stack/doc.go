// Package stack holds configurations for running Weir with other programs:
// nginx, systemd, Docker compose, Prometheus, Grafana, Jaeger. They are meant to
// be copied. Its tests run nginx and Redis with them, and check the rest as far
// as a machine without containers can.
package stack
