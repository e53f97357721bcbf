package bench

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

// A line is one curve of a plot.
type line struct {
	name  string
	class string // its colour
	x, y  []float64
}

// A plot is drawn as SVG.
type plot struct {
	title  string
	lines  []line
	xLabel string
	yTick  func(float64) string
	xTicks []tick // none: round numbers
	log    bool   // the y axis
}

type tick struct {
	at   float64
	text string
}

// The size of a plot, and of its margins.
const (
	plotW, plotH             = 720.0, 260.0
	plotL, plotR, plotT, plB = 80.0, 16.0, 16.0, 40.0
)

// svg draws the plot. All text is the bench's own.
func (p *plot) svg() template.HTML {
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, l := range p.lines {
		for i := range l.x {
			x0, x1 = min(x0, l.x[i]), max(x1, l.x[i])
			if !p.log || l.y[i] > 0 {
				y0, y1 = min(y0, l.y[i]), max(y1, l.y[i])
			}
		}
	}
	if x1 < x0 || y1 < y0 {
		return ""
	}
	if p.log {
		y0, y1 = math.Pow(10, math.Floor(math.Log10(y0))), math.Pow(10, math.Ceil(math.Log10(y1*1.0001)))
	} else {
		y0, y1 = 0, max(y1*1.05, 1e-9)
	}
	if x1 == x0 {
		x1 = x0 + 1
	}
	sx := func(x float64) float64 { return plotL + (x-x0)/(x1-x0)*(plotW-plotL-plotR) }
	sy := func(y float64) float64 {
		f := (y - y0) / (y1 - y0)
		if p.log {
			f = math.Log(max(y, y0)/y0) / math.Log(y1/y0)
		}
		return plotH - plB - f*(plotH-plotT-plB)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotW, plotH, template.HTMLEscapeString(p.title))
	for _, y := range p.yTicks(y0, y1) {
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`,
			plotL, plotW-plotR, sy(y), sy(y), plotL-8, sy(y)+4, template.HTMLEscapeString(p.yTick(y)))
	}
	ticks := p.xTicks
	if ticks == nil {
		for _, x := range round(x0, x1, 8) {
			ticks = append(ticks, tick{x, strconv.FormatFloat(x, 'f', -1, 64)})
		}
	}
	for _, t := range ticks {
		if t.at >= x0 && t.at <= x1 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, sx(t.at), plotH-plB+18, t.text)
		}
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="end">%s</text>`, plotW-plotR, plotH-4, template.HTMLEscapeString(p.xLabel))
	for _, l := range p.lines {
		fmt.Fprintf(&b, `<polyline class="%s" points="`, l.class)
		for i := range l.x {
			fmt.Fprintf(&b, "%.1f,%.1f ", sx(l.x[i]), sy(l.y[i]))
		}
		b.WriteString(`"/>`)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

func (p *plot) yTicks(y0, y1 float64) []float64 {
	if !p.log {
		return round(y0, y1, 5)
	}
	var t []float64
	for y := y0; y <= y1*1.001; y *= 10 {
		t = append(t, y)
	}
	return t
}

// round returns about n round numbers from a to b.
func round(a, b float64, n int) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((b-a)/float64(n))))
	for _, m := range []float64{2, 2.5, 2} {
		if (b-a)/step > float64(n) {
			step *= m
		}
	}
	var t []float64
	for i := math.Ceil(a / step); i*step <= b; i++ {
		t = append(t, math.Round(i*step*1e9)/1e9)
	}
	return t
}

// plots are what the report shows; a plot without data is left out.
func (r *Report) plots() []plot {
	n := len(r.Series)
	column := func(name, class string, f func(*Point) float64) line {
		l := line{name: name, class: class}
		for i := range r.Series {
			l.x = append(l.x, r.Series[i].Second)
			l.y = append(l.y, f(&r.Series[i]))
		}
		return l
	}
	var all []plot
	inMS := func(v float64) string { return figure(v) + " ms" }
	if len(r.Distribution) > 1 {
		l := line{name: "latency", class: "a"}
		for _, d := range r.Distribution {
			tail := max(1-d.Percent/100, 0.5/float64(r.Latency.Samples))
			l.x, l.y = append(l.x, -math.Log10(tail)), append(l.y, d.MS)
		}
		p := plot{title: "Latency by percentile", lines: []line{l}, xLabel: "percentile", yTick: inMS}
		for _, t := range []string{"0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"} {
			v, _ := strconv.ParseFloat(t, 64)
			p.xTicks = append(p.xTicks, tick{-math.Log10(1 - v/100), t})
		}
		all = append(all, p)
	}
	if n > 1 && r.Latency.Samples > 0 && r.Storm == nil {
		all = append(all, plot{title: "Latency over time", log: true, xLabel: "seconds", yTick: inMS, lines: []line{
			column("p50", "a", func(p *Point) float64 { return p.P50 }),
			column("p99", "b", func(p *Point) float64 { return p.P99 }),
			column("largest", "c", func(p *Point) float64 { return p.Max }),
		}})
	}
	if n > 1 {
		all = append(all, plot{title: "Deliveries a second", xLabel: "seconds", yTick: func(v float64) string { return group(int64(v)) },
			lines: []line{column("deliveries", "a", func(p *Point) float64 { return float64(p.Deliveries) })}})
		cpu := plot{title: "CPU", xLabel: "seconds", yTick: func(v float64) string { return figure(v) + " cores" },
			lines: []line{column("bench", "c", func(p *Point) float64 { return p.OwnCores })}}
		if r.Server != nil {
			cpu.lines = append(cpu.lines, column("server", "a", func(p *Point) float64 { return p.ServerCores }))
			all = append(all, cpu, plot{title: "The server's resident memory", xLabel: "seconds", yTick: sizef,
				lines: []line{column("memory", "a", func(p *Point) float64 { return float64(p.RSS) })}})
		} else {
			all = append(all, cpu)
		}
	}
	return all
}

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>weir bench: {{.R.URL}}</title>
<style>
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5b6875; --rule: #dde3e9; --ground: #fff; --a: #0b6bcb; --b: #b45309; --c: #8a94a0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #9aa7b4; --rule: #2c3742; --ground: #12181f; --a: #5aa9f5; --b: #f0a24b; --c: #77828e; } }
body { font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; color: var(--ink); background: var(--ground); max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1rem; margin: 2rem 0 .25rem; }
p, dd { margin: 0; } .soft, dt, figcaption { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 1.5rem 0; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
.note { border-left: 3px solid var(--b); padding: .25rem .75rem; margin: .5rem 0; }
figure { margin: 0; } svg { width: 100%; height: auto; display: block; }
svg text { font-size: 12px; fill: var(--soft); } .grid { stroke: var(--rule); }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; } polyline.a { stroke: var(--a); } polyline.b { stroke: var(--b); } polyline.c { stroke: var(--c); }
.key { margin-right: 1rem; } .key::before { content: ""; display: inline-block; width: 1em; height: 3px; margin-right: .4em; vertical-align: middle; background: currentColor; }
.key.a::before { color: var(--a); } .key.b::before { color: var(--b); } .key.c::before { color: var(--c); }
</style>
</head>
<body>
<h1>{{.R.URL}}</h1>
<p class="soft">{{.R.Protocol}} · {{.R.Began.Format "2006-01-02 15:04 MST"}} · {{.R.Platform}}, {{.R.CPUs}} CPUs{{with .R.Version}} · weir {{.}}{{end}}</p>
<dl>{{range .Lines}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>
{{end}}</dl>
{{range .R.Warnings}}<p class="note">{{.}}</p>
{{end}}{{range .Plots}}{{if .SVG}}<figure><h2>{{.Title}}</h2>{{.SVG}}<figcaption>{{range .Keys}}<span class="key {{.Class}}">{{.Name}}</span>{{end}}</figcaption></figure>
{{end}}{{end}}<p class="soft">Latency counts from the time at which an event was to be sent, so that neither server nor bench can hide that it fell behind.</p>
</body>
</html>
`))

// WriteHTML writes the report as one page with plots, which needs nothing else.
func (r *Report) WriteHTML(w io.Writer) error {
	type key struct{ Name, Class string }
	type figure struct {
		Title string
		SVG   template.HTML
		Keys  []key
	}
	var figures []figure
	for _, p := range r.plots() {
		f := figure{Title: p.title, SVG: p.svg()}
		for _, l := range p.lines {
			if len(p.lines) > 1 {
				f.Keys = append(f.Keys, key{l.name, l.class})
			}
		}
		figures = append(figures, f)
	}
	return page.Execute(w, map[string]any{"R": r, "Lines": r.lines(), "Plots": figures})
}
