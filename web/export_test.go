package web

import "io/fs"

// Sockets returns how many sockets are open, of how many clients, and how many
// beyond the bound.
func (s *Server) Sockets() (total, clients, spare int) { return s.sockets.Taken() }

// Slots returns how many slots of streams are taken, in all and by how many clients.
func (s *Server) Slots() (total, clients int) { return s.admission.slots.Taken() }

// Dist returns the built assets.
func Dist() fs.FS { return dist }

// SetDist replaces the built assets.
func SetDist(fsys fs.FS) { dist = fsys }

// AppendPublished is the answer to who published.
var AppendPublished = appendPublished
