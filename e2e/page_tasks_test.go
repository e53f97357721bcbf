package e2e_test

import (
	"context"
	"encoding/json"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// tasks returns how many ms each task took that a page's main thread did meanwhile, as the
// browser traces it. It is the thread's own time: what others on the machine took is not
// counted. Where there are several pages, it is that one which did the most.
func (p *page) tasks(meanwhile func()) []float64 {
	p.t.Helper()
	type event struct {
		Name     string
		Pid, Tid int
		Tdur     float64 // µs
		Args     struct{ Name string }
	}
	var events []event
	failed := error(nil)
	complete := make(chan struct{})
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	if err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *tracing.EventDataCollected:
			for _, text := range ev.Value {
				var e event
				if err := json.Unmarshal(text, &e); err != nil {
					failed = err
				}
				events = append(events, e)
			}
		case *tracing.EventTracingComplete:
			close(complete)
		}
	}); err != nil {
		p.t.Fatal(err)
	}
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, tracing.Start, tracing.StartParams{TraceConfig: &tracing.TraceConfig{
			IncludedCategories: []string{"toplevel"}, ExcludedCategories: []string{"*"},
		}})
		return err
	}))
	meanwhile()
	p.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, tracing.End, cdp.Empty{})
		return err
	}))
	<-complete
	if failed != nil {
		p.t.Fatal(failed)
	}
	type thread struct{ pid, tid int }
	main := map[thread][]float64{}
	for _, e := range events {
		if e.Name == "thread_name" && e.Args.Name == "CrRendererMain" {
			main[thread{e.Pid, e.Tid}] = nil
		}
	}
	for _, e := range events {
		if of := (thread{e.Pid, e.Tid}); e.Name == "ThreadControllerImpl::RunTask" {
			if _, ok := main[of]; ok {
				main[of] = append(main[of], e.Tdur/1000)
			}
		}
	}
	var most []float64
	for _, tasks := range main {
		if sum(tasks) > sum(most) {
			most = tasks
		}
	}
	if len(most) == 0 {
		p.t.Fatalf("no task is in a trace of %d events", len(events))
	}
	return most
}

func sum(all []float64) (s float64) {
	for _, each := range all {
		s += each
	}
	return s
}
