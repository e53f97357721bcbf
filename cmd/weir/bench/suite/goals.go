package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A goal is a figure that Weir is to reach.
type goal struct {
	what, found string
	met         bool
}

// goals holds the results against what is promised.
func (r *results) goals() []goal {
	if r.Quick {
		return nil
	}
	var all []goal
	for _, e := range r.Outcomes {
		if e.Floor {
			continue
		}
		m := &e.Median
		add := func(met bool, what, found string) {
			all = append(all, goal{e.Title + ": " + e.Name + ": " + what, found, met})
		}
		quiet := strings.HasSuffix(e.Server, "-notelemetry")
		if quiet {
			if on := r.find(e.Scenario, strings.TrimSuffix(e.Server, "-notelemetry")); on != nil {
				if ratio, ok := r.times(on, e); ok {
					add(ratio <= 1.05, "telemetry costs at most 1.05 ×", figure(ratio)+" ×")
				}
			}
			continue
		}
		if m.Delivered > 0 {
			add(m.Lost+m.Repeated+m.OutOfOrder == 0, "every event, once, in order",
				fmt.Sprintf("lost %d, repeated %d, out of order %d", m.Lost, m.Repeated, m.OutOfOrder))
		}
		if m.CPU > 0 && m.OwnCPU >= m.CPU {
			add(false, "the bench costs less than the server", figure(m.OwnCPU)+" µs a delivery")
		}
		below := func(what string, v, limit float64, unit string) {
			add(v <= limit, fmt.Sprintf("%s at most %s%s", what, strconv.FormatFloat(limit, 'f', -1, 64), unit), figure(v)+unit)
		}
		ratio := func(limit float64) {
			if m.Ratio > 0 {
				below("CPU a delivery", m.Ratio, limit, " × floor")
			}
		}
		switch e.Scenario + " " + e.Server {
		case "single weir":
			ratio(0.70)
		case "high weir":
			ratio(0.15)
			below("p99", m.P99, 25, " ms")
		case "high weir-nethttp":
			ratio(0.40)
		case "http2 weir":
			ratio(1)
		case "few weir":
			below("p99", m.P99, 15, " ms")
		}
		switch e.Scenario {
		case "slow":
			add(m.SlowLetGo == 1, "the one that stops reading is cut off", fmt.Sprintf("%d cut off", m.SlowLetGo))
			if alone := r.find("nobody-slow", e.Server); alone != nil {
				add(m.P99 <= 1.1*alone.Median.P99+1, "and costs nobody else a millisecond (p99, give or take a tenth)",
					fmt.Sprintf("%s ms, without it %s ms", figure(m.P99), figure(alone.Median.P99)))
			}
		case "subjects":
			if all := r.find("unfiltered", e.Server); all != nil && all.Median.CPU > 0 {
				below("CPU a delivery", m.CPU/all.Median.CPU, 3, " × that of one reader of everything")
				add(m.Answered <= all.Median.Answered+5, "publishing waits for none (p99 of its answers, give or take 5 ms)",
					fmt.Sprintf("%s ms, with one reader %s ms", figure(m.Answered), figure(all.Median.Answered)))
			}
		case "topics":
			below("memory a topic", m.Memory/1e3, 3, " kB")
			below("p99 of a new topic's first event", m.P99, 50, " ms")
			if few := r.find("topics-few", e.Server); few != nil && few.Median.CPU > 0 {
				below("CPU a request", m.CPU/few.Median.CPU, 1.5, " × that with 100 topics")
			}
		case "idle":
			if e.Server == "weir" {
				below("memory a connection", m.Memory/1e3, 5, " kB")
			} else if base := r.find(e.Scenario, "floor"); base != nil {
				below("memory a connection", m.Memory/1e3, math.Round(1.4*base.Median.Memory/100)/10, " kB, 1.4 × the floor's")
			}
		}
	}
	return all
}
