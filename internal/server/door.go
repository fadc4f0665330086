package server

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// door is a listener that is closed without a visitor left on the step: connections that the
// kernel has taken and the server has not are still handed over.
type door struct {
	net.Listener

	mu     sync.Mutex // guards the rest
	closed bool
	late   []net.Conn
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err == nil {
		return conn, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.late) == 0 {
		return nil, err
	}
	conn, d.late = d.late[0], d.late[1:]
	return conn, nil
}

// Close implements net.Listener; it may be called again.
func (d *door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.late = append(d.late, waiting(d.Listener)...)
	return d.Listener.Close()
}

// visitors knows the open connections of a server, and since when each is idle.
type visitors struct {
	mu   sync.Mutex
	idle map[net.Conn]time.Time // zero while a request is on its way; guarded by mu
}

// note is http.Server.ConnState.
func (v *visitors) note(conn net.Conn, state http.ConnState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch state {
	case http.StateIdle:
		v.idle[conn] = time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(v.idle, conn)
	default:
		v.idle[conn] = time.Time{}
	}
}

// quiet reports whether every open connection has been idle for that long: nobody is about to send.
func (v *visitors) quiet(long time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, since := range v.idle {
		if since.IsZero() || time.Since(since) < long {
			return false
		}
	}
	return true
}
