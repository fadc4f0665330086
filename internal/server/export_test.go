package server

import "net/http"

// Ops is the handler of the operator's listener.
func (s *Server) Ops() http.Handler { return s.opsHandler() }

// Drain says no at readiness, as Serve does when it is told to stop.
func (s *Server) Drain() { s.once.Do(func() { close(s.draining) }) }

// LoseDatabase closes the database under the server.
func (s *Server) LoseDatabase() error { return s.db.Close() }
