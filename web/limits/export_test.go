package limits

// MaxClients is how many clients a Rates remembers.
const MaxClients = maxClients

// Known returns how many clients are remembered.
func (l *Rates) Known() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.clients)
}
