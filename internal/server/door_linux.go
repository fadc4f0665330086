package server

import (
	"net"
	"os"
	"syscall"
)

// waiting takes the connections that wait in the kernel's queue of a listener.
func waiting(l net.Listener) (conns []net.Conn) {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	raw.Control(func(fd uintptr) { // fails when the listener is closed already
		for {
			accepted, _, err := syscall.Accept4(int(fd), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if err != nil {
				return // EAGAIN: nobody waits any more
			}
			file := os.NewFile(uintptr(accepted), "late connection")
			if conn, err := net.FileConn(file); err == nil {
				conns = append(conns, conn)
			}
			file.Close() // the connection has its own descriptor
		}
	})
	return conns
}
