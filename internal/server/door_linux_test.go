package server

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Whoever connected before the door was closed is let in.
func TestDoorLeavesNobodyOnTheStep(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l}
	var outside []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", l.Addr().String()) // returns once the kernel has taken it
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		outside = append(outside, conn)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range outside {
		conn, err := d.Accept()
		if err != nil {
			t.Fatalf("connection %d is lost: %v", i, err)
		}
		if _, err := io.WriteString(conn, "welcome"); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	if _, err := d.Accept(); err == nil {
		t.Error("somebody came in through a closed door")
	}
	for i, conn := range outside {
		if said, err := io.ReadAll(conn); err != nil || string(said) != "welcome" {
			t.Errorf("connection %d heard %q, %v", i, said, err)
		}
	}
}

func TestVisitorsAreQuietWhenNobodyIsAboutToSend(t *testing.T) {
	t.Parallel()
	v := &visitors{idle: map[net.Conn]time.Time{}}
	a, b := net.Pipe()
	if !v.quiet(time.Hour) {
		t.Error("an empty house is not quiet")
	}
	v.note(a, http.StateNew)
	v.note(b, http.StateIdle)
	if v.quiet(0) {
		t.Error("quiet while a new connection has not sent its request")
	}
	v.note(a, http.StateActive)
	if v.quiet(0) {
		t.Error("quiet while a request is on its way")
	}
	v.note(a, http.StateIdle)
	if !v.quiet(0) || v.quiet(time.Hour) {
		t.Error("idle connections are quiet after a while, and not before")
	}
	v.note(a, http.StateClosed)
	v.note(b, http.StateClosed)
	if !v.quiet(time.Hour) {
		t.Error("closed connections are still waited for")
	}
}
